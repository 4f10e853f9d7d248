"""The `kappamask` command."""

import sys

from kappamask.models import KappaMaskError

__all__ = ["main"]

FAILED = 1
"""Exit status of a failure; wrong use is 2, as with most commands."""


def main() -> None:
    """Run the command line; a failure ends with one sentence on stderr and status 1."""
    try:
        from kappamask.cli.app import app
    except ModuleNotFoundError as error:
        _end(f"The command needs {error.name}: pip install 'kappamask-openeo[cli]'.")
    try:
        app()
    except (KappaMaskError, OSError) as error:
        _end(str(error))


def _end(message: str) -> None:
    sys.stderr.write(f"kappamask: {' '.join(message.split())}\n")
    sys.exit(FAILED)
