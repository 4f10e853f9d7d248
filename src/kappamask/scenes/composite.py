"""Composite many dates: each pixel from the date on which it is clearest."""

from collections.abc import Callable, Sequence
from math import ceil, cos, inf, radians
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import CubeError
from kappamask.models.card import NODATA_CODE
from kappamask.models.cleaning import PIXEL_M
from kappamask.models.schemes import find_class_codes
from kappamask.scenes.grid import DEGREE, find_pixel_size
from kappamask.scenes.masking import UNCLEAR, find_hidden, hide_pixels, list_layers
from kappamask.scenes.readers.raster import CHUNK
from kappamask.scenes.xarray_interop import align_mask, compute_mask, restore_dims, select_provenance, to_canonical_dims
from kappamask.udf.cube import compute_chunk_sizes
from kappamask.udf.schemes import MISSING, UNDEFINED, to_kappamask

__all__ = ["NONE", "REACH", "choose_dates", "make_composite"]

da: Any = dask.array  # its annotations are partial
NONE = -1
"""In place of a date's number: no date is clear."""
Codes = NDArray[np.uint8]
Planes = NDArray[np.int16]
REACH = 1500.0
"""Metres to the nearest cloud or shadow beyond which more is no better: 50 Landsat pixels (Griffiths et al. 2013,
doi:10.1109/JSTARS.2012.2228167)."""
METHODS = ("best", "newest", "median")
SECONDS = {"units": "seconds since 1970-01-01", "dtype": "float64"}
"""How dates are written to a file: a lazy one cannot be asked for its first date."""


def choose_dates(mask: xr.DataArray, classes: Sequence[str], order: Sequence[int], reach_m: float) -> xr.DataArray:
    """Choose the best date of each pixel, and count its clear dates.

    mask: (t, y, x). classes: what is not clear, besides undefined and missing pixels. order: numbers of the dates, the
    preferred first. reach_m: up to this distance in metres, a date is better the farther its pixel is from `classes`;
    of equals the first in `order` counts.

    Returns int16 (2, y, x): number, times. Lazy if the mask is; equal block by block, for blocks overlap by `reach_m`.
    """
    away, size = find_class_codes(classes), _pixel_metres(mask)
    hidden = np.array(sorted({*away, UNDEFINED, MISSING, NODATA_CODE}), np.uint8)
    codes = to_kappamask(mask).transpose("t", "y", "x")

    def best_of_block(block: Codes) -> Planes:
        return _best_dates(block, np.array(away, np.uint8), hidden, order, size, reach_m)

    depth = tuple(min(ceil(reach_m / side), length) for side, length in zip(size, codes.shape[1:], strict=True))
    data = best_of_block(codes.data) if codes.chunks is None else _map_overlap(codes.data, best_of_block, depth)
    coords = {dim: codes[dim] for dim in ("y", "x") if dim in codes.coords}
    return xr.DataArray(data, dims=("which", "y", "x"), coords=coords)


def _map_overlap(codes: Any, best: Callable[[Codes], Planes], depth: tuple[int, ...]) -> Any:
    """Apply `best` to blocks that overlap by `depth` pixels in y and x."""
    margins = {0: 0, 1: depth[0], 2: depth[1]}
    wide = da.overlap.overlap(codes.rechunk({0: -1, 1: CHUNK, 2: CHUNK}), margins, boundary="none")
    empty = np.empty((0, 0, 0), np.int16)
    found = wide.map_blocks(best, chunks=((2,), *wide.chunks[1:]), dtype=np.int16, meta=empty)
    return da.overlap.trim_internal(found, margins, boundary="none")


def _best_dates(
    codes: Codes, away: Codes, hidden: Codes, order: Sequence[int], size: tuple[float, float], reach: float
) -> Planes:
    number = np.full(codes.shape[1:], NONE, np.int16)
    farthest, times = np.full(codes.shape[1:], -1.0), np.zeros(codes.shape[1:], np.int16)
    for date in order:
        clear = ~np.isin(codes[date], hidden)
        times += clear
        distance = _distance_metres(np.isin(codes[date], away), size, reach)
        better = clear & (distance > farthest)
        np.copyto(number, date, where=better)
        np.copyto(farthest, distance, where=better)
    return np.stack([number, times])


def _distance_metres(cloud: NDArray[np.bool_], size: tuple[float, float], reach: float) -> NDArray[np.float64]:
    """Compute the metres to the nearest True pixel, at most `reach`."""
    if not reach or not cloud.any():
        return np.array(reach, np.float64)
    from scipy.ndimage import distance_transform_edt

    return np.asarray(np.minimum(distance_transform_edt(~cloud, sampling=size), reach))


def _pixel_metres(mask: xr.DataArray) -> tuple[float, float]:
    """Find height and width of a pixel in metres."""
    width, height, unit = find_pixel_size(mask) or (PIXEL_M, PIXEL_M, "m")
    if unit == "degree":
        return height * DEGREE, width * DEGREE * cos(radians(float(mask["y"].mean())))
    return (height, width) if unit == "m" else (PIXEL_M, PIXEL_M)


def make_composite(
    data: xr.DataArray | xr.Dataset,
    mask: Any = None,
    *,
    method: str = "best",
    classes: Sequence[str] = UNCLEAR,
    target: Any = None,
    reach_m: float = REACH,
    **options: Any,
) -> xr.Dataset:
    """Compose a cloud-free image of a time series, pixel by pixel.

    data: a cube (t, bands, y, x), or a dataset with a variable (t, y, x) for each band; numpy or dask.
    mask: (t, y, x), of the same pixels and dates; left out, `cloud_mask` makes it with `options`.
    method: "best", from the date on which the pixel is clear and farthest from `classes`, of equal ones (farther than
        `reach_m` is equal) the nearest to `target`; "newest", from the last date on which it is clear; "median", of
        each band by itself over all clear dates, which is the spectrum of no date.
    classes: names of classes that are not clear; undefined and missing pixels never are.
    target: a date, as "2024-06-15"; left out, the middle between the first and the last.
    reach_m: metres; where the pixels' size is not known it is taken to be 10 m.

    Returns a Dataset, lazy if data or mask are: `composite` (bands, y, x), for a dataset its own variables, floats, NaN
    where no date is clear; `clear_dates` (y, x), int16, how many dates were clear; but for "median" `date` (y, x),
    datetime64 with NaT, or where `data` has no times the number along t, int16, -1 where no date is clear.
    Raises CubeError for data without dates, a mask of other pixels, or an unknown word.

    Of a lazy series without `mask` all blocks that the network reads are kept until the composite is made of them; a
    series of whole products needs less memory with masks from files.

    Example, of the last clear pixels of a series, and how old they are:
        >>> made = make_composite(cube, method="newest", level="L2A")
        >>> age = cube.t.max() - made.date
        >>> age.dims, made.composite.dtype.name
        (('y', 'x'), 'float32')
    """
    if method not in METHODS:
        raise CubeError(f"No method {method!r}: known are {', '.join(METHODS)}.")
    if not 0 <= reach_m < inf:
        raise CubeError(f"The reach is {reach_m} m; needed is 0 or more.")
    named, own = to_canonical_dims(compute_chunk_sizes(data) if isinstance(data, xr.DataArray) else data)
    classes = [classes] if isinstance(classes, str) else [*classes]
    if not named.sizes.get("t"):
        raise CubeError("A composite needs several dates: the data have no dimension t or time, or no date in it.")
    codes = align_mask(compute_mask(named, **options) if mask is None else mask, named)
    if "t" not in codes.dims:
        raise CubeError("A composite needs a mask of each date, dims (t, y, x); this mask has no dates.")
    chosen = choose_dates(codes, classes, _order_dates(named, method, target), reach_m if method == "best" else 0.0)
    number, times = chosen.isel(which=0), chosen.isel(which=1)
    if method == "median":
        made = _compose_block(named, lambda layer: _median_of_dates(layer, find_hidden(codes, classes)))
    else:
        made = _compose_block(named, lambda layer: _pick_pixels(layer, number)).assign(date=_map_dates(named, number))
    made = made.assign(clear_dates=times.assign_attrs(long_name="dates on which the pixel is clear", units="1"))
    return restore_dims(
        made.assign_attrs(select_provenance(codes) | {"method": method, "unclear": " ".join(classes)}), own
    )


def _find_times(data: xr.DataArray | xr.Dataset) -> pd.DatetimeIndex | None:
    timed = "t" in data.coords and np.issubdtype(data["t"].dtype, np.datetime64)
    return pd.DatetimeIndex(data["t"].values) if timed else None


def _order_dates(data: xr.DataArray | xr.Dataset, method: str, target: Any) -> list[int]:
    """Return the numbers of the dates, the preferred first."""
    times = _find_times(data)
    if times is None:
        if method == "newest" or target is not None:
            raise CubeError("The dates have no times: give the dimension t a coordinate of datetime64.")
        return list(range(data.sizes["t"]))
    if method == "newest":
        return [int(i) for i in np.argsort(-times.asi8, kind="stable")]
    middle = times.min() + (times.max() - times.min()) / 2 if target is None else _parse_moment(target)
    return [int(i) for i in np.argsort(np.abs((times - middle).asi8), kind="stable")]


def _parse_moment(target: Any) -> pd.Timestamp:
    try:
        moment = pd.Timestamp(target)
    except (TypeError, ValueError):
        moment = pd.NaT
    if moment is pd.NaT:
        raise CubeError(f"The target {target!r} is no date; needed is one such as '2024-06-15'.")
    return moment.tz_convert(None) if moment.tz else moment


def _map_dates(data: xr.DataArray | xr.Dataset, number: xr.DataArray) -> xr.DataArray:
    times, attrs = _find_times(data), {"long_name": "date that the pixel is of"}
    if times is None:
        return number.assign_attrs(attrs)
    table = np.append(times.values, np.datetime64("NaT"))  # which NONE, -1, is the index of
    made: xr.DataArray = xr.apply_ufunc(table.__getitem__, number, dask="parallelized", output_dtypes=[table.dtype])
    made.attrs, made.encoding = attrs, dict(SECONDS)
    return made


def _compose_block(data: xr.DataArray | xr.Dataset, make: Callable[[xr.DataArray], xr.DataArray]) -> xr.Dataset:
    """Apply `make` to every layer that has dates; keep other layers as they are."""
    still = data.drop_vars([name for name, coord in data.coords.items() if "t" in coord.dims])
    if isinstance(still, xr.DataArray):
        return make(still).to_dataset(name="composite")
    made = {name: make(layer) for name, layer in list_layers(still).items() if "t" in layer.dims}
    found: xr.Dataset = still.assign(made).drop_dims("t", errors="ignore")
    return found


def _pick_pixels(layer: xr.DataArray, number: xr.DataArray) -> xr.DataArray:
    """Take each pixel from the date that `number` gives.

    Goes date by date, so that no more than one is held in memory.
    """
    dates = (hide_pixels(layer.isel(t=date), number != date) for date in range(layer.sizes["t"]))
    found = first = next(dates)
    for date in dates:
        found = found.fillna(date)
    found.encoding = first.encoding
    return found


def _median_of_dates(layer: xr.DataArray, hidden: xr.DataArray) -> xr.DataArray:
    clear = hide_pixels(layer, hidden)
    whole = clear.chunk(t=-1) if clear.chunks else clear
    found: xr.DataArray = xr.apply_ufunc(
        _median_without_nan,
        whole,
        input_core_dims=[["t"]],
        dask="parallelized",
        output_dtypes=[whole.dtype],
        keep_attrs=True,
    )
    found.encoding = clear.encoding
    return found


def _median_without_nan(values: NDArray[Any]) -> NDArray[Any]:
    """Compute the median along the last axis, without NaN.

    numpy.nanmedian warns of pixels that are NaN on all dates, and is slower.
    """
    ordered, times = np.sort(values, axis=-1), np.count_nonzero(~np.isnan(values), axis=-1)[..., None]
    pair = np.concatenate([np.maximum(times - 1, 0) // 2, np.minimum(times // 2, values.shape[-1] - 1)], axis=-1)
    return np.asarray(np.take_along_axis(ordered, pair, axis=-1).mean(axis=-1))


# Earlier names, which the documentation showed.
composite = make_composite
