"""The cube behind a process graph: an xarray array, the area asked for, and the processes that the back-end offers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers the .rio accessor)
import shapely
import xarray as xr
from openeo.metadata import Band, BandDimension, CubeMetadata, SpatialDimension, TemporalDimension
from openeo_driver.datacube import DriverDataCube, DriverVectorCube
from openeo_driver.datastructs import StacAsset
from openeo_driver.errors import OpenEOApiException, ProcessParameterInvalidException
from openeo_driver.utils import EvalEnv
from pyproj import Transformer
from rasterio.features import geometry_mask

from kappamask.backend.callbacks import callback, numbers
from kappamask.backend.engines import Run
from kappamask.backend.filters import METHODS, kept, resample
from kappamask.backend.grid import Bounds, PixelGrid, crop, intersection, transform_bounds
from kappamask.backend.neighborhood import Neighborhood
from kappamask.backend.save import write

__all__ = ["SceneCube"]

TOLERANCE = 1e-3
"""Distance in units of the CRS within which pixel centres of two cubes are the same."""


class SceneCube(DriverDataCube):  # type: ignore[misc]
    """A cube with dims ("t",) "bands", "y", "x", float32 (or uint8 once scaled to it), NaN for no data.

    `area` is what the user asked for, in the cube's CRS. The array may reach `margin` pixels further, so that
    neighbourhoods see real pixels at the area's edge; saving cuts it off.
    """

    def __init__(self, array: xr.DataArray, area: Bounds, margin: int = 0, run: Run | None = None) -> None:
        self.array = array
        self.area = area
        self._margin = margin
        self._run = run or Run()
        super().__init__(_metadata(array))

    def _with(self, array: xr.DataArray, area: Bounds | None = None) -> SceneCube:
        return SceneCube(array, self.area if area is None else area, self._margin, self._run)

    def filter_bands(self, bands: list[str]) -> SceneCube:
        """Bands by name, in the order given."""
        have = [str(b) for b in self.array.bands.values]
        missing = [band for band in bands if band not in have]
        if missing:
            raise _invalid("filter_bands", "bands", f"no band {', '.join(missing)}; there are {', '.join(have)}")
        return self._with(self.array.sel(bands=bands))

    def filter_temporal(self, start: str | None, end: str | None) -> SceneCube:
        """Dates from `start` up to and without `end`."""
        t = pd.DatetimeIndex(self.array.t.values)
        first = t.min() if start is None else pd.Timestamp(start).tz_localize(None)
        after = t.max() + pd.Timedelta(1, "D") if end is None else pd.Timestamp(end).tz_localize(None)
        keep = np.flatnonzero((t >= first) & (t < after))
        if not keep.size:
            have = ", ".join(f"{day:%Y-%m-%d}" for day in t)
            raise _invalid("filter_temporal", "extent", f"no date lies in [{start}, {end}); there are {have}")
        return self._with(self.array.isel(t=keep))

    def filter_labels(self, condition: dict[str, Any], dimension: str, **_unused: Any) -> SceneCube:
        """Dates whose label, such as 2018-02-02T00:00:00Z, fulfils the condition."""
        if dimension != "t":
            raise _invalid(
                "filter_labels", "dimension", f"labels of {dimension!r} cannot be filtered, those of 't' can"
            )
        labels = [f"{day:%Y-%m-%dT%H:%M:%SZ}" for day in pd.DatetimeIndex(self.array.t.values)]
        keep = np.flatnonzero(kept(labels, condition))
        if not keep.size:
            raise _invalid("filter_labels", "condition", f"no date fulfils it; there are {', '.join(labels)}")
        return self._with(self.array.isel(t=keep))

    def filter_bbox(self, west: float, south: float, east: float, north: float, crs: Any = None) -> SceneCube:
        """Pixels that the box touches."""
        box = transform_bounds((west, south, east, north), crs or 4326, self.epsg)
        inside = intersection(box, self.area)
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            raise _invalid("filter_bbox", "extent", f"{box} (EPSG:{self.epsg}) lies outside the cube, {self.area}")
        grid = PixelGrid.of(self.array, inside)
        return self._with(crop(self.array, grid.grown(self._margin)), grid.bounds)

    def filter_spatial(self, geometries: Any) -> SceneCube:
        """Pixels whose centre lies in the geometries; the others become NaN."""
        shape, crs = geometries, 4326
        if isinstance(geometries, DriverVectorCube):
            shape, crs = geometries.to_multipolygon(), geometries.get_crs() or 4326
        to_cube = Transformer.from_crs(crs, self.epsg, always_xy=True).transform
        local = shapely.transform(shapely.geometry.shape(shape), lambda xy: np.column_stack(to_cube(*xy.T)))
        west, south, east, north = local.bounds
        outside = geometry_mask([local], (self.array.sizes["y"], self.array.sizes["x"]), self.array.rio.transform())
        masked = self.array.where(~xr.DataArray(outside, dims=("y", "x")))
        return self._with(masked).filter_bbox(west, south, east, north, crs=self.epsg)

    def resample_spatial(
        self, resolution: Any = 0, projection: Any = None, method: str = "near", align: str = "upper-left"
    ) -> SceneCube:
        """Other pixel size or CRS; 0 and None keep what the cube has."""
        if align != "upper-left":
            raise _invalid("resample_spatial", "align", f"{align!r} is not supported; there is upper-left")
        if method not in METHODS:
            raise _invalid("resample_spatial", "method", f"{method!r} is not supported; there are {', '.join(METHODS)}")
        x, y = resolution if isinstance(resolution, (list, tuple)) else (resolution, resolution)
        step = (float(x), float(y)) if x and y else None
        target = projection or self.epsg
        if target == self.epsg and step in (None, tuple(map(abs, self.array.rio.resolution()))):
            return self
        warped = resample(self.array, target, step, METHODS[method])
        return self._with(warped, transform_bounds(self.area, self.epsg, target))

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
        return self._with(plan.run(self.array, self.epsg, self._run).rio.write_crs(self.epsg))

    def apply(self, process: dict[str, Any], *, context: Any = None, env: EvalEnv) -> SceneCube:  # noqa: ARG002
        """Arithmetic for each pixel, and `linear_scale_range`; see `callbacks`."""
        return self._with(callback("apply", process)(self.array))

    def reduce_dimension(
        self,
        reducer: dict[str, Any],
        *,
        dimension: str,
        context: Any = None,  # noqa: ARG002
        env: EvalEnv,  # noqa: ARG002
    ) -> SceneCube:
        """The cube without its bands or dates; see `callbacks`."""
        if dimension not in ("t", "bands"):
            raise _invalid("reduce_dimension", "dimension", f"{dimension} cannot be reduced; t and bands can")
        return self._with(callback("reduce_dimension", reducer, dimension)(self.array))

    def merge_cubes(self, other: SceneCube, overlap_resolver: str | None = None) -> SceneCube:
        """The bands of both cubes; they must differ, and so must no pixel grid."""
        mine, theirs = [str(b) for b in self.array.bands.values], [str(b) for b in other.array.bands.values]
        both = [band for band in mine if band in theirs]
        if both or overlap_resolver:
            reason = f"both cubes have {', '.join(both)}" if both else "resolvers are not supported"
            raise _invalid("merge_cubes", "overlap_resolver", f"{reason}; rename the bands first")
        near = other.array.reindex(y=self.array.y, x=self.array.x, method="nearest", tolerance=TOLERANCE)
        if near.notnull().sum() == 0:
            raise _invalid("merge_cubes", "cube2", "the cubes share no pixel; load both for the same area")
        return self._with(xr.concat([self.array, near], "bands", join="outer").rio.write_crs(self.epsg))

    def rename_labels(self, dimension: str, target: list[Any], source: list[Any] | None = None) -> SceneCube:
        """New names for all bands, or for those in `source`."""
        if dimension != "bands" or "bands" not in self.array.dims:
            raise _invalid(
                "rename_labels", "dimension", f"{dimension} cannot be renamed; bands can, if the cube has any"
            )
        have, new = [str(band) for band in self.array.bands.values], [str(label) for label in target]
        if source:
            names = dict(zip(map(str, source), new, strict=True))
            new = [names.get(band, band) for band in have]
        if len(new) != len(have) or len(set(new)) != len(new):
            reason = f"{target} does not give {len(have)} distinct labels to {', '.join(have)}"
            raise _invalid("rename_labels", "target", reason)
        return self._with(self.array.assign_coords(bands=new))

    def mask(self, mask: SceneCube, replacement: float | None = None) -> SceneCube:
        """Where the mask holds a number other than 0, `replacement` or NaN."""
        other = numbers(mask.array)
        other = other.squeeze("bands", drop=True) if other.sizes.get("bands") == 1 else other
        near = other.reindex(y=self.array.y, x=self.array.x, method="nearest", tolerance=TOLERANCE)
        hit = (near != 0) & near.notnull()
        missing: Any = False  # xarray takes any value, and declares a sentinel
        aligned = hit.reindex({d: self.array[d] for d in ("t", "bands") if d in hit.dims}, fill_value=missing)
        kept = numbers(self.array).where(~aligned, np.nan if replacement is None else replacement)
        return self._with(kept.transpose(*self.array.dims).astype(np.float32))

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
        dims.append(BandDimension(name="bands", bands=[Band(name=str(b)) for b in array.bands.values]))
    return CubeMetadata(dimensions=dims)


def _invalid(process: str, parameter: str, reason: str) -> OpenEOApiException:
    return ProcessParameterInvalidException(process=process, parameter=parameter, reason=f"{reason}.")
