"""Find the single `run_udf` node of a callback, and run its UDF."""

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
from kappamask.backend.dependencies import check_dependencies
from kappamask.backend.engines import Run
from kappamask.backend.errors import api_error, invalid_parameter
from kappamask.models import KappaMaskError

__all__ = ["LAYER_TILE_PX", "UdfNode"]

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
            raise invalid_parameter(parent, "process", reason) from error
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
            raise api_error("UdfError", str(error), 500) from error
        except Exception as error:
            raise api_error("UdfError", f"The UDF failed: {type(error).__name__}: {error}", 500) from error
        result = result.assign_coords(bands=names) if names else result
        located: xr.DataArray = result.rio.write_crs(epsg)
        return located

    def _announce_bands(self, cube: xr.DataArray, per_date: bool) -> list[str] | None:
        """Ask `apply_metadata`: per date the mere word triggers it, in series a definition."""
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
