"""Call a UDF with a chunk, and check its result (openeo-geopyspark-driver 0.73.0)."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import openeo
import openeo.udf
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from kappamask.backend.chunk_geometry import Chunk, Piece, Window
from kappamask.models import CubeError

__all__ = ["Udf"]

CUBE_NAME = "openEODataChunk"
"""Name of every cube that the Copernicus back-end hands to a UDF."""
DATE_WITHOUT_T = np.datetime64("2020-01-01", "ns")
"""Date that the Copernicus back-end gives a series' result that has no `t`."""

NOT_FOUND = "No UDF found."
"""What openEO's client says of a text without a function that it knows by name and annotations."""
NO_FUNCTION = (
    "The UDF has no function that openEO finds. It needs `def apply_datacube(cube: xarray.DataArray, context: dict) -> "
    "xarray.DataArray:` with these names and annotations, and no `from __future__ import annotations`: that hides them."
)

NO_SERIES = (
    "The UDF's apply_timeseries is not one that openEO finds: it needs `def apply_timeseries(series: pandas.Series, "
    "context: dict) -> pandas.Series:` with these names and annotations, and no `from __future__ import annotations`."
)
SERIES = re.compile(r"^def\s+apply_timeseries\s*\(", re.MULTILINE)
OF_CUBES = re.compile(r"^def\s+apply_(?:datacube|hypercube|udf_data)\s*\(", re.MULTILINE)
"""Functions of a UDF that take a whole chunk, and not the series of one pixel."""


@dataclass(frozen=True)
class Udf:
    """A UDF with all that it needs besides pixels; any process can call it."""

    code: str
    context: dict[str, Any]
    window: Window
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    steps: tuple[float, float]
    """Pixel size in x and y; that in y is negative."""
    bands: list[str] | None
    dates: pd.DatetimeIndex | None
    nodata: float | None
    epsg: int | None
    keep_nodata: bool = False
    """Whether chunks and dates without data are passed too."""
    flat_results: bool = False
    """Whether a result (y, x) of one date is one band."""

    @classmethod
    def from_cube(
        cls,
        udf: str | openeo.UDF,
        context: dict[str, Any] | None,
        cube: xr.DataArray,
        window: Window,
        epsg: int | None,
    ) -> Udf:
        """Take the UDF's text and context, and a cube's labels."""
        code = udf.code if isinstance(udf, openeo.UDF) else udf
        given = context if context is not None else (udf.context if isinstance(udf, openeo.UDF) else None)
        nodata = cube.attrs.get("nodata", cube.attrs.get("_FillValue"))
        return cls(
            code=code,
            context=dict(given or {}),
            window=window,
            x=np.asarray(cube.x.values, np.float64),
            y=np.asarray(cube.y.values, np.float64),
            steps=(_step(cube.x.values, 1.0), _step(cube.y.values, -1.0)),
            bands=[str(b) for b in cube.bands.values] if "bands" in cube.coords else None,
            dates=pd.DatetimeIndex(cube.t.values) if "t" in cube.dims else None,
            nodata=None if nodata is None else float(nodata),
            epsg=epsg,
        )

    def __call__(self, chunk: Chunk, block: NDArray[Any]) -> Piece | None:
        """Run the UDF on pixels (t,) (bands, y, x); None without data."""
        values = self.window.pad(self._as_float32(block), chunk.y, chunk.x)
        dates = self.dates
        if values.ndim == 4 and not self.keep_nodata:
            present = np.flatnonzero(~np.isnan(values).all(axis=(1, 2, 3)))
            values, dates = values[present], None if dates is None else dates[present]
        if values.size == 0 or (not self.keep_nodata and np.isnan(values).all()):
            return None
        given = self._make_cube(chunk, values, dates)
        result = self._run(given)
        return self._transpose_series(result) if given.ndim == 4 else self._check_single(result)

    def _as_float32(self, block: NDArray[Any]) -> NDArray[np.float32]:
        values = block.astype(np.float32)
        if self.nodata is not None:
            values[block == self.nodata] = np.nan
        return values

    def _make_cube(self, chunk: Chunk, values: NDArray[np.float32], dates: pd.DatetimeIndex | None) -> xr.DataArray:
        """Label the chunk as Copernicus does: float32 cell centres, text, dates in a series."""
        above, left = self.window.margins
        height, width = self.window.shape
        coords: dict[str, Any] = {
            "y": _compute_centres(self.y[chunk.y], self.steps[1], above, height),
            "x": _compute_centres(self.x[chunk.x], self.steps[0], left, width),
        }
        attrs: dict[str, Any] = {}
        if self.bands is not None:
            coords["bands"] = self.bands
        if values.ndim == 4 and dates is not None:
            coords["t"] = dates
        if chunk.t is not None and self.dates is not None:
            attrs["t"] = self.dates[chunk.t].to_pydatetime()
        dims = ("t", "bands", "y", "x")[-values.ndim :]
        return xr.DataArray(values, dims=dims, coords=coords, attrs=attrs, name=CUBE_NAME)

    def _run(self, cube: xr.DataArray) -> xr.DataArray:
        is_of_series = bool(SERIES.search(self.code)) and not OF_CUBES.search(self.code)
        if is_of_series and "t" not in cube.dims:
            raise CubeError(
                "The UDF has apply_timeseries, which needs several dates, and this process gives one at a time: call "
                "it in apply_dimension(dimension='t'), or write apply_datacube."
            )
        data = openeo.udf.UdfData(
            proj={"EPSG": self.epsg} if self.epsg else {},
            datacube_list=[openeo.udf.XarrayDataCube(cube)],
            user_context=copy.deepcopy(self.context),
        )
        try:
            cubes = openeo.udf.run_udf_code(self.code, data).get_datacube_list() or []
        except openeo.udf.OpenEoUdfException as error:
            if str(error) != NOT_FOUND:
                raise
            raise CubeError(NO_SERIES if is_of_series else NO_FUNCTION) from error
        if len(cubes) != 1:
            raise CubeError(f"The UDF returned {len(cubes)} cubes; it must return exactly one.")
        return cubes[0].get_array()

    def _check_single(self, result: xr.DataArray) -> Piece:
        """Check one date: raw values as (bands, y, x), whatever the dims' names."""
        values = np.asarray(result.values, np.float32)
        if values.ndim == 2 and self.flat_results:
            values = values[np.newaxis]
        if values.ndim != 3:
            raise CubeError(
                f"The UDF returned an array of shape {values.shape}; for one date it must have three dims: bands, y, x."
            )
        return Piece(self._cut_payload(values)[np.newaxis], self._choose_band_names(result, values.shape[0]), [None])

    def _transpose_series(self, result: xr.DataArray) -> Piece:
        """Transpose a series by name, and date a result without `t` to 2020-01-01."""
        timeless = "t" not in result.dims
        expected = ("bands", "y", "x") if timeless else ("t", "bands", "y", "x")
        if set(result.dims) != set(expected) or (not timeless and "t" not in result.coords):
            raise CubeError(
                f"The UDF returned dims {result.dims}; for a series it must return (bands, y, x), or "
                "(t, bands, y, x) with dates."
            )
        values = np.asarray(result.transpose(*expected).values, np.float32)
        dates = [DATE_WITHOUT_T] if timeless else list(pd.DatetimeIndex(result.t.values).values)
        payload = self._cut_payload(values)
        return Piece(
            payload[np.newaxis] if timeless else payload, self._choose_band_names(result, values.shape[-3]), dates
        )

    def _cut_payload(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.window.strict and values.shape[-2:] != self.window.shape:
            given, needed = values.shape[-2:], self.window.shape
            raise CubeError(
                f"The UDF returned {given[0]} x {given[1]} px; it must return all {needed[0]} x {needed[1]} px of its "
                "chunk, overlap included."
            )
        return self.window.crop(values)

    def _choose_band_names(self, result: xr.DataArray, count: int) -> list[str]:
        """Return the result's own labels, else the cube's if there are as many, else numbers."""
        if not count:
            raise CubeError("The UDF returned no bands; it must return one or more.")
        if "bands" in result.coords and result.coords["bands"].size == count:
            return [str(b) for b in np.atleast_1d(result.coords["bands"].values)]
        return self.bands if self.bands is not None and len(self.bands) == count else [str(i) for i in range(count)]


def _step(centres: NDArray[Any], single: float) -> float:
    return float(centres[1] - centres[0]) if len(centres) > 1 else single


def _compute_centres(first: float, step: float, before: int, count: int) -> NDArray[np.float32]:
    """Compute a chunk's cell centres, also beyond the cube; float32 as on Copernicus."""
    return (first + step * (np.arange(count) - before)).astype(np.float32)
