"""openEO batch jobs over a `Runner`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from openeo_driver.backend import BatchJobMetadata, BatchJobs, JobListing
from openeo_driver.constants import JOB_STATUS
from openeo_driver.errors import JobNotFinishedException, JobNotFoundException
from openeo_driver.users import User

from kappamask.backend import joblog
from kappamask.backend.job_folder import JobFolder
from kappamask.backend.runner import Runner

__all__ = ["Jobs"]


class Jobs(BatchJobs):  # type: ignore[misc]
    """openEO batch jobs over a `Runner`."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def _folder(self, job_id: str, user_id: str) -> JobFolder:
        folder = JobFolder(self._runner.jobs / Path(job_id).name)
        spec = folder.get("spec")
        if not spec or spec["user"] != user_id or spec["synchronous"]:
            raise JobNotFoundException(job_id)
        return folder

    def create_job(
        self,
        *,
        user: User,
        process: dict[str, Any],
        api_version: str,
        metadata: dict[str, Any],
        job_options: dict[str, Any] | None = None,
    ) -> BatchJobMetadata:
        """Keep a job for later."""
        folder = self._runner.create(
            user=user.user_id,
            process_graph=process["process_graph"],
            api_version=api_version,
            options=job_options or {},
            log_level=metadata.get("log_level") or "info",
            title=metadata.get("title"),
            description=metadata.get("description"),
        )
        return self.get_job_info(folder.path.name, user.user_id)

    def get_job_info(self, job_id: str, user_id: str) -> BatchJobMetadata:
        """All that is known of a job; JobNotFound for those of others too."""
        folder = self._folder(job_id, user_id)
        status = self._runner.status(folder)
        spec, state, progress = folder.spec(), folder.get("state"), folder.get("progress")
        assets = list(folder.get("outcome").get("assets", {}).values())
        return BatchJobMetadata(
            id=job_id,
            status=status,
            created=datetime.fromisoformat(spec.created),
            process={"process_graph": spec.process_graph},
            job_options=spec.options,
            title=spec.title,
            description=spec.description,
            progress=100 * progress["done"] / progress["total"] if progress else None,
            started=datetime.fromisoformat(state["started"]) if state.get("started") else None,
            **_extent(assets),
        )

    def get_user_jobs(
        self,
        user_id: str,
        limit: int | None = None,
        request_parameters: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> JobListing:
        """A user's jobs, the newest first."""
        names = sorted((path.name for path in self._runner.jobs.iterdir()), reverse=True)
        found = []
        for name in names:
            try:
                found.append(self.get_job_info(name, user_id))
            except JobNotFoundException:
                continue
        return JobListing(found[:limit])

    def start_job(self, job_id: str, user: User) -> None:
        """Start at once: jobs do not queue."""
        self._runner.start(self._folder(job_id, user.user_id))

    def cancel_job(self, job_id: str, user_id: str) -> None:
        """End a running job; others are left as they are."""
        folder = self._folder(job_id, user_id)
        if self._runner.status(folder) == JOB_STATUS.RUNNING:
            folder.put("state", {**folder.get("state"), "canceled": True})
            self._runner.stop(folder)
            joblog.append(folder.log, joblog.entry("info", "The job was canceled."))

    def delete_job(self, job_id: str, user_id: str) -> None:
        """End a job and forget it."""
        self._runner.remove(self._folder(job_id, user_id))

    def get_result_assets(self, job_id: str, user_id: str) -> dict[str, dict[str, Any]]:
        """File name -> what openeo-driver needs to serve and describe it."""
        folder = self._folder(job_id, user_id)
        if self._runner.status(folder) != JOB_STATUS.FINISHED:
            raise JobNotFinishedException
        assets: dict[str, dict[str, Any]] = folder.get("outcome")["assets"]
        return assets

    def get_log_entries(
        self, job_id: str, *, user_id: str, offset: str | None = None, limit: int | None = None, level: str = "debug"
    ) -> Iterator[dict[str, Any]]:
        """Log of a job, UDF's `inspect()` and tracebacks included."""
        folder = self._folder(job_id, user_id)
        self._runner.status(folder)
        return joblog.read(folder.log, offset, limit, level)


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
