"""Serve a folder of scenes over the openEO API, on 127.0.0.1 and nowhere else."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypedDict, Unpack

import attrs
from openeo_driver.config.load import ConfigGetter, get_backend_config
from openeo_driver.users.oidc import OidcProvider
from openeo_driver.views import OpenEoApiApp, build_app
from werkzeug.serving import BaseWSGIServer, make_server

from kappamask.backend import driver_config
from kappamask.backend.auth import DEFAULT_USER, PASSWORD_VARIABLE, USER_VARIABLE, Account
from kappamask.backend.engines import Run, check_engine
from kappamask.backend.job_folder import Settings
from kappamask.backend.jobs import Jobs
from kappamask.backend.processing import SceneBackend
from kappamask.backend.runner import Runner
from kappamask.backend.synchronous import ServerProcessing
from kappamask.models import JobError, SceneError

__all__ = ["Server", "run_server", "running_server"]

HOST = "127.0.0.1"


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
    """Serve a folder of scenes, as `kappamask.scenes.scan` finds them, from a thread of this process.

    Jobs are processes, which end with it. Raises SceneError if `scenes` is no folder, or, naming the file, if one in it
    cannot be served; JobError if the port is taken or the engine unknown.
    """
    folder = Path(scenes).resolve()
    if not folder.is_dir():
        raise SceneError(f"No folder {scenes}; give a folder of scenes.")
    account = Account(
        options.get("user") or os.environ.get(USER_VARIABLE) or DEFAULT_USER,
        _password(options) or secrets.token_urlsafe(16),
    )
    with _state(options.get("state")) as place:
        runner = Runner(Settings(str(folder), str(place), check_engine(options.get("engine", "serial"))))
        server = _bind(_app(runner, account, options.get("oidc")), options.get("port", 0))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Server(f"http://{HOST}:{server.server_port}", account.user, account.password, runner)
        finally:
            runner.close()
            server.shutdown()
            server.server_close()
            thread.join()


def run_server(scenes: Path | str, **options: Unpack[Options]) -> None:
    """`running_server` until SIGINT or SIGTERM.

    Prints the URL on the first line, and on the second, only if it was made up, the password.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    with running_server(scenes, **options) as server:
        print(server.url, flush=True)  # noqa: T201
        if not _password(options):
            print(f"user {server.user}, password {server.password}", flush=True)  # noqa: T201
        stop.wait()


def _password(options: Options) -> str | None:
    return options.get("password") or os.environ.get(PASSWORD_VARIABLE)


@contextmanager
def _state(given: Path | str | None) -> Iterator[Path]:
    if given is not None:
        path = Path(given).resolve()
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="kappamask-serve-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)


def _app(runner: Runner, account: Account, oidc: OidcProvider | None) -> OpenEoApiApp:
    os.environ[ConfigGetter.OPENEO_BACKEND_CONFIG] = str(driver_config.__file__)
    config = attrs.evolve(get_backend_config(force_reload=True, show_stack=False), valid_basic_auth=account.valid)
    if oidc is not None:
        config = attrs.evolve(config, enable_oidc_auth=True, oidc_providers=[oidc])
    backend = SceneBackend(runner.settings, Run(), config, batch_jobs=Jobs(runner), processing=ServerProcessing(runner))
    backend.catalog.get_all_metadata()  # a scene that cannot be served is told now, not with the first request
    app = build_app(backend)
    account.secure(app.extensions["auth_handler"])
    return app


def _bind(app: OpenEoApiApp, port: int) -> BaseWSGIServer:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    try:
        return make_server(HOST, port, app, threaded=True)
    except (OSError, SystemExit, OverflowError) as error:
        raise JobError(f"Port {port} cannot be used ({error}); choose another, or 0 for any free one.") from error
