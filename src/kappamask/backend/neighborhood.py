"""The arguments of the openEO process `apply_neighborhood`, accepted and refused as the Copernicus back-end does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import xarray as xr
from openeo.metadata import Band, BandDimension, CubeMetadata
from openeo.udf.run_code import load_module_from_string
from openeo_driver.errors import OpenEOApiException, ProcessParameterInvalidException
from openeo_driver.ProcessGraphDeserializer import _get_udf, convert_node
from openeo_driver.util.pgparsing import SingleRunUDFProcessGraph
from openeo_driver.utils import EvalEnv

from kappamask.backend.chunks import MINIMUM_SIZE, apply_neighborhood
from kappamask.backend.engines import Run
from kappamask.models import KappaMaskError

__all__ = ["Neighborhood"]

PER_DATE = "P1D"
"""The only length of time that the back-end takes."""


@dataclass(frozen=True)
class Neighborhood:
    """A checked `apply_neighborhood` node."""

    code: str
    context: dict[str, Any]
    size: int
    overlap: int
    per_date: bool

    @classmethod
    def parse(
        cls,
        process: dict[str, Any],
        size: list[dict[str, Any]],
        overlap: list[dict[str, Any]],
        context: Any,
        env: EvalEnv,
    ) -> Neighborhood:
        """Check a node's arguments; errors are openEO's ProcessParameterInvalid."""
        sizes, overlaps = _by_dimension("size", size), _by_dimension("overlap", overlap)
        if "t" in overlaps:
            raise _invalid("overlap", "an overlap in t is not supported")
        edge = _square("size", sizes, None)
        border = _square("overlap", overlaps, 0)
        if edge < MINIMUM_SIZE:
            raise _invalid("size", f"{edge} px is too small, it needs {MINIMUM_SIZE} px or more")
        if border > edge:
            raise _invalid(
                "overlap",
                f"{border} px exceeds the size of {edge} px, for which the Copernicus back-end shifts its output",
            )
        code, own = _udf(process, context, env)
        return cls(code, own, edge, border, _per_date(sizes.get("t")))

    def run(self, cube: xr.DataArray, epsg: int, run: Run) -> xr.DataArray:
        """The result cube, float32; errors of the UDF become openEO's with its message."""
        try:
            result = apply_neighborhood(
                cube, self.code, self.size, self.overlap, self.context,
                per_date=self.per_date, epsg=epsg, engine=run.engine, progress=run.progress, read_ahead=run.read_ahead,
            )  # fmt: skip
            names = self._announced(cube)
        except KappaMaskError as error:
            raise OpenEOApiException(str(error), code="UdfError", status_code=500) from error
        except Exception as error:
            raise OpenEOApiException(
                f"The UDF failed: {type(error).__name__}: {error}", code="UdfError", status_code=500
            ) from error
        return result.assign_coords(bands=names) if names else result

    def _announced(self, cube: xr.DataArray) -> list[str] | None:
        """Band names from the UDF's `apply_metadata`; the mere word triggers it per date, a definition in a series."""
        found = (
            "apply_metadata" in self.code
            if self.per_date
            else re.search(r"^def\s+apply_metadata\s*\(", self.code, re.MULTILINE)
        )
        if not found:
            return None
        bands = [Band(name=str(b)) for b in cube.bands.values]
        metadata = load_module_from_string(self.code)["apply_metadata"](
            CubeMetadata([BandDimension("bands", bands)]), self.context
        )
        return list(metadata.band_names)


def _by_dimension(parameter: str, entries: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "dimension" in e for e in entries):
        raise _invalid(parameter, f"{entries!r} is no list of {{dimension, value, unit}}")
    unknown = {e["dimension"] for e in entries} - {"x", "y", "t"}
    if unknown:
        raise _invalid(parameter, f"no dimension {', '.join(map(str, unknown))}; there are x, y, t")
    return {e["dimension"]: e for e in entries}


def _square(parameter: str, entries: dict[str, dict[str, Any]], default: int | None) -> int:
    """The one edge length in pixels; only square chunks survive the real back-end."""
    lengths = [_pixels(parameter, entries[d]) if d in entries else default for d in ("x", "y")]
    if None in lengths:
        raise _invalid(parameter, "x and y are both needed")
    if lengths[0] != lengths[1]:
        raise _invalid(
            parameter,
            f"x is {lengths[0]} and y is {lengths[1]}; use the same for both, the Copernicus back-end mixes them up",
        )
    return int(lengths[0] or 0)


def _pixels(parameter: str, entry: dict[str, Any]) -> int:
    value, unit = entry.get("value"), entry.get("unit")
    if unit != "px":
        raise _invalid(parameter, f"the unit of {entry['dimension']} is {unit!r}; only 'px' is supported")
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != int(value) or value < 0:
        raise _invalid(parameter, f"{value!r} is no whole number of pixels")
    return int(value)


def _per_date(entry: dict[str, Any] | None) -> bool:
    value = (entry or {}).get("value")
    if value not in (None, PER_DATE):
        raise _invalid(
            "size",
            f"t has the value {value!r}; give '{PER_DATE}' for one date at a time, or leave t out for the whole series",
        )
    return value == PER_DATE


def _udf(process: dict[str, Any], context: Any, env: EvalEnv) -> tuple[str, dict[str, Any]]:
    """Text and context of the single `run_udf` node."""
    single = SingleRunUDFProcessGraph.parse_or_none(process)
    if single is None:
        raise _invalid("process", "only callbacks with a single run_udf are supported")
    inner = env.push_parameters({"context": context})
    node: dict[str, Any] = convert_node(
        {"udf": single.udf, "runtime": single.runtime, "version": single.version, "context": single.context}, env=inner
    )
    code, _ = _get_udf(node, env=env)
    try:
        compile(code, "udf", "exec")
    except (SyntaxError, ValueError, TypeError) as error:
        raise _invalid("process", f"the UDF is no Python text: {error}. Put the text itself into the graph") from error
    return code, dict(node["context"] or {})


def _invalid(parameter: str, reason: str) -> ProcessParameterInvalidException:
    return ProcessParameterInvalidException(process="apply_neighborhood", parameter=parameter, reason=f"{reason}.")
