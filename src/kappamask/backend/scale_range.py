"""The openEO process `linear_scale_range`, which also decides whether a result is stored as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from openeo_driver.errors import ProcessParameterInvalidException

__all__ = ["ScaleRange"]

NODATA = 255
"""Nodata of uint8 results (OpenEOProcessScriptBuilder.scala, `linear_scale_range`)."""
BYTE_LIMIT = 254
"""Outputs must stay below this for the result to become uint8 (same source)."""
ROUNDING = 1e-4
"""float32 arithmetic may put a whole number this much below itself, and cutting off fractions would lose one."""


@dataclass(frozen=True)
class ScaleRange:
    """`linear_scale_range` as a function of a cube."""

    input_min: float
    input_max: float
    output_min: float
    output_max: float

    @classmethod
    def parse(cls, parent: str, arguments: dict[str, Any]) -> ScaleRange:
        """Check a node's arguments; errors are openEO's ProcessParameterInvalid of the process `parent`."""
        missing = [name for name in ("inputMin", "inputMax") if name not in arguments]
        if missing:
            raise _make_error(parent, f"linear_scale_range lacks {', '.join(missing)}")
        given = {"outputMin": 0.0, "outputMax": 1.0, **arguments}
        limits = [given[name] for name in ("inputMin", "inputMax", "outputMin", "outputMax")]
        if not all(isinstance(v, (int, float)) for v in limits) or limits[0] >= limits[1]:
            raise _make_error(parent, f"linear_scale_range got {limits}; it needs numbers with inputMin below inputMax")
        return cls(*limits)

    @property
    def to_bytes(self) -> bool:
        """Tell whether Copernicus stores uint8: for whole output limits from 0 to 253."""
        limits = (self.output_min, self.output_max)
        return all(isinstance(v, int) for v in limits) and self.output_min >= 0 and self.output_max < BYTE_LIMIT

    def scale(self, cube: xr.DataArray) -> xr.DataArray:
        """Clamp to the input range and scale; float64, NaN kept."""
        share = (cube.astype(np.float64).clip(self.input_min, self.input_max) - self.input_min) / (
            self.input_max - self.input_min
        )
        return (share * (self.output_max - self.output_min) + self.output_min).drop_attrs(deep=False)

    def __call__(self, cube: xr.DataArray) -> xr.DataArray:
        """Scale to float32 with NaN, or to uint8 (fractions cut off) with nodata 255."""
        scaled = self.scale(cube)
        if not self.to_bytes:
            return scaled.astype(np.float32)
        whole: xr.DataArray = (scaled + ROUNDING) // 1
        return whole.fillna(NODATA).astype(np.uint8).assign_attrs(_FillValue=NODATA)


def _make_error(parent: str, reason: str) -> ProcessParameterInvalidException:
    return ProcessParameterInvalidException(process=parent, parameter="process", reason=f"{reason}.")
