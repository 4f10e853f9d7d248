"""Serve a folder of scenes over the openEO API, on 127.0.0.1 only."""

import logging
import os
import secrets
import shlex
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypedDict, Unpack, cast

import attrs
import flask
from openeo_driver.config.load import ConfigGetter, get_backend_config
from openeo_driver.errors import OpenEOApiException
from openeo_driver.users.oidc import OidcProvider
from openeo_driver.utils import EvalEnv
from openeo_driver.views import OpenEoApiApp, build_app
from werkzeug.serving import BaseWSGIServer, make_server

from kappamask.backend import driver_config, job_store
from kappamask.backend.auth import DEFAULT_USER, PASSWORD_VARIABLE, USER_VARIABLE, Account
from kappamask.backend.engines import Run, check_engine
from kappamask.backend.job_store import JobFolder, Settings
from kappamask.backend.jobs import Jobs, check_options
from kappamask.backend.process_definitions import check_namespaces
from kappamask.backend.processing import GraphProcessing, SceneBackend
from kappamask.backend.runner import Runner
from kappamask.files.urls import LOCALHOST
from kappamask.models import JobError, SceneError

__all__ = ["Server", "ServerProcessing", "run_server", "running_server"]

log = logging.getLogger(__name__)


class ServerProcessing(GraphProcessing):
    """Evaluate for `POST /result` in a process, where no UDF harms the server."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def evaluate(self, process_graph: dict[str, Any], env: EvalEnv = None) -> flask.Response:
        """Compute the one result file. Raises openEO errors with the message of whatever failed."""
        check_namespaces(process_graph)
        folder = self._runner.create(
            user=env["user"].user_id, process_graph=process_graph, api_version=env["openeo_api_version"],
            options=check_options(env.get("job_options")), log_level=env.get("log_level", "info"), synchronous=True,
        )  # fmt: skip
        try:
            return self._make_response(folder)
        except BaseException:
            self._runner.remove(folder)
            raise

    def _make_response(self, folder: JobFolder) -> flask.Response:
        self._runner.start(folder)
        self._runner.wait(folder)
        self._runner.status(folder)
        outcome = folder.get("outcome")
        if "error" in outcome:
            error = outcome["error"]
            for entry in job_store.read(folder.log, level="error"):
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


@dataclass(frozen=True)
class Server:
    """A running back-end."""

    url: str
    """Root URL, for `openeo.connect`."""
    user: str
    password: str = field(repr=False)
    runner: Runner = field(repr=False)


class Options(TypedDict, total=False):
    """How to serve; each may be left out."""

    port: int
    """0, the default, for any free one."""
    engine: str
    """"serial", the default, "dask" for a cluster of each job's own, or "tcp://127.0.0.1:PORT" of a scheduler."""
    user: str | None
    """Of the one account: by default KAPPAMASK_USER of the environment, else "kappamask"."""
    password: str | None
    """By default KAPPAMASK_PASSWORD of the environment, else a random one."""
    state: Path | str | None
    """Folder of jobs and results, kept on closing; by default a temporary one, removed on closing."""
    oidc: OidcProvider | None
    """Whose users may log in by OpenID Connect too, as openeo-driver describes providers; by default nobody's."""


@contextmanager
def running_server(scenes: Path | str, **options: Unpack[Options]) -> Iterator[Server]:
    """Serve a folder of scenes, as `kappamask.scenes.find_scenes` finds them, from a thread of this process.

    Jobs are processes, which end with it. Raises SceneError if `scenes` is no folder, or, naming the file, if one in it
    cannot be served; JobError if the port is taken or the engine unknown.
    """
    folder = Path(scenes).resolve()
    if not folder.is_dir():
        raise SceneError(f"No folder {scenes}; give a folder of scenes.")
    account = Account(
        options.get("user") or os.environ.get(USER_VARIABLE) or DEFAULT_USER,
        _find_password(options) or secrets.token_urlsafe(16),
    )
    with _open_state_folder(options.get("state")) as place:
        runner = Runner(Settings(str(folder), str(place), check_engine(options.get("engine", "serial"))))
        server = _bind_server(_make_app(runner, account, options.get("oidc")), options.get("port", 0))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Server(f"http://{LOCALHOST}:{server.server_port}", account.user, account.password, runner)
        finally:
            runner.close()
            server.shutdown()
            server.server_close()
            thread.join()


def run_server(scenes: Path | str, **options: Unpack[Options]) -> None:
    """Run `running_server` until SIGINT or SIGTERM.

    Prints the URL on the first line. A random password follows, with the lines that a shell takes to log in.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    with running_server(scenes, **options) as server:
        print(server.url, flush=True)  # noqa: T201
        if not _find_password(options):
            print(f"user {server.user}, password {server.password}")  # noqa: T201
            print("# in the other terminal:")  # noqa: T201
            for name, value in ((USER_VARIABLE, server.user), (PASSWORD_VARIABLE, server.password)):
                print(f"export {name}={shlex.quote(value)}", flush=True)  # noqa: T201
        stop.wait()


def _find_password(options: Options) -> str | None:
    return options.get("password") or os.environ.get(PASSWORD_VARIABLE)


@contextmanager
def _open_state_folder(given: Path | str | None) -> Iterator[Path]:
    if given is not None:
        path = Path(given).resolve()
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="kappamask-serve-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)


def _make_app(runner: Runner, account: Account, oidc: OidcProvider | None) -> OpenEoApiApp:
    os.environ[ConfigGetter.OPENEO_BACKEND_CONFIG] = str(driver_config.__file__)
    config = attrs.evolve(get_backend_config(force_reload=True, show_stack=False), valid_basic_auth=account.valid)
    if oidc is not None:
        config = attrs.evolve(config, enable_oidc_auth=True, oidc_providers=[oidc])
    backend = SceneBackend(runner.settings, Run(), config, batch_jobs=Jobs(runner), processing=ServerProcessing(runner))
    backend.catalog.get_all_metadata()  # a scene that cannot be served is an error now, not with the first request
    app = build_app(backend)
    account.protect_handler(app.extensions["auth_handler"])
    return app


def _bind_server(app: OpenEoApiApp, port: int) -> BaseWSGIServer:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    logging.getLogger("openeo_driver.views.error").addFilter(_shorten_refusal)
    try:
        return make_server(LOCALHOST, port, app, threaded=True)
    except (OSError, SystemExit, OverflowError) as error:
        raise JobError(f"Port {port} cannot be used ({error}); choose another, or 0 for any free one.") from error


def _shorten_refusal(record: logging.LogRecord) -> bool:
    """Make one short line of a refused request, without a trace of the server's code."""
    error = record.exc_info[1] if record.exc_info else None
    status = getattr(error, "status_code", getattr(error, "code", None))
    if isinstance(status, int) and status < 500:
        record.exc_info = None
        if isinstance(error, OpenEOApiException):
            refusal = cast("Any", error)  # the driver's classes have no types
            record.msg, record.args = "%s %s: %s", (status, refusal.code, refusal.message)
    return True
