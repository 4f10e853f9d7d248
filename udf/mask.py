"""Make cloud masks: prepare the cube, predict classes, label the result."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import xarray as xr

from kappamask.models import ModelCard
from kappamask.models.mask_options import MaskOptions
from kappamask.udf import lazy, predict
from kappamask.udf.cube import check_names
from kappamask.udf.label import join_dates, label_result
from kappamask.udf.predict import Prediction
from kappamask.udf.prepare import PreparedCube, flip_axes, prepare_inputs
from kappamask.udf.preprocess import pad_for_mosaic
from kappamask.udf.series import apply_scene_facts, split_dates

__all__ = ["cloud_mask", "mask_cube"]


def cloud_mask(
    cube: xr.DataArray,
    *,
    level: str | None = None,
    model: str | Path | ModelCard = "compact",
    radiometry: str = "auto",
    scores: bool = False,
    thresholds: Mapping[str, float] | None = None,
    mosaic: str = "blended",
    bands: Sequence[str] | None = None,
    device: str = "cpu",
) -> xr.DataArray | xr.Dataset:
    """Classify every pixel of a Sentinel-2 cube with a KappaMask network.

    cube: dims (bands, y, x) or (t, bands, y, x) in any order, labels B01 … B12, B8A, AOT, WVP on `bands`,
        numbers of any type, numpy or dask; a Dataset with a variable for each band; or a plain array with the
        axes (bands, y, x) or (t, bands, y, x), and `bands`. Sides of 4 px and more at 10 m. Never changed.
        Rows may run from south to north, as the coordinate y then says; the mask runs as the cube does.
    level: "L1C" or "L2A"; may be left out where bands, attribute `level` or card decide.
    model: a card's id or a path to a card.
    radiometry: "reflectance", "dn_harmonized" (reflectance * 10000), "dn_offset" (the same plus 1000), or
        "auto", which believes metadata, then the pixels (of a dask cube a sample is computed, if metadata are silent).
    scores: also return the network's scores.
    thresholds: class name to score, as {"cloud": 0.3}: the class is taken where its score reaches that, and only
        there; left out, each pixel is of the class with the highest score.
    mosaic: "blended", or "vendor" to compare with the tool that a network comes with: windows as its card says that
        the tool lays them (KappaZeta's: every 480 px of 512, zeros beyond the image, 16 px cut off each side).
        "own" is the earlier name of "vendor".
    bands: a name for each layer, in order, where the cube has no labels or only numbers (b1, b2, b3); of a cube with
        names those to use.
    device: what runs the network: "cpu", "cuda" (a GPU of NVIDIA), "openvino", or "auto" for the first of these two
        that is installed. Classes agree to 0.01 % of the pixels; only on "cpu" is a mask the same to the bit.

    Returns uint8 (y, x) or (t, y, x), lazy if the cube is: 1 clear, 2 cloud shadow, 3 semi-transparent cloud,
    4 cloud, 5 missing (no data in a required band). With `scores`, a Dataset of `mask` and `score`, float32
    (class, y, x) or (t, class, y, x), NaN where missing.

    Raises CubeError (dimensions, labels, bands, level, thresholds), RadiometryError (doubt or contradiction),
    CardError and WeightsError (no such network, or not the one its card describes), and DeviceError (the device is
    not there, or ONNX Runtime was installed without it).
    """
    if bands is not None:
        check_names(bands)
    options = MaskOptions(
        level=level,
        model=model,
        radiometry=radiometry,
        bands=None if bands is None else tuple(bands),
        scores=scores,
        thresholds=thresholds or {},
        mosaic=mosaic,
        device=device,
    )
    return mask_cube(cube, options)


def mask_cube(
    cube: xr.DataArray, options: MaskOptions, *, warn: Callable[[str], None] | None = None
) -> xr.DataArray | xr.Dataset:
    """Make the mask of a cube; see `cloud_mask` for cube, result and errors.

    warn: called with a sentence where the pixels make the radiometry doubtful without proof; left out, that is a
        RadiometryError.
    """
    if isinstance(cube, xr.DataArray) and (parts := split_dates(cube)):
        joined: xr.DataArray | xr.Dataset = join_dates([mask_cube(part, options, warn=warn) for part in parts])
        return joined
    if isinstance(cube, xr.DataArray):
        cube = apply_scene_facts(cube, options)
    prepared = prepare_inputs(cube, options, warn)
    result = label_result(_predict_dates(prepared, scores=options.scores), prepared, scores=options.scores)
    if isinstance(result, xr.Dataset):
        layers = {name: flip_axes(layer, prepared.flipped) for name, layer in result.data_vars.items()}
        return xr.Dataset(layers, attrs=result.attrs)
    return flip_axes(result, prepared.flipped)


def _predict_dates(prepared: PreparedCube, *, scores: bool) -> list[Prediction]:
    """Predict each date of a cube, lazily where the cube is lazy."""
    predict_date = lazy.mask_date if prepared.is_lazy else predict.mask_date
    found: list[Prediction] = []
    for date in prepared.dates:
        values, y, x = pad_for_mosaic(date.data, prepared.spec)
        mask, score = predict_date(values, prepared.spec, scores)
        found.append((mask[y, x], None if score is None else score[:, y, x]))
    return found
