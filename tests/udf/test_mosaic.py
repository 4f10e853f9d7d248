"""Windows of a network's own tool: KappaZeta's as described, ukis-csmask's by running it.

Blended windows are in test_seams.py.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from ground import field
from networks import BANDS, brightness_network, write_model

from kappamask.models import SENTINEL2_BANDS, CardError, CubeError, Mosaic
from kappamask.training.simulator.paint import paint_clouds
from kappamask.udf import cloud_mask
from kappamask.udf.windows import blend_windows, padded_length, vendor_windows

SIZE, CROP, REACH = 64, 8, 12
OWN = {"step": 48, "before": 0, "padding": "constant", "taper": "crop", "amount": CROP}
KM_PREDICT = Mosaic(480, 0, "constant", "crop", 16)


@pytest.fixture(scope="module")
def wide_network(tmp_path_factory):
    """A network that sees farther than the crop, so that it matters where windows lie."""
    return write_model(
        tmp_path_factory.mktemp("far"),
        brightness_network(reach=REACH),
        **{"kappamask:fill": 0.0, "kappamask:mosaic": OWN},
    )


def scene(height, width, seed=0):
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(100, 9000, (len(BANDS), height, width)).round()
    return xr.DataArray(numbers.astype("uint16"), dims=("bands", "y", "x"), coords={"bands": BANDS})


def by_tiles(numbers):
    """Mask one tile after the other, as KappaZeta's tool does.

    Zeros beyond the image, 8 px cut off each side that has a neighbour.
    """
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
def test_tiles_are_laid_and_cropped_as_km_predict_does(wide_network, height, width):
    cube = scene(height, width)
    expected, sure = by_tiles(cube.values[0])
    mask = cloud_mask(cube, model=wide_network, level="L1C", radiometry="dn_harmonized", mosaic="own")
    np.testing.assert_array_equal(mask.values[sure], expected[sure])
    assert sure.mean() > 0.9 and mask.attrs["mosaic"] == "own"
    blended = cloud_mask(cube, model=wide_network, level="L1C", radiometry="dn_harmonized")
    assert blended.attrs.get("mosaic") is None


def test_own_differs_from_blended_where_the_network_sees_far(wide_network):
    cube = scene(150, 150)
    cropped, blended = (
        cloud_mask(cube, model=wide_network, level="L1C", radiometry="dn_harmonized", mosaic=word, scores=True)["score"]
        for word in ("own", "blended")
    )
    assert float(abs(cropped - blended).max()) > 1e-3


def test_lazy_equals_eager(wide_network):
    cube = scene(450, 300)
    cube[:, :70, :90] = 0
    eager, lazy = (
        cloud_mask(one, model=wide_network, level="L1C", radiometry="dn_harmonized", mosaic="own", scores=True)
        for one in (cube, cube.chunk({"y": 100, "x": 130}))
    )
    assert lazy["mask"].chunks is not None
    np.testing.assert_array_equal(lazy["mask"].values, eager["mask"].values)
    np.testing.assert_array_equal(lazy["score"].values, eager["score"].values)
    assert (eager["mask"].values[:70, :90] == 5).all()


def test_a_whole_product_has_529_tiles_on_11040_px():
    spans = vendor_windows(padded_length(10980, 512, KM_PREDICT), 512, KM_PREDICT)
    assert len(spans) == 23 and spans[-1].start == 22 * 480
    assert sum((span.weight == 1).sum() for span in spans) == spans[-1].stop == 11040 + 32


def test_every_pixel_is_of_one_tile():
    mosaic = Mosaic(**OWN)
    spans = vendor_windows(padded_length(300, SIZE, mosaic), SIZE, mosaic)
    total = np.zeros(spans[-1].stop, np.float32)
    for span in spans:
        total[span.pixels] += span.weight
    assert (total == 1).all()
    covered = np.zeros((spans[-1].stop,) * 2, int)
    for y, x, scores in blend_windows(spans, spans, lambda y, x: np.ones((4, y.stop - y.start, x.stop - x.start))):
        covered[y, x] += 1
        assert (scores == 1).all()
    assert (covered == 1).all()


def test_an_unknown_mosaic_is_an_error(wide_network):
    with pytest.raises(CubeError, match="known are blended, vendor"):
        cloud_mask(scene(64, 64), model=wide_network, level="L1C", mosaic="feathered")


def test_a_card_without_a_mosaic_has_none_of_its_own(tmp_path):
    with pytest.raises(CubeError, match="kappamask:mosaic"):
        cloud_mask(scene(64, 64), model=write_model(tmp_path), level="L1C", mosaic="own")


@pytest.mark.parametrize("wrong", [{"step": 0}, {"before": -1}, {"padding": "wrap"}, {"taper": "hann"}, {"step": 65}])
def test_a_wrong_mosaic_in_a_card_is_refused(tmp_path, wrong):
    with pytest.raises(CardError, match="mosaic"):
        write_model(tmp_path, **{"kappamask:mosaic": {**OWN, **wrong}})


UKIS_BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
UKIS_NAMES = ("blue", "green", "red", "nir", "swir16", "swir22")


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("count", [4, 6])
def test_other_peoples_networks_run_by_card_alone(tmp_path, level, count):
    """ukis-csmask's four networks: that package's masks from a card and its ONNX file.

    Equal in every pixel, but where two classes are as likely as each other to 0.001: inputs are rounded otherwise.
    """
    mask_module = pytest.importorskip("ukis_csmask.mask", reason="ukis-csmask is not installed (make bench does)")
    package = Path(mask_module.__file__).parent
    name = f"model_{count}b_{level.lower()}"
    mean, deviation = json.loads((package / f"{name}.json").read_text())["data"]["dataset_statistics"]["img"]
    bands = list(UKIS_BANDS[:count])
    card = write_model(tmp_path, (package / f"{name}.onnx").read_bytes(), **{
        "mlm:input": [{"bands": bands, "value_scaling": [
            {"type": "z-score", "mean": m, "stddev": s} for m, s in zip(mean, deviation, strict=True)]}],
        "kappamask:levels": [level], "kappamask:required_bands": bands, "kappamask:level_plane": False,
        "kappamask:window": 256, "kappamask:overlap": 51, "kappamask:stride": 32, "kappamask:fill": 0.0,
        "kappamask:output_values": [1, 4, 2], "kappamask:activation": "softmax",
        "kappamask:mosaic": {"step": 204, "before": 51, "padding": "symmetric", "taper": "tukey", "amount": 0.4},
    })  # fmt: skip
    painted = paint_clouds(field(300, 7), 7, coverage=0.4)[0][:, :290, :270]
    image = np.stack([painted[SENTINEL2_BANDS.index(band)] for band in bands]).astype(np.float32)
    cube = xr.DataArray(image, dims=("bands", "y", "x"), coords={"bands": bands})
    ours = cloud_mask(cube, model=card, level=level, radiometry="reflectance", mosaic="own", scores=True)
    ranked = np.sort(ours["score"].values, axis=0)
    sure = ranked[-1] - ranked[-2] > 1e-3
    order = list(UKIS_NAMES[:count])
    theirs = mask_module.CSmask(img=image.transpose(1, 2, 0).copy(), band_order=order, product_level=level.lower())
    equal = ours["mask"].values == np.array([1, 4, 2])[theirs.csm[..., 0]]
    assert equal[sure].all() and equal.mean() > 0.9999 and len(np.unique(ours["mask"])) == 3
