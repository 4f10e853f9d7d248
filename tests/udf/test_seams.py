"""Rule 18: chunks give the whole image's mask.

Exact where the network's view fits in the overlap, measured where not.
"""

import numpy as np
import pytest
import xarray as xr
from doors import OVERLAP, SIZE, mask_in_chunks, mask_locally, scene_with_clouds
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BANDS, brightness_network, write_model

from kappamask.backend.chunks import apply_neighborhood
from kappamask.openeo_process import make_udf
from kappamask.udf import cloud_mask

REACH = 4


@pytest.fixture(scope="module")
def narrow_network(tmp_path_factory):
    """A network that sees 4 px to each side, half of its card's overlap."""
    return write_model(tmp_path_factory.mktemp("near"), brightness_network(reach=REACH))


@settings(max_examples=15)
@given(height=st.integers(20, 150), width=st.integers(20, 150), seed=st.integers(0, 99))
def test_exact_where_the_view_fits_in_the_overlap(narrow_network, height, width, seed):
    """Masks agree to the pixel, except at ties and beyond the image's edge.

    A tie is of two classes; the edge counts where the view goes over it.
    """
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(100, 7000, (len(BANDS), height, width)).round()
    cube = xr.DataArray(numbers, dims=("bands", "y", "x"), coords={"bands": BANDS})
    code = make_udf(level="L1C").code
    context = {"level": "L1C", "model": str(narrow_network.folder)}
    chunks = apply_neighborhood(cube, code, 48, 16, context).values[0]
    windows = cloud_mask(cube, model=narrow_network, level="L1C", radiometry="dn_harmonized", scores=True)
    ranked = np.sort(windows["score"].values, axis=0)
    sure = ranked[-1] - ranked[-2] > 1e-4
    sure[:REACH] = sure[-REACH:] = sure[:, :REACH] = sure[:, -REACH:] = False
    np.testing.assert_array_equal(chunks[sure], windows["mask"].values[sure])


def test_disagreement_of_compact_is_small_and_printed(capsys):
    cube = scene_with_clouds(SIZE + 300)
    differ = mask_in_chunks(cube) != mask_locally(cube)
    near = np.zeros_like(differ)
    near[SIZE - OVERLAP : SIZE + OVERLAP] = near[:, SIZE - OVERLAP : SIZE + OVERLAP] = True
    with capsys.disabled():
        print(
            f"\nchunks against blended windows: {differ.mean():.2%} of all pixels, {differ[near].mean():.2%} near seams"
        )
    assert differ.mean() < 0.02
