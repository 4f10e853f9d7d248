"""The process of one job: `python -m kappamask.backend.worker FOLDER`.

It reads the job's folder, evaluates the graph, writes results, log and outcome there, and ends. It also ends at once
when its standard input closes, that is, when the server is gone.
"""

import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from openeo_driver.errors import OpenEOApiException
from openeo_driver.save_result import ImageCollectionResult, JSONResult, SaveResult, to_save_result
from openeo_driver.users import User
from openeo_driver.utils import EvalEnv

from kappamask.backend.archives import unpack_all
from kappamask.backend.engines import Run, open_engine
from kappamask.backend.job_store import JobFolder, open_job_log
from kappamask.backend.processing import SceneBackend
from kappamask.models import KappaMaskError

__all__ = [
    "main",
]

log = logging.getLogger(__name__)

ARCHIVES = "udf-dependency-archives"
KNOWN_OPTIONS = frozenset({
    ARCHIVES, "udf-dependency-files", "driver-memory", "driver-memoryOverhead", "driver-cores", "executor-memory",
    "executor-memoryOverhead", "executor-cores", "executor-request-cores", "executor-threads-jvm", "python-memory",
    "task-cpus", "max-executors", "soft-errors", "gdal-dataset-cache-size", "image-name", "log_level",
    "logging-threshold", "stac-version", "omit-derived-from-links", "concurrent-save-results", "allow_empty_cubes",
    "do_extent_check", "node_caching", "profile", "detailed_asset_metadata",
})  # fmt: skip
"""Job options of openeo-geopyspark-driver 0.73.0; all but the archives have no effect here."""


def main(path: str) -> int:
    """Run the job in folder `path`; 0 if it finished."""
    folder = JobFolder(Path(path))
    with open_job_log(folder.log, folder.spec().log_level):
        try:
            outcome = _run(folder)
        except BaseException as error:  # the outcome must say why, whatever it was
            outcome = {"error": _describe_error(error)}
            log.exception("The job failed.")
            _log_reason(error, outcome["error"]["message"])
        folder.put("outcome", outcome)
    return 1 if "error" in outcome else 0


def _log_reason(error: BaseException, reason: str) -> None:
    """Log the reason in plain words, unless the traceback ends in it.

    Clients show the end of a log.
    """
    if not "".join(traceback.format_exception_only(error)).strip().endswith(reason):
        log.error("%s", reason)


def _run(folder: JobFolder) -> dict[str, Any]:
    spec, settings = folder.spec(), folder.settings()
    unknown = sorted(set(spec.options) - KNOWN_OPTIONS)
    if unknown:
        log.warning("Unknown job options are ignored: %s.", ", ".join(unknown))
    archives = spec.options.get(ARCHIVES)
    unpack_all([] if archives is None else archives, folder.working)
    os.chdir(folder.working)
    with open_engine(settings.engine, folder.working, folder.log, spec.log_level) as engine:
        run = Run(engine, lambda done, total: folder.put("progress", {"done": done, "total": total}))
        backend = SceneBackend(settings, run)
        env = EvalEnv({
            "backend_implementation": backend, "version": spec.api_version, "openeo_api_version": spec.api_version,
            "user": User(spec.user), "job_options": spec.options,
            "node_caching": False, "data_mask_optimization": False,
        })  # fmt: skip
        found = backend.processing.evaluate(spec.process_graph, env)
        return {"assets": _write(found if isinstance(found, list) else [found], folder.results)}


def _write(found: list[Any], results: Path) -> dict[str, Any]:
    assets: dict[str, Any] = {}
    for one in found:
        result = one if isinstance(one, SaveResult) else to_save_result(one)
        if not isinstance(result, ImageCollectionResult):
            raise OpenEOApiException(
                f"The graph ends in a value of type {_name_result_type(one)}; this back-end returns raster cubes only. "
                "End the graph with save_result of a cube.",
                code="FeatureUnsupported", status_code=400,
            )  # fmt: skip
        written = result.write_assets(results)
        clash = assets.keys() & written.keys()
        if clash:
            raise OpenEOApiException(
                f"Two save_result nodes write {', '.join(clash)}; give them filename_prefix options.", status_code=400
            )
        assets.update(written)
    return assets


def _name_result_type(result: Any) -> str:
    """Name a result's type, without the wrapping that `save_result` puts round it."""
    return type(result.data if isinstance(result, JSONResult) else result).__name__


def _describe_error(error: BaseException) -> dict[str, Any]:
    """Describe an error as openEO reports it.

    One of ours keeps its own words, without what openeo-driver wraps round it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KappaMaskError) and getattr(error, "code", "") != "UdfError":
            return {"message": str(cause), "code": type(cause).__name__, "status": 400}
        cause = cause.__cause__
    if isinstance(error, OpenEOApiException):
        failure: Any = error  # openeo-driver has no types
        return {"message": str(failure), "code": failure.code, "status": failure.status_code}
    return {"message": f"{type(error).__name__}: {error}", "code": "Internal", "status": 500}


def _end_with_server() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_server, daemon=True).start()
    sys.exit(main(sys.argv[1]))
