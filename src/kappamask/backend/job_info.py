"""What openEO says of a job, from the job's records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from openeo_driver.backend import BatchJobMetadata

from kappamask.backend.job_folder import JobFolder

__all__ = ["describe"]


def describe(folder: JobFolder, status: str) -> BatchJobMetadata:
    """All that is known of a job that stands at `status`; what is raised where records are damaged is `jobs.DAMAGE`."""
    spec, state, progress = folder.spec(), folder.get("state"), folder.get("progress")
    return BatchJobMetadata(
        id=folder.path.name,
        status=status,
        created=datetime.fromisoformat(spec.created),
        process={"process_graph": spec.process_graph},
        job_options=spec.options,
        title=spec.title,
        description=spec.description,
        progress=100 * progress["done"] / progress["total"] if progress else None,
        started=datetime.fromisoformat(state["started"]) if state.get("started") else None,
        **_extent(list(folder.get("outcome").get("assets", {}).values())),
    )


def _extent(assets: list[dict[str, Any]]) -> dict[str, Any]:
    """Extent of all results, as the job's metadata wants it."""
    if not assets:
        return {}
    boxes = [asset["bbox"] for asset in assets]
    dates = sorted(
        asset[key] for asset in assets for key in ("datetime", "start_datetime", "end_datetime") if key in asset
    )
    found: dict[str, Any] = {
        "bbox": [
            min(b[0] for b in boxes),
            min(b[1] for b in boxes),
            max(b[2] for b in boxes),
            max(b[3] for b in boxes),
        ],
        "geometry": assets[0]["geometry"],
        "epsg": assets[0]["proj:epsg"],
        "proj_bbox": assets[0]["proj:bbox"],
        "proj_shape": assets[0]["proj:shape"],
        "instruments": ["msi"],
    }
    if dates:
        found |= {"start_datetime": datetime.fromisoformat(dates[0]), "end_datetime": datetime.fromisoformat(dates[-1])}
    return found
