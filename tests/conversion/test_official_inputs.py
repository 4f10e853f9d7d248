"""What the official networks are fed, compared with km_predict's own arithmetic.

What km_predict got wrong is right here.

docs/design/0009-official-networks.md lists its defects by these numbers.
"""

import numpy as np
import pytest
import xarray as xr
from networks import write_model

from kappamask.conversion.cards import OFFICIAL, write_document
from kappamask.conversion.official_networks import ARCHITECTURES
from kappamask.models.card_document import parse_card
from kappamask.udf import cloud_mask
from kappamask.udf.preprocess import InputSpec, find_valid, to_tensor

NETWORKS = [pytest.param(*key, id="-".join(key)) for key in OFFICIAL]


def reading(architecture, level, mode):
    release = OFFICIAL[architecture, level]
    card = parse_card(write_document(b"", architecture, level, release, ARCHITECTURES[architecture], "source"))
    return InputSpec(card, release.bands, level, mode, (), 1), np.array(release.largest)[:, None, None]


def numbers(bands, lowest, highest=65535, seed=0):
    rng = np.random.default_rng(seed)
    drawn = rng.integers(lowest, highest, (len(bands), 16, 32), endpoint=True)
    drawn[:, 0, :3] = lowest, 12000, highest
    return drawn


def feed(values, how):
    """Return what the network is given of `values`.

    To the right and below they are reflected up to its least side.
    """
    values = values.astype(np.float32)
    whole = to_tensor(values, find_valid(values, how), how)
    assert whole.shape[1:] == tuple(max(side, how.card.least_side) for side in values.shape[1:])
    return whole[:, : values.shape[1], : values.shape[2]]


def km_predict(values, largest):
    """data_generator.py of km_predict, in float64: no upper limit, nothing below 0."""
    return np.maximum(values / 65535 / largest, 0)


@pytest.mark.parametrize(("architecture", "level"), NETWORKS)
def test_numbers_without_offset_are_scaled_as_km_predict_does(architecture, level):
    how, largest = reading(architecture, level, "dn_harmonized")
    values = numbers(how.bands, 1)
    found = feed(values, how)
    np.testing.assert_allclose(found, km_predict(values, largest), rtol=2e-6)
    assert found.max() > 2


@pytest.mark.parametrize(("architecture", "level"), NETWORKS)
def test_the_offset_is_taken_off_the_bands_that_have_it(architecture, level):
    """Defects 2 to 5 of km_predict do not occur.

    The offset moved the constants too, its L2A tag was not found, AOT and WVP had none to match.
    """
    how, largest = reading(architecture, level, "dn_offset")
    values = numbers(how.bands, 400)
    lifted = np.array([band not in ("AOT", "WVP") for band in how.bands])[:, None, None]
    expected = km_predict(values - 1000.0 * lifted, largest)
    for _ in range(2):
        np.testing.assert_allclose(feed(values, how), expected, rtol=1e-5, atol=1e-6)
    assert (expected == 0).any()


@pytest.mark.parametrize(("architecture", "level"), NETWORKS)
def test_pixels_without_data_are_the_zeros_that_km_predict_has_there(architecture, level):
    how, largest = reading(architecture, level, "dn_harmonized")
    values = numbers(how.bands, 1)
    values[:, :8, :8] = 0
    np.testing.assert_allclose(feed(values, how), km_predict(values, largest), rtol=2e-6)


def test_undefined_stays_undefined_and_missing_comes_from_validity(tmp_path):
    """Defects 1 and 9 of km_predict do not occur.

    Class 0 became 3 in the GeoTIFF, and only the network said what was missing.
    """
    card = write_model(tmp_path, **{"kappamask:output_values": [1, 0, 3, 4]})
    bands = list(card.bands)
    values = np.full((len(bands), 32, 32), 200, np.uint16)
    values[:, :, 16:] = 1500
    values[:, 20:, 20:] = 0
    cube = xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": bands})
    mask = cloud_mask(cube, model=card, level="L1C", radiometry="dn_harmonized").values
    assert (mask[:, :14] == 0).all() and (mask[:19, 18:] == 1).all() and (mask[20:, 20:] == 5).all()
