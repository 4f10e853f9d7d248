"""The `kappamask` command."""

import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType

from kappamask.models import KappaMaskError
from kappamask.models.errors import format_install_command
from kappamask.models.hints import Door, use_door

__all__ = ["main"]

FAILED = 1
"""Exit status of a failure; wrong use is 2, as with most commands."""
TERMINATED = 128 + signal.SIGTERM
"""Exit status after SIGTERM, 143, as shells report it."""
NO_PLACE = "Dataset has no geotransform|The given matrix is equal to Affine.identity"
"""Warnings of rasterio about files without georeference, which the commands speak of in their own words."""


def main() -> None:
    """Run the command line.

    A failure ends with one sentence on stderr and status 1, SIGTERM with status 143.
    """
    try:
        from kappamask.cli.app import app
    except ModuleNotFoundError as error:
        _end(f"The command needs {error.name}: {format_install_command('scenes')}")
    warnings.filterwarnings("ignore", message=NO_PLACE)
    before = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        with use_door(Door.COMMAND):
            _run(app)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(app: Callable[[], None]) -> None:
    try:
        app()
    except _list_known_errors() as error:
        _end(str(error))


def _list_known_errors() -> tuple[type[Exception], ...]:
    """List errors that are printed in one sentence.

    They are the project's, the system's, and openEO's where a command has loaded it.
    """
    openeo = sys.modules.get("openeo")
    return (KappaMaskError, OSError, *([openeo.BaseOpenEoException] if openeo else []))


def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    """Exit so that half-written files go; once, for some send the signal twice."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(TERMINATED)


def _end(message: str) -> None:
    sys.stderr.write(f"kappamask: {' '.join(message.split())}\n")
    sys.exit(FAILED)
