"""The arguments of the openEO process `apply_neighborhood`, accepted and refused as the Copernicus back-end does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import xarray as xr
from openeo_driver.errors import OpenEOApiException
from openeo_driver.utils import EvalEnv

from kappamask.backend.chunks import MINIMUM_SIZE
from kappamask.backend.engines import Run
from kappamask.backend.errors import invalid_parameter
from kappamask.backend.udf_node import UdfNode

__all__ = ["Neighborhood"]

PER_DATE = "P1D"
"""The only length of time that the back-end takes."""


@dataclass(frozen=True)
class Neighborhood:
    """A checked `apply_neighborhood` node."""

    udf: UdfNode
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
            raise _make_error("overlap", "an overlap in t is not supported")
        edge = _square("size", sizes, None)
        border = _square("overlap", overlaps, 0)
        if edge < MINIMUM_SIZE:
            raise _make_error("size", f"{edge} px is too small, it needs {MINIMUM_SIZE} px or more")
        if border > edge:
            raise _make_error(
                "overlap",
                f"{border} px exceeds the size of {edge} px, for which the Copernicus back-end shifts its output",
            )
        udf = UdfNode.parse("apply_neighborhood", process, context, env)
        if udf is None:
            raise _make_error("process", "only callbacks with a single run_udf are supported")
        return cls(udf, edge, border, _per_date(sizes.get("t")))

    def run(self, cube: xr.DataArray, run: Run) -> xr.DataArray:
        """Run the UDF; float32, errors as `UdfNode.run` raises them."""
        return self.udf.run(cube, run, size=self.size, overlap=self.overlap, per_date=self.per_date)


def _by_dimension(parameter: str, entries: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "dimension" in e for e in entries):
        raise _make_error(parameter, f"{entries!r} is no list of {{dimension, value, unit}}")
    unknown = {e["dimension"] for e in entries} - {"x", "y", "t"}
    if unknown:
        raise _make_error(parameter, f"no dimension {', '.join(map(str, unknown))}; there are x, y, t")
    return {e["dimension"]: e for e in entries}


def _square(parameter: str, entries: dict[str, dict[str, Any]], default: int | None) -> int:
    """The one edge length in pixels; only square chunks survive the real back-end."""
    lengths = [_pixels(parameter, entries[d]) if d in entries else default for d in ("x", "y")]
    if None in lengths:
        raise _make_error(parameter, "x and y are both needed")
    if lengths[0] != lengths[1]:
        raise _make_error(
            parameter,
            f"x is {lengths[0]} and y is {lengths[1]}; use the same for both, the Copernicus back-end mixes them up",
        )
    return int(lengths[0] or 0)


def _pixels(parameter: str, entry: dict[str, Any]) -> int:
    value, unit = entry.get("value"), entry.get("unit")
    if unit != "px":
        raise _make_error(parameter, f"the unit of {entry['dimension']} is {unit!r}; only 'px' is supported")
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != int(value) or value < 0:
        raise _make_error(parameter, f"{value!r} is no whole number of pixels")
    return int(value)


def _per_date(entry: dict[str, Any] | None) -> bool:
    value = (entry or {}).get("value")
    if value not in (None, PER_DATE):
        raise _make_error(
            "size",
            f"t has the value {value!r}; give '{PER_DATE}' for one date at a time, or leave t out for the whole series",
        )
    return value == PER_DATE


def _make_error(parameter: str, reason: str) -> OpenEOApiException:
    return invalid_parameter("apply_neighborhood", parameter, reason)
