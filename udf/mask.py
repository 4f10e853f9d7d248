"""Cloud masks: prepare the inputs, classify the pixels, label the result."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from kappamask.models import CubeError, ModelCard, Mosaic, check_thresholds, load_card
from kappamask.udf import eager, lazy
from kappamask.udf.cube import normalise_cube, resolve_level, select_bands, select_model_bands
from kappamask.udf.pixel_evidence import NO_PIXELS, PixelStatistics
from kappamask.udf.preprocess import InputSpec
from kappamask.udf.radiometry import (
    Decision,
    check_radiometry,
    decide_radiometry,
    lacks_offset,
    radiometry_from_metadata,
)
from kappamask.udf.schemes import flag_attributes
from kappamask.udf.series import SCENE_FACTS, split_dates
from kappamask.udf.windows import padded_length as framed_length

__all__ = [
    "NODATA_ATTRIBUTES",
    "cloud_mask",
    "join_dates",
    "label_result",
    "list_dates",
    "mask_cube",
    "pad_for_mosaic",
    "prepare_inputs",
    "resolve_inputs",
]

MOSAICS = ("blended", "own")
NODATA_ATTRIBUTES = ("_FillValue", "nodata", "missing_value", "nodatavals")
"""As netCDF, STAC and openEO, older netCDF, and rasterio call it."""


def label_result(
    dates: list[Any], cube: xr.DataArray, spec: InputSpec, decision: Decision, scores: bool
) -> xr.DataArray | xr.Dataset:
    """The mask of all dates with the cube's coordinates; a Dataset with `mask` and `score` if `scores`.

    dates: one (mask (y, x), scores (class, y, x) or None) for each date of `cube`.
    """
    provenance = {
        "model_id": spec.card.id,
        "model_sha256": spec.card.sha256,
        "radiometry": decision.mode,
        "radiometry_reason": decision.reason,
        "level": spec.level,
    }
    if spec.thresholds:
        provenance["thresholds"] = ", ".join(f"{name} {value:g}" for name, value in spec.thresholds)
    if spec.mosaic:
        provenance["mosaic"] = "own"
    like = cube.isel(bands=0, drop=True).drop_vars(SCENE_FACTS, errors="ignore")
    attributes = {"long_name": "KappaMask class", **flag_attributes(spec.card), **provenance}
    mask = _to_dataarray(_stack_dates([m for m, _ in dates], like, ()), like, "mask", attributes)
    if not scores:
        return mask
    names = list(spec.card.output_names)
    stacked = _stack_dates([s for _, s in dates], like, (len(names),))
    score = _to_dataarray(stacked, like, "score", {"long_name": "score of each class", **provenance}, names)
    return xr.Dataset({"mask": mask, "score": score}, attrs=provenance)


def join_dates(made: list[Any]) -> Any:
    """Join masks of dates that were each read in their own way; what differs is listed date by date."""
    joined = xr.concat(made, "t", combine_attrs="drop_conflicts")
    for key in ("radiometry", "radiometry_reason", "level"):
        told = [str(one.attrs[key]) for one in made]
        if len(set(told)) > 1:
            for part in (joined, *(joined.data_vars.values() if isinstance(joined, xr.Dataset) else ())):
                part.attrs[key] = "; ".join(told)
    return joined


def _to_dataarray(
    data: Any, like: xr.DataArray, name: str, attributes: dict[str, Any], classes: list[str] | None = None
) -> xr.DataArray:
    dims = [*like.dims[:-2], *(["class"] if classes else []), *like.dims[-2:]]
    coords: dict[Hashable, Any] = dict(like.coords)
    if classes:
        coords["class"] = classes
    return xr.DataArray(data, dims=dims, coords=coords, name=name, attrs=attributes)


def _stack_dates(arrays: list[Any], like: xr.DataArray, extra: tuple[int, ...]) -> Any:
    if "t" not in like.dims:
        return arrays[0]
    if not arrays:
        return np.empty((0, *extra, *like.shape[-2:]), dtype=np.float32 if extra else np.uint8)
    return np.stack(arrays) if isinstance(arrays[0], np.ndarray) else lazy.stack_dates(arrays)


def prepare_inputs(
    cube: xr.DataArray,
    card: ModelCard,
    level: str | None,
    radiometry: str,
    *,
    threads: int,
    thresholds: Mapping[str, float] | None,
    mosaic: str,
    warn: Callable[[str], None] | None = None,
    bands: Sequence[str] | None = None,
) -> tuple[xr.DataArray, InputSpec, Decision]:
    """All that is settled before the network is run; see `mask_cube` and `read`."""
    cube, spec, decision = resolve_inputs(cube, card, level, radiometry, warn, bands)
    limits = check_thresholds(card, thresholds)
    return cube, replace(spec, threads=threads, thresholds=limits, mosaic=_resolve_mosaic(mosaic, card)), decision


def resolve_inputs(
    cube: xr.DataArray,
    card: ModelCard,
    level: str | None,
    radiometry: str,
    warn: Callable[[str], None] | None = None,
    names: Sequence[str] | None = None,
) -> tuple[xr.DataArray, InputSpec, Decision]:
    """The bands of `cube` that the card's network takes, how their numbers are read, and why so; see `mask_cube`.

    Pixels of a dask cube are computed only where nothing else tells what they mean; they are checked when used.
    """
    cube = normalise_cube(cube, names)
    cube = select_bands(cube, names) if names else cube
    level = resolve_level(cube, card, level)
    cube = select_model_bands(cube, card)
    bands = tuple(str(band) for band in cube.coords["bands"].values)
    spec = InputSpec(card, bands, level, radiometry, _declared_nodata(cube), threads=0)
    said = radiometry_from_metadata(cube.attrs, cube.encoding)
    known = radiometry != "auto" or (said is not None and not lacks_offset(said, cube.encoding))
    seen = [NO_PIXELS] if known and cube.chunks is not None else [_sample_date(date, spec) for date in list_dates(cube)]
    decision = decide_radiometry(radiometry, cube.attrs, cube.encoding, seen)
    for evidence in seen:
        message = check_radiometry(decision, evidence, certain_only=warn is not None)
        if message and warn:
            warn(message)
    return cube, replace(spec, mode=decision.mode), decision


def pad_for_mosaic(values: Any, spec: InputSpec) -> tuple[Any, slice, slice]:
    """`values` (band, y, x) with the pixels around them that a network's own mosaic needs; where they lie in that."""
    mosaic = spec.mosaic
    if mosaic is None:
        return values, slice(0, values.shape[1]), slice(0, values.shape[2])
    sides = [(mosaic.before, framed_length(n, spec.card.window, mosaic) - n - mosaic.before) for n in values.shape[1:]]
    padding: Any = mosaic.padding
    y, x = (slice(mosaic.before, mosaic.before + n) for n in values.shape[1:])
    return np.pad(values, [(0, 0), *sides], mode=padding), y, x


def _resolve_mosaic(word: str, card: ModelCard) -> Mosaic | None:
    if word not in MOSAICS:
        raise CubeError(f"No mosaic {word!r}: known are {', '.join(MOSAICS)}.")
    if word == "own" and card.mosaic is None:
        raise CubeError(f"{card.id} has no mosaic of its own: its card lacks kappamask:mosaic; say mosaic='blended'.")
    return card.mosaic if word == "own" else None


def _sample_date(date: xr.DataArray, spec: InputSpec) -> PixelStatistics:
    if date.chunks is not None:
        return lazy.sample_statistics(date.data, spec)
    return eager.sample_statistics(date.data, spec, eager.sampling_step(date.sizes["y"] * date.sizes["x"]))


def _declared_nodata(cube: xr.DataArray) -> tuple[float, ...]:
    """Every nodata value that the attributes declare, whatever the library that wrote them."""
    found: set[float] = set()
    for key in NODATA_ATTRIBUTES:
        declared = cube.attrs.get(key)
        if declared is None:
            continue
        try:
            values = np.asarray(declared, dtype=np.float64).ravel()
        except (TypeError, ValueError) as error:
            raise CubeError(f"The cube's attribute '{key}' is {declared!r}; needed is a number.") from error
        found.update(float(value) for value in values if np.isfinite(value))
    return tuple(sorted(found))


def list_dates(cube: xr.DataArray) -> list[xr.DataArray]:
    """The dates of a cube ([t,] bands, y, x), each (bands, y, x)."""
    return [cube.isel(t=i) for i in range(cube.sizes["t"])] if "t" in cube.dims else [cube]


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
) -> xr.DataArray | xr.Dataset:
    """KappaMask classes of every pixel of a Sentinel-2 cube.

    cube: dims (bands, y, x) or (t, bands, y, x) in any order, labels B01 … B12, B8A, AOT, WVP on `bands`,
        numbers of any type, numpy or dask; sides of 4 px and more at 10 m. Never changed.
    level: "L1C" or "L2A"; may be left out where bands, attribute `level` or card decide.
    model: a card's id or a path to a card.
    radiometry: "reflectance", "dn_harmonized" (reflectance * 10000), "dn_offset" (the same plus 1000), or
        "auto", which believes metadata, then the pixels (of a dask cube a sample is computed, if metadata are silent).
    scores: also return the network's scores.
    thresholds: class name to score, as {"cloud": 0.3}: the class is taken where its score reaches that, and only
        there; left out, each pixel is of the class with the highest score.
    mosaic: "blended", or "own" to compare with the tool that a network comes with: windows as its card says that
        the tool lays them (KappaZeta's: every 480 px of 512, zeros beyond the image, 16 px cut off each side).
    bands: a name for each layer, in order, where the cube has no labels or only numbers (b1, b2, b3); of a cube with
        names those to use.

    Returns uint8 (y, x) or (t, y, x), lazy if the cube is: 1 clear, 2 cloud shadow, 3 semi-transparent cloud,
    4 cloud, 5 missing (no data in a required band). With `scores`, a Dataset of `mask` and `score`, float32
    (class, y, x) or (t, class, y, x), NaN where missing.

    Raises CubeError (dimensions, labels, bands, level, thresholds), RadiometryError (doubt or contradiction),
    CardError and WeightsError (no such network, or not the one its card describes).
    """
    return mask_cube(
        cube, load_card(model), level, radiometry, scores=scores, thresholds=thresholds, mosaic=mosaic, bands=bands
    )


def mask_cube(
    cube: xr.DataArray,
    card: ModelCard,
    level: str | None,
    radiometry: str,
    *,
    scores: bool = False,
    threads: int = 0,
    thresholds: Mapping[str, float] | None = None,
    warn: Callable[[str], None] | None = None,
    mosaic: str = "blended",
    bands: Sequence[str] | None = None,
) -> xr.DataArray | xr.Dataset:
    """What `cloud_mask` does, for callers that know more.

    threads: for ONNX Runtime; 0 is all cores. doubt: called with a sentence where the pixels speak against
    the radiometry without proof; without it that is a RadiometryError.
    """
    if isinstance(cube, xr.DataArray) and (apart := split_dates(cube)):
        parts = [
            mask_cube(
                one, card, level, radiometry, scores=scores, threads=threads, thresholds=thresholds, warn=warn,
                mosaic=mosaic, bands=bands,
            )
            for one in apart
        ]  # fmt: skip
        joined: xr.DataArray | xr.Dataset = join_dates(parts)
        return joined
    cube, spec, decision = prepare_inputs(
        cube, card, level, radiometry, threads=threads, thresholds=thresholds, warn=warn, mosaic=mosaic, bands=bands
    )
    compute: Callable[..., tuple[Any, Any]] = eager.mask_date if cube.chunks is None else lazy.mask_date
    made = [_mask_date(compute, date.data, spec, scores) for date in list_dates(cube)]
    return label_result(made, cube, spec, decision, scores)


def _mask_date(compute: Callable[..., tuple[Any, Any]], values: Any, spec: InputSpec, scores: bool) -> tuple[Any, Any]:
    """Mask and scores of one date."""
    values, y, x = pad_for_mosaic(values, spec)
    mask, score = compute(values, spec, scores)
    return mask[y, x], None if score is None else score[:, y, x]
