"""Prepare a cube for the network: select bands, decide level and radiometry, turn rows north-up."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import LEVEL_BANDS, LEVELS, CubeError, ModelCard, Mosaic, check_thresholds, load_card, parse_level
from kappamask.models.hints import option
from kappamask.models.mask_options import MaskOptions
from kappamask.udf import lazy, predict
from kappamask.udf.cube import normalise_cube, select_bands, select_model_bands
from kappamask.udf.inference import check_device
from kappamask.udf.pixel_statistics import NO_PIXELS, PixelStatistics
from kappamask.udf.preprocess import InputSpec
from kappamask.udf.radiometry import (
    Decision,
    check_radiometry,
    decide_radiometry,
    is_decoded_without_offset,
    is_of_product,
    read_radiometry,
)
from kappamask.udf.radiometry_metadata import find_scale_and_offset, hide_invalid
from kappamask.udf.series import SCENE_FACTS, find_shifted

__all__ = ["NODATA_ATTRIBUTES", "PreparedCube", "find_flipped_axes", "flip_axes", "prepare_inputs", "resolve_level"]

L1C_HINT, L2A_HINT = option("level", "L1C"), option("level", "L2A")
MOSAICS = {"blended": False, "vendor": True, "own": True}
"""Word -> whether windows lie as the network's own tool lays them; "own" is the earlier word for "vendor"."""
NODATA_ATTRIBUTES = ("_FillValue", "nodata", "missing_value", "nodatavals")
"""As netCDF, STAC and openEO, older netCDF, and rasterio call it."""
NORTH_UP = {"y": False, "x": True}
"""Axis -> whether its coordinate grows along a north-up image."""
COARSEST_COUNT = 6
"""Pixels of an image without georeference that one may stand for: 60 m of 10 m. Larger steps are metres of a grid."""


@dataclass(frozen=True)
class PreparedCube:
    """A cube, and everything that is decided before the network runs."""

    cube: xr.DataArray
    """Dims ([t,] bands, y, x), numpy or dask, north-up; the bands that the network takes, numbers as given."""
    spec: InputSpec
    decision: Decision
    """What the numbers mean, and why."""
    flipped: tuple[str, ...] = ()
    """Axes along which the caller's cube runs the other way."""

    @property
    def is_lazy(self) -> bool:
        """True for dask."""
        return self.cube.chunks is not None

    @property
    def dates(self) -> list[xr.DataArray]:
        """Each date as (bands, y, x)."""
        return list_dates(self.cube)


def list_dates(cube: xr.DataArray) -> list[xr.DataArray]:
    """List the dates of a cube ([t,] bands, y, x), each (bands, y, x)."""
    return [cube.isel(t=i) for i in range(cube.sizes["t"])] if "t" in cube.dims else [cube]


def prepare_inputs(cube: xr.DataArray, options: MaskOptions, warn: Callable[[str], None] | None = None) -> PreparedCube:
    """Decide everything that the network needs to know of a cube.

    Pixels of a dask cube are computed only where nothing else tells what they mean; they are checked when used.

    warn: called with a sentence where the pixels make the radiometry doubtful without proof; left out, that is a
        RadiometryError.

    Raises CubeError (dimensions, labels, bands, level, thresholds, mosaic), RadiometryError, and CardError for an
    unknown network.
    """
    card = load_card(options.model)
    cube = normalise_cube(cube, options.bands)
    cube = select_bands(cube, options.bands) if options.bands else cube
    cube = hide_invalid(cube)
    level = resolve_level(cube, card, options.level)
    flipped = find_flipped_axes(cube)
    cube = flip_axes(select_model_bands(cube, card), flipped)
    spec = InputSpec(
        card,
        bands=tuple(str(band) for band in cube.coords["bands"].values),
        level=level,
        mode=options.radiometry,
        nodata=_declared_nodata(cube),
        threads=options.threads,
        device=check_device(options.device),
        thresholds=check_thresholds(card, options.thresholds),
        mosaic=_find_mosaic(options.mosaic, card),
    )
    decision = _decide_radiometry(cube, spec, warn)
    return PreparedCube(cube, replace(spec, mode=decision.mode, decision=decision), decision, flipped)


def _decide_radiometry(cube: xr.DataArray, spec: InputSpec, warn: Callable[[str], None] | None) -> Decision:
    """Decide the radiometry, and hold it against the pixels that are in memory."""
    said = read_radiometry(cube.attrs, cube.encoding)
    # xarray gives a series the attributes of its first date: they may be wrong for a date that lies above the others
    is_series = cube.sizes.get("t", 1) > 1 and SCENE_FACTS not in cube.coords
    of_first = is_series and said is not None and not said.by_metadata
    may_be_made = is_decoded_without_offset(said, cube.encoding) or (is_of_product(said) and cube.dtype.kind == "f")
    is_known = spec.mode != "auto" or not (said is None or of_first or may_be_made)
    seen = [NO_PIXELS] if is_known and cube.chunks is not None else [_sample_date(d, spec) for d in list_dates(cube)]
    decision = decide_radiometry(spec.mode, cube.attrs, cube.encoding, seen)
    shifted = find_shifted(seen, find_scale_and_offset("", decision.mode)[0]) if of_first and said == decision else ()
    for number, statistics in enumerate(seen, 1):
        place = f"Date {number} of {len(seen)}: " if len(seen) > 1 else ""
        stated = replace(decision, by_metadata=True) if statistics in shifted else decision
        message = check_radiometry(stated, statistics, certain_only=warn is not None, place=place)
        if message and warn:
            warn(message)
    return decision


def _sample_date(date: xr.DataArray, spec: InputSpec) -> PixelStatistics:
    if date.chunks is not None:
        return lazy.sample_statistics(date.data, spec)
    return predict.sample_statistics(date.data, spec, predict.choose_sampling_step(date.sizes["y"] * date.sizes["x"]))


def flip_axes(array: xr.DataArray, axes: tuple[str, ...]) -> xr.DataArray:
    """Reverse an array along some axes, coordinates included; numpy arrays stay contiguous."""
    if not axes:
        return array
    made = array.isel({axis: slice(None, None, -1) for axis in axes})
    made.encoding = array.encoding
    return made if made.chunks is not None else made.copy(data=np.ascontiguousarray(made.data))


def find_flipped_axes(cube: xr.DataArray) -> tuple[str, ...]:
    """Find the axes whose coordinate runs against a north-up image.

    A network has learnt where shadows lie from images with north above.
    Numbers of pixels (0, 1, 2, …, or their centres, also of means of pixels) are no coordinates of a map, and say
    nothing.
    """
    return tuple(
        axis for axis, grows in NORTH_UP.items() if _is_map_axis(cube, axis) and _is_growing(cube, axis) != grows
    )


def _is_map_axis(cube: xr.DataArray, axis: str) -> bool:
    if axis not in cube.coords or cube.coords[axis].dims != (axis,) or cube.coords[axis].dtype.kind not in "iuf":
        return False
    values = np.asarray(cube.coords[axis].values, dtype=np.float64)
    steps = np.diff(values)
    if (steps > 0).any() and (steps < 0).any():
        raise CubeError(
            f"The coordinate {axis} goes up and down, so neighbouring pixels are not neighbours on the ground: "
            f"order it with cube.sortby('{axis}')."
        )
    return bool((steps > 0).all() or (steps < 0).all()) and not _is_counting(values, steps)


def _is_counting(values: NDArray[np.float64], steps: NDArray[np.float64]) -> bool:
    """Tell whether a coordinate numbers pixels, or means of them, from 0 or 1 on."""
    step = steps[0]
    if (steps != step).any() or step not in range(1, COARSEST_COUNT + 1):
        return False
    return values[0] - (step - 1) / 2 in (0.0, 0.5, 1.0)


def _is_growing(cube: xr.DataArray, axis: str) -> bool:
    return bool(cube.coords[axis][0] < cube.coords[axis][-1])


def _find_mosaic(word: str, card: ModelCard) -> Mosaic | None:
    if word not in MOSAICS:
        raise CubeError(f"No mosaic {word!r}: known are {', '.join(MOSAICS)}.")
    if MOSAICS[word] and card.mosaic is None:
        raise CubeError(
            f"{card.id} has no mosaic of its own: its card lacks kappamask:mosaic; say {option('mosaic', 'blended')}."
        )
    return card.mosaic if MOSAICS[word] else None


def _declared_nodata(cube: xr.DataArray) -> tuple[float, ...]:
    """List every nodata value that the attributes declare, whatever the library that wrote them."""
    found: set[float] = set()
    for key in NODATA_ATTRIBUTES:
        declared: Any = cube.attrs.get(key)
        if declared is None:
            continue
        try:
            values = np.asarray(declared, dtype=np.float64).ravel()
        except (TypeError, ValueError) as error:
            raise CubeError(f"The cube's attribute '{key}' is {declared!r}; needed is a number.") from error
        found.update(float(value) for value in values if np.isfinite(value))
    return tuple(sorted(found))


def resolve_level(cube: xr.DataArray, card: ModelCard, level: str | None) -> str:
    """Decide the product level: as given, else by bands, attribute `level` or card.

    Raises CubeError if nothing decides, if bands and level contradict, or if the network is not for that level.
    """
    shown = {LEVEL_BANDS[b] for b in map(str, cube.coords["bands"].values) if b in LEVEL_BANDS}
    stated = parse_level(cube.attrs.get("level") if level is None else level)
    if stated is None and len(shown) == 1:
        stated = shown.copy().pop()
    if stated is None and len(card.levels) == 1:
        stated = card.levels[0]
    if not isinstance(stated, str) or stated not in LEVELS:
        given = "not known" if stated is None else repr(stated)
        raise CubeError(f"The product level is {given}: say {L1C_HINT} or {L2A_HINT}.")
    if stated not in card.levels:
        raise CubeError(
            f"{card.id} is for {' and '.join(card.levels)}, not for {stated}: choose another with {option('model')}."
        )
    if stated == "L2A" and "L1C" in shown:
        raise CubeError(f"level is L2A, but the cube has B10, which only L1C has: say {L1C_HINT}, or leave B10 out.")
    if stated == "L1C" and "L2A" in shown:
        raise CubeError(f"level is L1C, but the cube has AOT, WVP or SCL, which only L2A has: say {L2A_HINT}.")
    return str(stated)
