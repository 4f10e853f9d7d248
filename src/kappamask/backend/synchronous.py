"""`POST /result`: a graph evaluated while the client waits."""

from __future__ import annotations

import logging
from typing import Any

import flask
from openeo_driver.errors import OpenEOApiException
from openeo_driver.utils import EvalEnv

from kappamask.backend import joblog
from kappamask.backend.job_folder import JobFolder
from kappamask.backend.jobs import checked_options
from kappamask.backend.namespaces import check_namespaces
from kappamask.backend.processing import GraphProcessing
from kappamask.backend.runner import Runner

__all__ = ["ServerProcessing"]

log = logging.getLogger(__name__)


class ServerProcessing(GraphProcessing):
    """Evaluation for `POST /result`, in a process like a job's: a UDF can neither stop nor litter the server."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def evaluate(self, process_graph: dict[str, Any], env: EvalEnv = None) -> flask.Response:
        """The one result file. Raises openEO errors with the message of whatever failed."""
        check_namespaces(process_graph)
        folder = self._runner.create(
            user=env["user"].user_id, process_graph=process_graph, api_version=env["openeo_api_version"],
            options=checked_options(env.get("job_options")), log_level=env.get("log_level", "info"), synchronous=True,
        )  # fmt: skip
        try:
            return self._answer(folder)
        except BaseException:
            self._runner.remove(folder)
            raise

    def _answer(self, folder: JobFolder) -> flask.Response:
        self._runner.start(folder)
        self._runner.wait(folder)
        self._runner.status(folder)
        outcome = folder.get("outcome")
        if "error" in outcome:
            error = outcome["error"]
            for entry in joblog.read(folder.log, level="error"):
                log.error("%s", entry["message"])
            raise OpenEOApiException(error["message"], code=error["code"], status_code=error["status"])
        assets = outcome["assets"]
        if len(assets) != 1:
            raise OpenEOApiException(
                f"The result has {len(assets)} files ({', '.join(assets)}) and a synchronous request returns one; "
                "save as netCDF, or use a batch job.",
                code="FeatureUnsupported", status_code=400,
            )  # fmt: skip
        [(name, asset)] = assets.items()
        response = flask.send_from_directory(folder.results, name, mimetype=asset["type"])
        response.call_on_close(lambda: self._runner.remove(folder))
        return response
