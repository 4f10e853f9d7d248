"""UDFs in callbacks, as the Copernicus back-end runs them.

The rules are those of openeo-geopyspark-driver 0.72 and 0.73 (`geopysparkdatacube.py`: `apply`, `apply_dimension`,
`reduce_dimension`, `_run_udf_dimension`). Outside neighbourhoods, the UDF sees the layer's own tiles, 256 x 256 pixels
without overlap, NaN where the cube ends:

* in `apply`, and along `bands`: (bands, y, x), one date at a time;
* along `t`: (t, bands, y, x), the dates of that tile that have data;
* along another dimension: FeatureUnsupported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import xarray as xr
from openeo.metadata import Band, BandDimension, CubeMetadata
from openeo.udf.run_code import load_module_from_string
from openeo_driver.ProcessGraphDeserializer import _get_udf, convert_node
from openeo_driver.util.pgparsing import SingleRunUDFProcessGraph
from openeo_driver.utils import EvalEnv

from kappamask.backend.chunks import apply_neighborhood
from kappamask.backend.engines import Run
from kappamask.backend.errors import make_api_error, make_parameter_error
from kappamask.backend.udf_runtime import check_dependencies
from kappamask.models import KappaMaskError

__all__ = ["LAYER_TILE_PX", "UdfNode", "run_along", "run_by_date", "run_reducer"]

LAYER_TILE_PX = 256
"""Edge of the tiles in which the Copernicus back-end holds a cube, and hands it to UDFs outside neighbourhoods."""


@dataclass(frozen=True)
class UdfNode:
    """A checked UDF with its context."""

    code: str
    context: dict[str, Any]

    @classmethod
    def parse(cls, parent: str, process: dict[str, Any], context: Any, env: EvalEnv) -> UdfNode | None:
        """Check a callback; None if it is no single `run_udf`.

        context: of the process `parent`, which the UDF sees where its own refers to it.
        Raises openEO errors for an unknown runtime, text that is no Python, or dependencies that are not installed.
        """
        single = SingleRunUDFProcessGraph.parse_or_none(process)
        if single is None:
            return None
        inner = env.push_parameters({"context": context})
        node: dict[str, Any] = convert_node(
            {"udf": single.udf, "runtime": single.runtime, "version": single.version, "context": single.context},
            env=inner,
        )
        code, _ = _get_udf(node, env=env)
        try:
            compile(code, "udf", "exec")
        except (SyntaxError, ValueError, TypeError) as error:
            reason = f"the UDF is no Python text: {error}. Put the text itself into the graph"
            raise make_parameter_error(parent, "process", reason) from error
        check_dependencies(code)
        return cls(code, dict(node["context"] or {}))

    def run(
        self,
        cube: xr.DataArray,
        run: Run,
        *,
        size: int = LAYER_TILE_PX,
        overlap: int = 0,
        per_date: bool,
        flat_results: bool = False,
    ) -> xr.DataArray:
        """Run the UDF over a cube in chunks; see `chunks.apply_neighborhood` for the parameters.

        Returns float32 with bands named as `apply_metadata` announces them, else as the UDF's result names them. Raises
        the openEO error UdfError (500) with the message of whatever failed.
        """
        epsg = cube.rio.crs.to_epsg()
        try:
            result = apply_neighborhood(
                cube, self.code, size, overlap, self.context, per_date=per_date, epsg=epsg, engine=run.engine,
                progress=run.progress, read_ahead=run.read_ahead, flat_results=flat_results,
            )  # fmt: skip
            names = self._announce_bands(cube, per_date)
        except KappaMaskError as error:
            raise make_api_error("UdfError", str(error), 500) from error
        except Exception as error:
            raise make_api_error("UdfError", f"The UDF failed: {type(error).__name__}: {error}", 500) from error
        result = result.assign_coords(bands=names) if names else result
        located: xr.DataArray = result.rio.write_crs(epsg)
        return located

    def _announce_bands(self, cube: xr.DataArray, per_date: bool) -> list[str] | None:
        """Call the UDF's `apply_metadata`: per date if its name occurs, else if it is defined."""
        found = (
            "apply_metadata" in self.code
            if per_date
            else re.search(r"^def\s+apply_metadata\s*\(", self.code, re.MULTILINE)
        )
        if not found:
            return None
        bands = [Band(name=str(b)) for b in cube.bands.values]
        metadata = load_module_from_string(self.code)["apply_metadata"](
            CubeMetadata([BandDimension("bands", bands)]), self.context
        )
        return list(metadata.band_names)


def run_by_date(node: UdfNode, cube: xr.DataArray, run: Run) -> xr.DataArray:
    """Run the UDF of `apply`, date by date."""
    return node.run(cube, run, per_date=True)


def run_along(node: UdfNode, cube: xr.DataArray, run: Run, dimension: str, target_dimension: str | None) -> Any:
    """Run the UDF of `apply_dimension`, which sets the labels of the dimension."""
    _check_udf_dimension("apply_dimension", dimension)
    if target_dimension not in (None, dimension):
        raise make_api_error(
            "FeatureUnsupported",
            f"apply_dimension: the target_dimension {target_dimension} has no effect on a UDF on Copernicus, and is "
            "refused here; leave it out.",
        )
    return node.run(cube, run, per_date=dimension != "t")


def run_reducer(node: UdfNode, cube: xr.DataArray, run: Run, dimension: str) -> xr.DataArray:
    """Run the UDF of `reduce_dimension`, and drop the dimension of one label.

    A result along `bands` may be (y, x) or (bands, y, x). One along `t` may have no `t`, or one date for each tile.
    Raises the openEO error UdfError (500) for more.
    """
    _check_udf_dimension("reduce_dimension", dimension)
    if dimension == "t":
        return _drop_dates(node.run(cube, run, per_date=False))
    result = node.run(cube, run, per_date=True, flat_results=True)
    if result.sizes["bands"] != 1 and bool(result.notnull().any()):
        raise make_api_error(
            "UdfError",
            f"reduce_dimension along bands: the UDF returned {result.sizes['bands']} bands; it must return one.",
            500,
        )
    return result.isel(bands=0, drop=True)


def _drop_dates(result: xr.DataArray) -> xr.DataArray:
    """Drop `t`; tiles may have dates of their own, but each pixel only one."""
    if "t" not in result.dims:
        return result
    most = int(result.notnull().any("bands").sum("t").max())
    if most > 1:
        raise make_api_error(
            "UdfError",
            f"reduce_dimension along t: the UDF returned {most} dates for one tile; it must return one, or none by "
            "dropping t.",
            500,
        )
    return result.max("t", keep_attrs=True)


def _check_udf_dimension(process: str, dimension: str) -> None:
    if dimension not in ("t", "bands"):
        raise make_api_error(
            "FeatureUnsupported",
            f"{process}: a UDF cannot run along {dimension}; it can along t and bands, as on Copernicus.",
        )
