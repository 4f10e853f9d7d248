"""The demo's report: one HTML file that needs nothing beside itself."""

from pathlib import Path
from typing import Any

import xarray as xr

from kappamask.reports import shares
from kappamask.reports.images import embedded
from kappamask.reports.render import write_html

__all__ = ["write_report"]

SCORED = {"clear": "clear", "cloud_shadow": "shadow", "semi_transparent_cloud": "semi_transparent", "cloud": "cloud"}
"""Class name -> key of `kappamask.evaluation.scores`."""


def write_report(
    path: Path, picture: Path, mask: xr.DataArray, judged: dict[str, Any], job: dict[str, Any], log: list[str]
) -> Path:
    """Write the report; everything that came from the back-end is escaped."""
    shown = embedded(picture, "True colour, mask and truth side by side")
    facts = {"mask": mask.attrs, "counted": shares(mask), "scored": SCORED, "judged": judged, "job": job, "log": log}
    return write_html(path, "demo.html", picture=shown, **facts)
