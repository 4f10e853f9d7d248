"""Cropped windows against a plain account of what km_predict does; blended ones are in test_seams.py."""

import numpy as np
import pytest
import xarray as xr
from networks import BANDS, brightness_network, write_model

from kappamask.models import CubeError
from kappamask.udf import cloud_mask
from kappamask.udf.windows import blend, framed, tile

SIZE, CROP, REACH = 64, 8, 12


@pytest.fixture(scope="module")
def farsighted(tmp_path_factory):
    """A network that sees farther than the crop, so that it matters where windows lie."""
    return write_model(tmp_path_factory.mktemp("far"), brightness_network(reach=REACH), **{"kappamask:fill": 0.0})


def scene(height, width, seed=0):
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(100, 9000, (len(BANDS), height, width)).round()
    return xr.DataArray(numbers.astype("uint16"), dims=("bands", "y", "x"), coords={"bands": BANDS})


def by_tiles(numbers):
    """One tile after the other: zeros beyond the image, 8 px cut off each side that has a neighbour."""
    height, width = numbers.shape
    step = SIZE - 2 * CROP
    rows, columns = -(-height // step), -(-width // step)
    canvas = np.zeros((rows * step + 2 * CROP, columns * step + 2 * CROP))
    padded = np.zeros_like(canvas)
    padded[:height, :width] = numbers / 1e4
    for row in range(rows):
        for column in range(columns):
            part = padded[row * step : row * step + SIZE, column * step : column * step + SIZE]
            edge = np.pad(part, REACH, mode="edge")
            sums = np.lib.stride_tricks.sliding_window_view(edge, (2 * REACH + 1, 2 * REACH + 1)).mean(axis=(2, 3))
            top, left = CROP * (row > 0), CROP * (column > 0)
            canvas[row * step + top : row * step + SIZE, column * step + left : column * step + SIZE] = sums[
                top:, left:
            ]
    away = np.abs(canvas[:height, :width] - np.array([0.15, 0.02, 0.3, 0.6])[:, None, None])
    ranked = np.sort(away, axis=0)
    return away.argmin(axis=0) + 1, ranked[1] - ranked[0] > 1e-4


@pytest.mark.parametrize(("height", "width"), [(150, 96), (64, 64), (40, 200), (97, 49)])
def test_tiles_are_laid_and_cropped_as_km_predict_does(farsighted, height, width):
    cube = scene(height, width)
    expected, sure = by_tiles(cube.values[0])
    mask = cloud_mask(cube, model=farsighted, level="L1C", radiometry="dn_harmonized", mosaic="cropped")
    np.testing.assert_array_equal(mask.values[sure], expected[sure])
    assert sure.mean() > 0.9 and mask.attrs["mosaic"] == "cropped"
    blended = cloud_mask(cube, model=farsighted, level="L1C", radiometry="dn_harmonized")
    assert blended.attrs.get("mosaic") is None


def test_cropped_differs_from_blended_where_the_network_sees_far(farsighted):
    cube = scene(150, 150)
    cropped, blended = (
        cloud_mask(cube, model=farsighted, level="L1C", radiometry="dn_harmonized", mosaic=word, scores=True)["score"]
        for word in ("cropped", "blended")
    )
    assert float(abs(cropped - blended).max()) > 1e-3


def test_lazy_cropped_equals_eager(farsighted):
    cube = scene(450, 300)
    cube[:, :70, :90] = 0
    eager, lazy = (
        cloud_mask(one, model=farsighted, level="L1C", radiometry="dn_harmonized", mosaic="cropped", scores=True)
        for one in (cube, cube.chunk({"y": 100, "x": 130}))
    )
    assert lazy["mask"].chunks is not None
    np.testing.assert_array_equal(lazy["mask"].values, eager["mask"].values)
    np.testing.assert_array_equal(lazy["score"].values, eager["score"].values)
    assert (eager["mask"].values[:70, :90] == 5).all()


def test_a_whole_product_has_529_tiles_on_11040_px():
    spans = tile(framed(10980, 512, 16), 512, 16)
    assert len(spans) == 23 and spans[-1].start == 22 * 480
    assert sum((span.weight == 1).sum() for span in spans) == spans[-1].stop == 11040 + 32


def test_every_pixel_is_of_one_tile():
    spans = tile(framed(300, SIZE, CROP), SIZE, CROP)
    total = np.zeros(spans[-1].stop, np.float32)
    for span in spans:
        total[span.pixels] += span.weight
    assert (total == 1).all()
    strips = [rows for rows, _ in blend(spans, spans, lambda y, x: np.ones((4, y.stop - y.start, x.stop - x.start)))]
    assert strips[0].start == 0 and strips[-1].stop == spans[-1].stop


def test_an_unknown_mosaic_is_an_error(farsighted):
    with pytest.raises(CubeError, match="known are blended, cropped"):
        cloud_mask(scene(64, 64), model=farsighted, level="L1C", mosaic="feathered")
