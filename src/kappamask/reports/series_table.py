"""A series in numbers: for programs, and as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kappamask.reports.series import Dated
from kappamask.scenes.atomic import written_whole

__all__ = ["rows", "write_table"]

DIGITS = 4
"""Of a percentage: one pixel of 1000 x 1000."""


def rows(dates: Sequence[Dated]) -> list[dict[str, Any]]:
    """A row for each date: file, datetime (ISO 8601, UTC), numbers of pixels, and percentages.

    `pixels` are those of the area, without those of 255, `nodata_pixels`. `cloud_cover` and the classes with data are
    percent of the valid pixels, None where there are none; classes without data are percent of all pixels.
    """
    return [
        {
            "file": one.name,
            "datetime": one.when.isoformat().replace("+00:00", "Z"),
            "pixels": one.counted.area,
            "valid_pixels": one.counted.valid,
            "nodata_pixels": one.counted.nodata,
            "cloud_cover": _rounded(one.counted.cloud_cover),
            **{name: _rounded(value) for name, value in one.counted.percentages.items()},
        }
        for one in dates
    ]


def write_table(path: str | Path, dates: Sequence[Dated]) -> Path:
    """Write `rows` as CSV with a header, an empty cell for None; SceneError if it cannot be written."""
    listed = rows(dates)
    with written_whole(Path(path)) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
    return Path(path)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
