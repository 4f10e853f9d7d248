"""Hold a process graph's cube: an xarray array, its area, and the processes on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from openeo.metadata import BandDimension, CubeMetadata, SpatialDimension, TemporalDimension
from openeo_driver.datacube import DriverDataCube
from openeo_driver.datastructs import StacAsset
from openeo_driver.utils import EvalEnv

from kappamask.backend.bands import compute_ndvi, describe_band
from kappamask.backend.callbacks import Callback
from kappamask.backend.dimensions import add_dimension, apply_along, check_target, list_labels
from kappamask.backend.engines import Run
from kappamask.backend.errors import api_error, invalid_parameter
from kappamask.backend.filters import select_labels
from kappamask.backend.grid import Bounds, crop, intersection, make_grid, transform_bounds
from kappamask.backend.kernel import convolve
from kappamask.backend.masking import hide_masked, hide_polygon, is_inside
from kappamask.backend.merging import merge
from kappamask.backend.neighborhood import Neighborhood
from kappamask.backend.periods import list_periods
from kappamask.backend.resampling import METHODS, match_grid, resample
from kappamask.backend.save import write
from kappamask.backend.temporal import aggregate_intervals
from kappamask.backend.udf_dimension import run_along, run_by_date, run_reducer
from kappamask.backend.udf_node import UdfNode

__all__ = ["SceneCube"]


class SceneCube(DriverDataCube):  # type: ignore[misc]
    """A cube of scenes, with NaN for no data.

    Its dims are ("t",) "bands", "y", "x"; float32, or uint8 once it is scaled to it.
    `area` is what the user asked for, in the cube's CRS. The array may reach `margin` pixels further, so that
    neighbourhoods see real pixels at the area's edge; saving cuts it off.
    """

    def __init__(self, array: xr.DataArray, area: Bounds, margin: int = 0, run: Run | None = None) -> None:
        self.array = array
        self.area = area
        self._margin = margin
        self._run = run or Run()
        super().__init__(_metadata(array))

    def _derive(self, array: xr.DataArray, area: Bounds | None = None) -> SceneCube:
        return SceneCube(array, self.area if area is None else area, self._margin, self._run)

    def filter_bands(self, bands: list[str]) -> SceneCube:
        """Bands by name, in the order given."""
        have = [str(b) for b in self.array.bands.values]
        missing = [band for band in bands if band not in have]
        if missing:
            raise invalid_parameter(
                "filter_bands", "bands", f"no band {', '.join(missing)}; there are {', '.join(have)}"
            )
        return self._derive(self.array.sel(bands=bands))

    def filter_temporal(self, start: str | None, end: str | None) -> SceneCube:
        """Dates from `start` up to and without `end`."""
        t = pd.DatetimeIndex(self.array.t.values)
        first = t.min() if start is None else pd.Timestamp(start).tz_localize(None)
        after = t.max() + pd.Timedelta(1, "D") if end is None else pd.Timestamp(end).tz_localize(None)
        keep = np.flatnonzero((t >= first) & (t < after))
        if not keep.size:
            have = ", ".join(f"{day:%Y-%m-%d}" for day in t)
            raise invalid_parameter("filter_temporal", "extent", f"no date lies in [{start}, {end}); there are {have}")
        return self._derive(self.array.isel(t=keep))

    def filter_labels(self, condition: dict[str, Any], dimension: str, **_unused: Any) -> SceneCube:
        """Dates whose label, such as 2018-02-02T00:00:00Z, fulfils the condition."""
        if dimension != "t":
            raise invalid_parameter(
                "filter_labels", "dimension", f"labels of {dimension!r} cannot be filtered, those of 't' can"
            )
        labels = [f"{day:%Y-%m-%dT%H:%M:%SZ}" for day in pd.DatetimeIndex(self.array.t.values)]
        keep = np.flatnonzero(select_labels(labels, condition))
        if not keep.size:
            raise invalid_parameter("filter_labels", "condition", f"no date fulfils it; there are {', '.join(labels)}")
        return self._derive(self.array.isel(t=keep))

    def filter_bbox(self, west: float, south: float, east: float, north: float, crs: Any = None) -> SceneCube:
        """Pixels that the box touches."""
        box = transform_bounds((west, south, east, north), crs or 4326, self.epsg)
        inside = intersection(box, self.area)
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            raise invalid_parameter(
                "filter_bbox", "extent", f"{box} (EPSG:{self.epsg}) lies outside the cube, {self.area}"
            )
        left, _, _, top = self.array.rio.bounds()
        grid = make_grid(inside, self.epsg, abs(self.array.rio.resolution()[0]), (left, top))
        wider = grid.pad(self._margin).boundingbox.bbox
        return self._derive(crop(self.array, wider), grid.boundingbox.bbox)

    def filter_spatial(self, geometries: Any) -> SceneCube:
        """Pixels in the geometries; others become NaN, and the cube is cut."""
        inside, bounds = is_inside(self.array, geometries)
        west, south, east, north = bounds
        return self._derive(self.array.where(inside)).filter_bbox(west, south, east, north, crs=self.epsg)

    def resample_spatial(
        self, resolution: Any = 0, projection: Any = None, method: str = "near", align: str = "upper-left"
    ) -> SceneCube:
        """Other pixel size or CRS; 0 and None keep what the cube has."""
        if align != "upper-left":
            raise invalid_parameter("resample_spatial", "align", f"{align!r} is not supported; there is upper-left")
        _check_method("resample_spatial", method)
        x, y = resolution if isinstance(resolution, (list, tuple)) else (resolution, resolution)
        step = (float(x), float(y)) if x and y else None
        target = projection or self.epsg
        if target == self.epsg and step in (None, tuple(map(abs, self.array.rio.resolution()))):
            return self
        warped = resample(self.array, target, step, METHODS[method])
        return self._derive(warped, transform_bounds(self.area, self.epsg, target))

    def resample_cube_spatial(self, target: SceneCube, method: str = "near") -> SceneCube:
        """Bring the pixels to the grid of `target`; NaN where this cube does not reach."""
        _check_method("resample_cube_spatial", method)
        matched = match_grid(self.array, target.array, METHODS[method])
        return SceneCube(matched, target.area, target._margin, self._run)

    def apply_neighborhood(
        self,
        process: dict[str, Any],
        *,
        size: list[dict[str, Any]],
        overlap: list[dict[str, Any]] | None = None,
        context: Any = None,
        env: EvalEnv,
    ) -> SceneCube:
        """One UDF over chunks, as `chunks.apply_neighborhood` describes."""
        plan = Neighborhood.parse(process, size, overlap or [], context, env)
        return self._derive(plan.run(self.array, self._run))

    def apply(self, process: dict[str, Any], *, context: Any = None, env: EvalEnv) -> SceneCube:
        """Arithmetic for each pixel, `linear_scale_range`, or one UDF."""
        if node := UdfNode.parse("apply", process, context, env):
            return self._derive(run_by_date(node, self.array, self._run))
        return self._derive(Callback.parse("apply", process, None, _constants(context, env))(x=self.array))

    def apply_dimension(
        self,
        process: dict[str, Any],
        *,
        dimension: str,
        target_dimension: str | None = None,
        context: Any = None,
        env: EvalEnv,
    ) -> SceneCube:
        """Other values along `t` or `bands`, by one UDF or by arithmetic and arrays."""
        if node := UdfNode.parse("apply_dimension", process, context, env):
            return self._derive(run_along(node, self.array, self._run, dimension, target_dimension))
        check_target(dimension, target_dimension)
        callback = Callback.parse("apply_dimension", process, dimension, _constants(context, env))
        return self._derive(apply_along(self.array, callback, dimension))

    def reduce_dimension(
        self, reducer: dict[str, Any], *, dimension: str, context: Any = None, env: EvalEnv
    ) -> SceneCube:
        """The cube without its bands or dates, by reducers and arithmetic or by one UDF."""
        if node := UdfNode.parse("reduce_dimension", reducer, context, env):
            return self._derive(run_reducer(node, self.array, self._run, dimension))
        if dimension not in ("t", "bands"):
            raise invalid_parameter("reduce_dimension", "dimension", f"{dimension} cannot be reduced; t and bands can")
        callback = Callback.parse("reduce_dimension", reducer, dimension, _constants(context, env))
        return self._derive(callback(data=self.array))

    def aggregate_temporal(
        self,
        intervals: list[Any],
        reducer: dict[str, Any],
        labels: list[Any] | None = None,
        dimension: str | None = "t",
        context: Any = None,
        reduce: bool = True,  # noqa: ARG002
    ) -> SceneCube:
        """One date for each interval; see `temporal.aggregate_intervals`."""
        self._check_dimension(dimension or "t", allowed=("t",))
        callback = Callback.parse("aggregate_temporal", reducer, "t", {"context": context})
        return self._derive(aggregate_intervals(self.array, intervals, labels, lambda cube: callback(data=cube)))

    def aggregate_temporal_period(
        self, period: str, reducer: dict[str, Any], dimension: str | None = None, context: Any = None
    ) -> SceneCube:
        """One date, its start, for each calendar period; see `periods`."""
        self._check_dimension(dimension or "t", allowed=("t",))
        intervals = list_periods(pd.DatetimeIndex(self.array.t.values), period)
        return self.aggregate_temporal(intervals, reducer, dimension=dimension, context=context)

    def apply_kernel(self, kernel: Any, factor: float = 1, border: Any = 0, replace_invalid: float = 0) -> SceneCube:
        """Weighted sums of the pixels round each pixel of the area; see `kernel.convolve`."""
        return self._derive(convolve(crop(self.array, self.area), kernel, factor, border, replace_invalid))

    def add_dimension(self, name: str, label: Any, type: str = "other") -> SceneCube:  # noqa: A002
        """The cube with `t` or `bands` of one label."""
        return self._derive(add_dimension(self.array, name, label, type))

    def dimension_labels(self, dimension: str) -> list[Any]:
        """The labels of a dimension, x and y without the pixels beyond the area."""
        self._check_dimension(dimension, allowed=("t", "bands", "y", "x"))
        return list_labels(crop(self.array, self.area), dimension)

    def drop_dimension(self, name: str) -> SceneCube:
        """The cube without a dimension of one label."""
        self._check_dimension(name, allowed=("t", "bands"))
        if self.array.sizes[name] != 1:
            raise api_error(
                "DimensionLabelCountMismatch",
                f"The dimension {name} has {self.array.sizes[name]} labels and only one of 1 can be dropped; use "
                "reduce_dimension or a filter first.",
            )
        return self._derive(self.array.isel({name: 0}, drop=True))

    def _check_dimension(self, name: str, allowed: tuple[str, ...]) -> None:
        have = [dim for dim in allowed if dim in self.array.dims]
        if name not in have:
            listed = f"there is {' and '.join(have)}" if have else "the cube has none that fits"
            raise api_error("DimensionNotAvailable", f"No dimension {name} can be used here; {listed}.")

    def ndvi(self, nir: str = "nir", red: str = "red", target_band: str | None = None) -> SceneCube:
        """The vegetation index, alone or as an added band; see `bands.compute_ndvi`."""
        return self._derive(compute_ndvi(self.array, nir, red, target_band))

    def merge_cubes(self, other: SceneCube, overlap_resolver: dict[str, Any] | None = None) -> SceneCube:
        """The labels of both cubes on this one's pixels; see `merging.merge`."""
        resolver = Callback.parse("merge_cubes", overlap_resolver) if overlap_resolver else None
        return self._derive(merge(self.array, other.array, resolver).rio.write_crs(self.epsg))

    def rename_labels(self, dimension: str, target: list[Any], source: list[Any] | None = None) -> SceneCube:
        """New names for all bands, or for those in `source`."""
        if dimension != "bands" or "bands" not in self.array.dims:
            raise invalid_parameter(
                "rename_labels", "dimension", f"{dimension} cannot be renamed; bands can, if the cube has any"
            )
        have, new = [str(band) for band in self.array.bands.values], [str(label) for label in target]
        if source:
            names = dict(zip(map(str, source), new, strict=True))
            new = [names.get(band, band) for band in have]
        if len(new) != len(have) or len(set(new)) != len(new):
            reason = f"{target} does not give {len(have)} distinct labels to {', '.join(have)}"
            raise invalid_parameter("rename_labels", "target", reason)
        return self._derive(self.array.assign_coords(bands=new))

    def mask(self, mask: SceneCube, replacement: float | None = None) -> SceneCube:
        """Where the mask is not 0, `replacement` or NaN; see `masking.hide_masked`."""
        return self._derive(hide_masked(self.array, mask.array, replacement))

    def mask_polygon(self, mask: Any, replacement: float | None = None, inside: bool = False) -> SceneCube:
        """Outside the polygons, or inside them, `replacement` or NaN; see `masking.hide_polygon`."""
        return self._derive(hide_polygon(self.array, mask, replacement, inside))

    @property
    def epsg(self) -> int:
        """EPSG code of the cube's CRS."""
        return int(self.array.rio.crs.to_epsg())

    def write_assets(
        self,
        filename: Any,
        format: str,  # noqa: A002
        format_options: dict[str, Any] | None = None,
    ) -> dict[str, StacAsset]:
        """Write the area's pixels into the folder `filename`; file name -> asset metadata."""
        return write(crop(self.array, self.area), filename, format, format_options or {})


def _metadata(array: xr.DataArray) -> CubeMetadata:
    crs, step = array.rio.crs.to_epsg(), abs(float(array.rio.resolution()[0]))
    dims: list[Any] = [SpatialDimension(name=name, extent=[], crs=crs, step=step) for name in ("x", "y")]
    if "t" in array.dims:
        dims.append(TemporalDimension(name="t", extent=[]))
    if "bands" in array.dims:
        dims.append(BandDimension(name="bands", bands=[describe_band(str(b)) for b in array.bands.values]))
    return CubeMetadata(dimensions=dims)


def _constants(context: Any, env: EvalEnv | None) -> dict[str, Any]:
    """List what a callback may refer to: its context, and the graph's parameters."""
    return {**(env.collect_parameters() if env else {}), "context": context}


def _check_method(process: str, method: str) -> None:
    if method not in METHODS:
        raise invalid_parameter(process, "method", f"{method!r} is not supported; there are {', '.join(METHODS)}")
