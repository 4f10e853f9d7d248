"""Batch jobs of the openEO API, over a `Runner`."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from openeo_driver.backend import BatchJobMetadata, BatchJobs, JobListing
from openeo_driver.constants import JOB_STATUS
from openeo_driver.errors import JobNotFinishedException, JobNotFoundException, OpenEOApiException
from openeo_driver.users import User

from kappamask.backend import job_store
from kappamask.backend.job_store import JobFolder
from kappamask.backend.runner import Runner
from kappamask.files.geojson import join_boxes
from kappamask.models import JobError

__all__ = ["Jobs", "check_options", "describe_job"]

log = logging.getLogger(__name__)
DAMAGE = (JobError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Errors that reading a damaged record may raise: a job's UDF can write into the job's folder."""
_ID = re.compile(r"j-[0-9a-f]{1,64}")
_OFFSET = re.compile(r"[0-9]{1,18}")
"""Ids of log entries: line numbers."""


def describe_job(folder: JobFolder, status: str) -> BatchJobMetadata:
    """Describe a job that stands at `status`; raise `jobs.DAMAGE` for damaged records."""
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
        **_join_extents(list(folder.get("outcome").get("assets", {}).values())),
    )


def _join_extents(assets: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute the extent of all results, as the job's metadata wants it."""
    if not assets:
        return {}
    dates = sorted(
        asset[key] for asset in assets for key in ("datetime", "start_datetime", "end_datetime") if key in asset
    )
    found: dict[str, Any] = {
        "bbox": [*join_boxes(asset["bbox"] for asset in assets)],
        "geometry": assets[0]["geometry"],
        "epsg": assets[0]["proj:epsg"],
        "proj_bbox": assets[0]["proj:bbox"],
        "proj_shape": assets[0]["proj:shape"],
        "instruments": ["msi"],
    }
    if dates:
        found |= {"start_datetime": datetime.fromisoformat(dates[0]), "end_datetime": datetime.fromisoformat(dates[-1])}
    return found


class Jobs(BatchJobs):  # type: ignore[misc]
    """openEO batch jobs over a `Runner`."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def _open_folder(self, job_id: str, user_id: str) -> JobFolder:
        folder = JobFolder(self._runner.jobs / job_id)
        if not _ID.fullmatch(job_id) or not folder.path.is_dir():
            raise JobNotFoundException(job_id)
        try:
            spec = folder.spec()
        except DAMAGE as error:  # nobody can say whose job it is
            log.warning("Job %s is left out, because its record spec.json is damaged: %s", job_id, error)
            raise JobNotFoundException(job_id) from error
        if spec.user != user_id or spec.synchronous:
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
            options=check_options(job_options),
            log_level=metadata.get("log_level") or "info",
            title=metadata.get("title"),
            description=metadata.get("description"),
        )
        return self.get_job_info(folder.path.name, user.user_id)

    def get_job_info(self, job_id: str, user_id: str) -> BatchJobMetadata:
        """Return all that is known of a job; JobNotFound for those of others too.

        A job whose records are damaged is ended, and is an error from then on.
        """
        folder = self._open_folder(job_id, user_id)
        try:
            return self._describe_job(folder)
        except DAMAGE as error:
            log.warning("Job %s is damaged.", job_id, exc_info=error)
            reason = str(error) if isinstance(error, JobError) else f"{type(error).__name__}: {error}"
            self._runner.condemn(folder, f"The job's records are damaged, by its UDF or by hand. {reason}")
            return self._describe_job(folder)

    def _find_status(self, folder: JobFolder) -> str:
        """Find the status of a job whose records are sound, or have been repaired."""
        return str(self.get_job_info(folder.path.name, folder.spec().user).status)

    def _describe_job(self, folder: JobFolder) -> BatchJobMetadata:
        return describe_job(folder, self._runner.status(folder))

    def get_user_jobs(
        self, user_id: str, limit: int | None = None, request_parameters: Mapping[str, Any] | None = None
    ) -> JobListing:
        """List a user's jobs, the newest first, in pages of `limit`.

        The `next` link of a page carries `after`, the id of its last job, so that jobs that are created meanwhile shift
        nothing. Raises the openEO error QueryParameterInvalid (400) for a `limit` below 1.
        """
        parameters = request_parameters or {}
        if parameters.get("limit") and (limit is None or limit < 1):
            raise _invalid_query("limit", parameters["limit"], "a whole number from 1 on")
        after = parameters.get("after")
        names = sorted((path.name for path in self._runner.jobs.iterdir()), reverse=True)
        page = list(islice(self._iter_jobs(user_id, (n for n in names if not after or n < after)), limit and limit + 1))
        if limit is None or len(page) <= limit:
            return JobListing(page)
        return JobListing(page[:limit], next_parameters={"limit": limit, "after": page[limit - 1].id})

    def _iter_jobs(self, user_id: str, names: Iterable[str]) -> Iterator[BatchJobMetadata]:
        for name in names:
            try:
                yield self.get_job_info(name, user_id)
            except JobNotFoundException:
                continue

    def start_job(self, job_id: str, user: User) -> None:
        """Start at once: jobs do not queue."""
        self._runner.start(self._open_folder(job_id, user.user_id))

    def cancel_job(self, job_id: str, user_id: str) -> None:
        """End a running job; others are left as they are."""
        folder = self._open_folder(job_id, user_id)
        if self._find_status(folder) == JOB_STATUS.RUNNING:
            folder.put("state", {**folder.get("state"), "canceled": True})
            self._runner.stop(folder)
            job_store.append(folder.log, job_store.make_entry("info", "The job was canceled."))

    def delete_job(self, job_id: str, user_id: str) -> None:
        """End a job and forget it."""
        self._runner.remove(self._open_folder(job_id, user_id))

    def get_result_assets(self, job_id: str, user_id: str) -> dict[str, dict[str, Any]]:
        """Map file names to what openeo-driver needs to serve and describe them."""
        folder = self._open_folder(job_id, user_id)
        if self._find_status(folder) != JOB_STATUS.FINISHED:
            raise JobNotFinishedException
        assets: dict[str, dict[str, Any]] = folder.get("outcome")["assets"]
        return assets

    def get_log_entries(
        self, job_id: str, *, user_id: str, offset: str | None = None, limit: int | None = None, level: str = "debug"
    ) -> Iterator[dict[str, Any]]:
        """Read a job's log, with the UDF's `inspect()` and tracebacks.

        offset: id of the last entry that the client has; None or empty for the whole log. Raises the openEO error
        OffsetInvalid (400), as Copernicus does, for anything else, and QueryParameterInvalid (400) for another level
        or limit than there are.
        """
        folder = self._open_folder(job_id, user_id)
        if offset and not _OFFSET.fullmatch(offset):
            raise OpenEOApiException(
                f"The query parameter offset is {offset[:100]!r}; give the id of a log entry, such as 12.",
                code="OffsetInvalid", status_code=400,
            )  # fmt: skip
        if level.lower() not in job_store.LEVELS:
            raise _invalid_query("level", level, f"one of {', '.join(job_store.LEVELS)}")
        if limit is not None and limit < 1:
            raise _invalid_query("limit", limit, "a whole number from 1 on")
        self._find_status(folder)
        return job_store.read(folder.log, int(offset) if offset else None, limit, level.lower())


def _invalid_query(name: str, value: Any, needed: str) -> OpenEOApiException:
    return OpenEOApiException(
        f"The query parameter {name} is {str(value)[:100]!r}; it needs {needed}.",
        code="QueryParameterInvalid", status_code=400,
    )  # fmt: skip


def check_options(options: Any) -> dict[str, Any]:
    """Check `job_options`, {} if there are none; openEO's JobOptionsInvalid if no object."""
    if options is not None and not isinstance(options, dict):
        raise OpenEOApiException(
            f"job_options is {options!r}; it needs an object, such as {{}}.", code="JobOptionsInvalid", status_code=400
        )
    return options or {}
