"""Hold a process graph's cube: an xarray array, its area, and the processes on it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from openeo.metadata import Band, BandDimension, CubeMetadata, SpatialDimension, TemporalDimension
from openeo_driver.datacube import DriverDataCube
from openeo_driver.datastructs import StacAsset
from openeo_driver.utils import EvalEnv

from kappamask.backend.engines import Run
from kappamask.backend.errors import make_api_error, make_parameter_error
from kappamask.backend.grid import Bounds, crop, intersect_boxes, make_grid, transform_bounds
from kappamask.backend.processes import dimensions
from kappamask.backend.processes.callbacks import Callback
from kappamask.backend.processes.neighborhood import Neighborhood, convolve
from kappamask.backend.processes.overlay import hide_masked, hide_polygon, merge
from kappamask.backend.processes.pixel_math import compute_ndvi
from kappamask.backend.processes.spatial import find_method, is_inside, match_grid, resample
from kappamask.backend.processes.temporal import aggregate_intervals, filter_dates, list_periods
from kappamask.backend.processes.udf import UdfNode, run_along, run_by_date, run_reducer
from kappamask.backend.save import write
from kappamask.models.band_names import COMMON_NAMES

__all__ = ["SceneCube", "describe_band"]

EO_NAMES = {band: "rededge" if name.startswith("rededge") else name for name, band in COMMON_NAMES.items()}
"""Sentinel-2 band -> its common name in the STAC extension eo, version 1, which three bands share."""


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
        super().__init__(_make_metadata(array))

    def _derive_cube(self, array: xr.DataArray, area: Bounds | None = None) -> SceneCube:
        return SceneCube(array, self.area if area is None else area, self._margin, self._run)

    def filter_bands(self, bands: list[str]) -> SceneCube:
        """Select bands by name, in the order given."""
        return self._derive_cube(dimensions.filter_bands(self.array, bands))

    def filter_temporal(self, start: str | None, end: str | None) -> SceneCube:
        """Select dates from `start` up to and without `end`."""
        return self._derive_cube(filter_dates(self.array, start, end))

    def filter_labels(self, condition: dict[str, Any], dimension: str, **_unused: Any) -> SceneCube:
        """Select dates whose label, such as 2018-02-02T00:00:00Z, fulfils the condition."""
        return self._derive_cube(dimensions.filter_labels(self.array, condition, dimension))

    def filter_bbox(self, west: float, south: float, east: float, north: float, crs: Any = None) -> SceneCube:
        """Select the pixels that the box touches."""
        box = transform_bounds((west, south, east, north), crs or 4326, self.epsg)
        inside = intersect_boxes(box, self.area)
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            raise make_parameter_error(
                "filter_bbox", "extent", f"{box} (EPSG:{self.epsg}) lies outside the cube, {self.area}"
            )
        left, _, _, top = self.array.rio.bounds()
        grid = make_grid(inside, self.epsg, abs(self.array.rio.resolution()[0]), (left, top))
        wider = grid.pad(self._margin).boundingbox.bbox
        return self._derive_cube(crop(self.array, wider), grid.boundingbox.bbox)

    def filter_spatial(self, geometries: Any) -> SceneCube:
        """Keep pixels in the geometries; others become NaN, and the cube is cut."""
        inside, bounds = is_inside(self.array, geometries)
        west, south, east, north = bounds
        return self._derive_cube(self.array.where(inside)).filter_bbox(west, south, east, north, crs=self.epsg)

    def resample_spatial(
        self, resolution: Any = 0, projection: Any = None, method: str = "near", align: str = "upper-left"
    ) -> SceneCube:
        """Change pixel size or CRS; 0 and None keep what the cube has."""
        if align != "upper-left":
            raise make_parameter_error("resample_spatial", "align", f"{align!r} is not supported; there is upper-left")
        warp_method = find_method("resample_spatial", method)
        x, y = resolution if isinstance(resolution, (list, tuple)) else (resolution, resolution)
        step = (float(x), float(y)) if x and y else None
        target = projection or self.epsg
        if target == self.epsg and step in (None, tuple(map(abs, self.array.rio.resolution()))):
            return self
        warped = resample(self.array, target, step, warp_method)
        return self._derive_cube(warped, transform_bounds(self.area, self.epsg, target))

    def resample_cube_spatial(self, target: SceneCube, method: str = "near") -> SceneCube:
        """Bring the pixels to the grid of `target`; NaN where this cube does not reach."""
        matched = match_grid(self.array, target.array, find_method("resample_cube_spatial", method))
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
        """Run one UDF over chunks, as `chunks.apply_neighborhood` describes."""
        plan = Neighborhood.parse(process, size, overlap or [], context, env)
        return self._derive_cube(plan.run(self.array, self._run))

    def apply(self, process: dict[str, Any], *, context: Any = None, env: EvalEnv) -> SceneCube:
        """Apply arithmetic, `linear_scale_range` or one UDF to each pixel."""
        if node := UdfNode.parse("apply", process, context, env):
            return self._derive_cube(run_by_date(node, self.array, self._run))
        return self._derive_cube(Callback.parse("apply", process, None, _list_constants(context, env))(x=self.array))

    def apply_dimension(
        self,
        process: dict[str, Any],
        *,
        dimension: str,
        target_dimension: str | None = None,
        context: Any = None,
        env: EvalEnv,
    ) -> SceneCube:
        """Change values along `t` or `bands`, by one UDF or by arithmetic and arrays."""
        if node := UdfNode.parse("apply_dimension", process, context, env):
            return self._derive_cube(run_along(node, self.array, self._run, dimension, target_dimension))
        dimensions.check_target(dimension, target_dimension)
        callback = Callback.parse("apply_dimension", process, dimension, _list_constants(context, env))
        return self._derive_cube(dimensions.apply_along(self.array, callback, dimension))

    def reduce_dimension(
        self, reducer: dict[str, Any], *, dimension: str, context: Any = None, env: EvalEnv
    ) -> SceneCube:
        """Reduce the bands or dates by reducers and arithmetic or by one UDF."""
        if node := UdfNode.parse("reduce_dimension", reducer, context, env):
            return self._derive_cube(run_reducer(node, self.array, self._run, dimension))
        if dimension not in ("t", "bands"):
            raise make_parameter_error("reduce_dimension", "dimension", f"{dimension} is neither t nor bands")
        callback = Callback.parse("reduce_dimension", reducer, dimension, _list_constants(context, env))
        return self._derive_cube(callback(data=self.array))

    def aggregate_temporal(
        self,
        intervals: list[Any],
        reducer: dict[str, Any],
        labels: list[Any] | None = None,
        dimension: str | None = "t",
        context: Any = None,
        reduce: bool = True,  # noqa: ARG002
    ) -> SceneCube:
        """Make one date of each interval; see `processes.temporal.aggregate_intervals`."""
        self._check_dimension(dimension or "t", allowed=("t",))
        callback = Callback.parse("aggregate_temporal", reducer, "t", {"context": context})
        return self._derive_cube(aggregate_intervals(self.array, intervals, labels, lambda cube: callback(data=cube)))

    def aggregate_temporal_period(
        self, period: str, reducer: dict[str, Any], dimension: str | None = None, context: Any = None
    ) -> SceneCube:
        """Make one date, its start, of each calendar period; see `processes.temporal.PERIODS`."""
        self._check_dimension(dimension or "t", allowed=("t",))
        intervals = list_periods(pd.DatetimeIndex(self.array.t.values), period)
        return self.aggregate_temporal(intervals, reducer, dimension=dimension, context=context)

    def apply_kernel(self, kernel: Any, factor: float = 1, border: Any = 0, replace_invalid: float = 0) -> SceneCube:
        """Compute weighted sums round each pixel of the area; see `processes.neighborhood.convolve`."""
        return self._derive_cube(convolve(crop(self.array, self.area), kernel, factor, border, replace_invalid))

    def add_dimension(self, name: str, label: Any, type: str = "other") -> SceneCube:  # noqa: A002
        """Add the dimension `t` or `bands` with one label."""
        return self._derive_cube(dimensions.add_dimension(self.array, name, label, type))

    def dimension_labels(self, dimension: str) -> list[Any]:
        """List the labels of a dimension, x and y without the pixels beyond the area."""
        self._check_dimension(dimension, allowed=("t", "bands", "y", "x"))
        return dimensions.list_labels(crop(self.array, self.area), dimension)

    def drop_dimension(self, name: str) -> SceneCube:
        """Drop a dimension of one label."""
        self._check_dimension(name, allowed=("t", "bands"))
        return self._derive_cube(dimensions.drop_dimension(self.array, name))

    def _check_dimension(self, name: str, allowed: tuple[str, ...]) -> None:
        have = [dim for dim in allowed if dim in self.array.dims]
        if name not in have:
            listed = f"there is {' and '.join(have)}" if have else "the cube has none that fits"
            raise make_api_error("DimensionNotAvailable", f"No dimension {name} can be used here; {listed}.")

    def ndvi(self, nir: str = "nir", red: str = "red", target_band: str | None = None) -> SceneCube:
        """Compute the vegetation index, alone or as an added band; see `processes.pixel_math.compute_ndvi`."""
        return self._derive_cube(compute_ndvi(self.array, nir, red, target_band))

    def merge_cubes(self, other: SceneCube, overlap_resolver: dict[str, Any] | None = None) -> SceneCube:
        """Merge the labels of both cubes on this one's pixels; see `processes.overlay.merge`."""
        resolver = Callback.parse("merge_cubes", overlap_resolver) if overlap_resolver else None
        return self._derive_cube(merge(self.array, other.array, resolver).rio.write_crs(self.epsg))

    def rename_labels(self, dimension: str, target: list[Any], source: list[Any] | None = None) -> SceneCube:
        """Rename all bands, or those in `source`."""
        return self._derive_cube(dimensions.rename_bands(self.array, dimension, target, source))

    def mask(self, mask: SceneCube, replacement: float | None = None) -> SceneCube:
        """Put `replacement` or NaN where the mask is not 0; see `processes.overlay.hide_masked`."""
        return self._derive_cube(hide_masked(self.array, mask.array, replacement))

    def mask_polygon(self, mask: Any, replacement: float | None = None, inside: bool = False) -> SceneCube:
        """Hide pixels outside the polygons, or inside them; see `processes.overlay.hide_polygon`."""
        return self._derive_cube(hide_polygon(self.array, mask, replacement, inside))

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


def describe_band(name: str) -> Band:
    """Describe a band with its common name, if it has one."""
    return Band(name=name, common_name=EO_NAMES.get(name))


def _make_metadata(array: xr.DataArray) -> CubeMetadata:
    crs, step = array.rio.crs.to_epsg(), abs(float(array.rio.resolution()[0]))
    dims: list[Any] = [SpatialDimension(name=name, extent=[], crs=crs, step=step) for name in ("x", "y")]
    if "t" in array.dims:
        dims.append(TemporalDimension(name="t", extent=[]))
    if "bands" in array.dims:
        dims.append(BandDimension(name="bands", bands=[describe_band(str(b)) for b in array.bands.values]))
    return CubeMetadata(dimensions=dims)


def _list_constants(context: Any, env: EvalEnv | None) -> dict[str, Any]:
    """List what a callback may refer to: its context, and the graph's parameters."""
    return {**(env.collect_parameters() if env else {}), "context": context}
