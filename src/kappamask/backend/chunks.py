"""Run a UDF of `apply_neighborhood` on a local cube, chunk by chunk as Copernicus does.

The rules are those of openeo-geopyspark-driver 0.73.0 (`geopysparkdatacube.py`, `apply_tiles` and
`apply_tiles_spatiotemporal`) and of `OpenEOProcesses.scala` (`retile`, `makeSquareTile`, `remove_overlap`):

* the chunk grid starts at the cube's upper-left pixel; every chunk is `size + 2 * overlap` pixels wide and high,
  with NaN where the cube ends;
* overlap is read only if it is above 0 in both directions;
* a chunk is float32, nodata is NaN, and a chunk without any valid value never reaches the UDF;
* per date ("P1D") a chunk is (bands, y, x) with the date in `attrs["t"]`; otherwise it is (t, bands, y, x) holding
  the dates that have data there;
* what comes back is cropped by the overlap.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import openeo
import xarray as xr
from numpy.typing import NDArray

from kappamask.backend.chunk_geometry import Chunk, Piece, Results, Window
from kappamask.backend.udf_call import Udf
from kappamask.models import CubeError

__all__ = ["Engine", "Job", "Result", "Strip", "apply_neighborhood", "run_serially", "run_strip"]

MINIMUM_SIZE = 4
"""Smallest chunk edge in pixels that the Copernicus back-end accepts (its CHANGELOG, `apply_neighborhood`)."""
READ_AHEAD = 1 << 29
"""Bytes of float32 that are read at once. Files come in blocks of 1024 pixels, of which each chunk of 480 uses a few
corners; reading chunk by chunk would decode every block about ten times."""


@dataclass(frozen=True)
class Strip:
    """Neighbouring chunks and the place of the pixels that they share."""

    chunks: tuple[Chunk, ...]
    rows: tuple[int, int]
    """First row, and the one behind the last."""
    columns: tuple[int, int]
    cube: tuple[int, int]
    """Rows and columns of the whole cube."""


Result = tuple[Chunk, Piece | None]
Job = tuple[Strip, Any]
"""A strip and its pixels, as a numpy or dask array (bands, y, x) or (t, bands, y, x)."""
Engine = Callable[[Udf, Iterable[Job]], Iterator[Result]]
"""Runs a UDF over strips and yields the results of their chunks in any order."""


def run_serially(udf: Udf, jobs: Iterable[Job]) -> Iterator[Result]:
    """Run the plain engine: one strip after the other in this process."""
    for strip, pixels in jobs:
        yield from run_strip(udf, strip, np.asarray(pixels))


def run_strip(udf: Udf, strip: Strip, pixels: NDArray[Any]) -> Iterator[Result]:
    """Call the UDF for each chunk of a strip."""
    window, (height, width) = udf.window, strip.cube
    for chunk in strip.chunks:
        top, bottom = (row - strip.rows[0] for row in window.rows(chunk.y, window.size, height))
        left, right = (column - strip.columns[0] for column in window.columns(chunk.x, window.size, width))
        yield chunk, udf(chunk, pixels[..., top:bottom, left:right])


def apply_neighborhood(
    cube: xr.DataArray,
    udf: str | openeo.UDF,
    size: int,
    overlap: int | tuple[int, int] = 0,
    context: dict[str, Any] | None = None,
    *,
    per_date: bool = True,
    epsg: int | None = None,
    retain_nodata_tiles: bool = False,
    buffer_from_data: bool = True,
    strict: bool = True,
    flat_results: bool = False,
    engine: Engine = run_serially,
    read_ahead: int = READ_AHEAD,
    progress: Callable[[int, int], None] | None = None,
) -> xr.DataArray:
    """Run a UDF over a cube in the chunks that the Copernicus back-end would cut.

    cube: dims ("bands", "y", "x") or ("t", "bands", "y", "x") in any order, numpy or dask, any dtype; `y` descending.
        Values equal to `attrs["nodata"]` (or `_FillValue`) and NaN are nodata.
    udf: the UDF's source text, or an `openeo.UDF` (whose context is used where `context` is None).
    size: payload edge of a chunk in pixels, at least 4.
    overlap: pixels added on each side; a pair is (x, y).
    per_date: True for `{"dimension": "t", "value": "P1D"}`, False where `t` is left out of `size`.
    epsg: handed to UDFs that take `UdfData` (`proj`); `apply_datacube` never sees it.
    retain_nodata_tiles: pass chunks and dates without data too (the back-end's feature flag of that name).
    buffer_from_data: False gives NaN instead of neighbouring pixels in the overlap, as happens on the back-end where
        no neighbouring tile was read (openeo-geopyspark-driver#982).
    strict: False lets the back-end's traps happen instead of raising: an overlap above 0 in one direction only buffers
        nothing and is cropped all the same, and a result of the wrong size is cropped blindly. An overlap above `size`
        is then computed as the openEO process says, whereas the back-end shifts or fails
        (openeo-geopyspark-driver#1191).
    flat_results: take a result (y, x) of one date as one band, as the back-end does in `reduce_dimension`.
    engine: runs the chunks, see `run_serially`.
    read_ahead: bytes of float32 to read at once, in whole rows of chunks; 0 reads chunk by chunk.
    progress: called with (chunks done, chunks in all).

    Returns float32 (bands, y, x) or (t, bands, y, x), NaN where there is no data. Bands are named as the UDF's result
    names them; the real back-end takes names only from `apply_metadata` or from a `rename_labels` behind this process.
    Without `per_date`, dates are those that the UDF returned, or 2020-01-01 alone where it returned no `t`. A cube in
    which no chunk has data comes back as NaN with its own labels.

    Raises CubeError for a cube, a size or a result that breaks a rule; whatever the UDF raises passes unchanged.
    """
    window = _parse_window(size, overlap, buffer_from_data, strict)
    cube = _in_order(cube)
    plan = _plan_chunks(cube, size, per_date)
    call = Udf.from_cube(udf, context, cube, window, epsg)
    call = replace(call, keep_nodata=retain_nodata_tiles, flat_results=flat_results)
    results = Results(cube, size, per_date)
    for done, (chunk, piece) in enumerate(engine(call, _iter_jobs(cube, plan, window, read_ahead)), start=1):
        if piece is not None:
            results.add(chunk, piece)
        if progress:
            progress(done, len(plan))
    return results.cube()


def _parse_window(size: int, overlap: int | tuple[int, int], buffer_from_data: bool, strict: bool) -> Window:
    overlap_x, overlap_y = (overlap, overlap) if isinstance(overlap, int) else overlap
    if size < MINIMUM_SIZE:
        raise CubeError(f"Chunks of {size} px are too small; apply_neighborhood needs {MINIMUM_SIZE} px or more.")
    if min(overlap_x, overlap_y) < 0:
        raise CubeError(f"The overlap {overlap} is negative; give 0 or more pixels.")
    if strict and (overlap_x > 0) != (overlap_y > 0):
        raise CubeError(
            f"The overlap is {overlap_x} px in x and {overlap_y} px in y; Copernicus reads none unless both are "
            "above 0, yet crops by it. Use the same overlap in both."
        )
    if strict and max(overlap_x, overlap_y) > size:
        raise CubeError(
            f"The overlap {overlap} exceeds the size {size}; Copernicus then shifts its output "
            "(openeo-geopyspark-driver#1191). Use an overlap of at most the size."
        )
    buffered = overlap_x > 0 and overlap_y > 0
    return Window(size, overlap_x, overlap_y, buffered, buffered and buffer_from_data, strict)


def _in_order(cube: xr.DataArray) -> xr.DataArray:
    """Dims ("t",) "bands", "y", "x", with coordinates on x and y; `y` descending."""
    unknown = set(cube.dims) - {"t", "bands", "y", "x"}
    if unknown or not {"y", "x"} <= set(cube.dims):
        raise CubeError(f"The cube has dims {cube.dims}; it needs (bands, y, x) or (t, bands, y, x). Rename or select.")
    if "t" in cube.dims and "t" not in cube.coords:
        raise CubeError("The cube's t dimension has no dates; use cube.assign_coords(t=[...]).")
    if "bands" not in cube.dims:
        cube = cube.expand_dims("bands")
    for dim, step in (("x", 1.0), ("y", -1.0)):
        if dim not in cube.coords:
            cube = cube.assign_coords({dim: step * (np.arange(cube.sizes[dim]) + 0.5)})
    if cube.sizes["y"] > 1 and float(cube.y[1]) > float(cube.y[0]):
        raise CubeError('The cube\'s y ascends; openEO cubes start in the north. Use sortby("y", ascending=False).')
    return cube.transpose(*(dim for dim in ("t", "bands", "y", "x") if dim in cube.dims))


def _plan_chunks(cube: xr.DataArray, size: int, per_date: bool) -> list[Chunk]:
    """List chunks row by row; the grid starts at the upper-left pixel."""
    dates: Iterable[int | None] = range(cube.sizes["t"]) if per_date and "t" in cube.dims else [None]
    return [
        Chunk(y, x, t) for t in dates for y in range(0, cube.sizes["y"], size) for x in range(0, cube.sizes["x"], size)
    ]


def _iter_jobs(cube: xr.DataArray, plan: list[Chunk], window: Window, read_ahead: int) -> Iterator[Job]:
    """List strips of whole rows of chunks, or of parts where `read_ahead` is small."""
    height, width = cube.sizes["y"], cube.sizes["x"]
    layers = cube.sizes["bands"] * (1 if plan and plan[0].t is not None else cube.sizes.get("t", 1))
    held = max(read_ahead // (4 * max(layers, 1) * window.size**2), 1)
    across = -(-width // window.size)
    rows, columns = (held // across, across) if held >= across else (1, held)
    for _, group in groupby(plan, key=lambda c: (c.t, c.y // (rows * window.size), c.x // (columns * window.size))):
        chunks = tuple(group)
        first, last = chunks[0], chunks[-1]
        strip = Strip(
            chunks,
            window.rows(first.y, last.y - first.y + window.size, height),
            window.columns(first.x, last.x - first.x + window.size, width),
            (height, width),
        )
        part = cube if first.t is None else cube.isel(t=first.t)
        yield strip, part.isel(y=slice(*strip.rows), x=slice(*strip.columns)).data
