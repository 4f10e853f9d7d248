"""Bands with repeated pixels are interpolated again, by the kernel in the card."""

import numpy as np
import pytest
import xarray as xr
from networks import brightness_network, write_model

from kappamask.models import CardError
from kappamask.udf.resampling import KERNELS, compute_kernel_weights, interpolate_bands

BANDS = ["B02", "B05", "B10"]
SAID: list[str] = []


@pytest.fixture(scope="module")
def wants_sinc(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("sinc"), **card_with("sinc"))


def card_with(kernel):
    return {
        "mlm:input": [{"bands": BANDS, "value_scaling": [{"type": "scale", "value": 1.0}] * 3}],
        "kappamask:required_bands": ["B02"], "kappamask:resampling": kernel,
    }  # fmt: skip


def coarse(cells=20, seed=0):
    return np.random.default_rng(seed).uniform(500, 4000, (cells, cells)).round().astype(np.float32)


def repeat(cells, ratio, y, x, side):
    """What lies from row `y` and column `x` on of coarse pixels repeated `ratio` times."""
    return np.kron(cells, np.ones((ratio, ratio), np.float32))[y : y + side, x : x + side]


def as_cube(*planes):
    return xr.DataArray(np.stack(planes), dims=("bands", "y", "x"), coords={"bands": BANDS})


@pytest.mark.parametrize(("y", "x"), [(0, 0), (1, 0), (3, 5)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_repeated_bands_are_what_the_kernel_makes_of_the_coarse_ones(tmp_path, kernel, y, x):
    card = write_model(tmp_path, **card_with(kernel))
    twenty, sixty, side = coarse(40), coarse(20, 1), 60
    fine = coarse(side, 2)
    cube = as_cube(fine, repeat(twenty, 2, y, x, side), repeat(sixty, 6, y, x, side))
    found = interpolate_bands(cube, card, SAID.append)
    np.testing.assert_array_equal(found[0], fine)
    for plane, cells, ratio in ((found[1], twenty, 2), (found[2], sixty, 6)):
        down, rows = compute_kernel_weights(y, side, ratio, len(cells), kernel)
        across, columns = compute_kernel_weights(x, side, ratio, len(cells), kernel)
        expected = rows @ cells[down, across] @ columns.T
        inner = np.s_[5 * ratio : -5 * ratio, 5 * ratio : -5 * ratio] if ratio == 2 else np.s_[25:35, 25:35]
        np.testing.assert_allclose(plane.values[inner], expected[inner], rtol=1e-4)
    assert (cube[1] != found[1]).mean() > 0.5 and not SAID


def test_without_proof_bands_stay_and_one_warning_is_given(wants_sinc):
    fine, flat, ramp = coarse(60), np.full((60, 60), 900, np.float32), coarse(60, 3)
    said: list[str] = []
    found = interpolate_bands(as_cube(fine, ramp, flat), wants_sinc, said.append)
    np.testing.assert_array_equal(found, np.stack([fine, ramp, flat]))
    assert len(said) == 1 and said[0].startswith("B05, B10: no proof")


def test_a_card_without_a_kernel_leaves_all_as_it_is(tmp_path):
    cube = as_cube(coarse(60), repeat(coarse(40), 2, 0, 0, 60), repeat(coarse(20), 6, 0, 0, 60))
    assert interpolate_bands(cube, write_model(tmp_path), SAID.append) is cube


def test_pixels_without_data_stay_so_and_do_not_bleed(wants_sinc):
    cells = np.full((30, 30), 2000, np.float32)
    cells[::2, 10:] = 2600
    cells[3, 20:] = 2200
    cells[:, 25:] = 2300
    lost, zero = cells.copy(), cells.copy()
    lost[:6], zero[:6] = np.nan, 0
    for gone in (lost, zero):
        plane = repeat(gone, 2, 0, 0, 60)
        found = interpolate_bands(as_cube(plane, plane, repeat(cells, 6, 0, 0, 60)), wants_sinc, SAID.append)[1].values
        np.testing.assert_array_equal(found[:12], plane[:12])
        assert np.isfinite(found[12:]).all() and found[12:].min() > 1500 and found[12:].max() < 3100


def test_a_cube_in_another_order_of_dimensions_is_interpolated_too(wants_sinc):
    cube = as_cube(coarse(60), repeat(coarse(40), 2, 0, 0, 60), repeat(coarse(20), 6, 0, 0, 60))
    turned = cube.copy(data=np.asfortranarray(cube.values))
    found = interpolate_bands(turned, wants_sinc, SAID.append)
    np.testing.assert_array_equal(found, interpolate_bands(cube, wants_sinc, SAID.append))
    np.testing.assert_array_equal(turned, cube)
    assert (found != cube).any()


def test_a_chunk_without_data_is_no_reason_to_warn(wants_sinc):
    said: list[str] = []
    assert (
        np.isnan(interpolate_bands(as_cube(*np.full((3, 60, 60), np.nan)), wants_sinc, said.append)).all() and not said
    )


def test_several_dates_are_each_looked_at(wants_sinc):
    dates = [
        as_cube(coarse(60), repeat(coarse(40, s), 2, 0, 0, 60), repeat(coarse(20, s), 6, 0, 0, 60)) for s in (1, 2)
    ]
    together = interpolate_bands(xr.concat(dates, "t"), wants_sinc, SAID.append)
    for date, alone in zip(together, dates, strict=True):
        np.testing.assert_array_equal(date, interpolate_bands(alone, wants_sinc, SAID.append))


def test_an_unknown_kernel_is_refused(tmp_path):
    with pytest.raises(CardError, match="resampling must be one of"):
        write_model(tmp_path, brightness_network(), **card_with("lanczos"))
