"""Define the errors of the project, also that of an extra which is missing.

There is a class for each kind of failure; every message says what was given, what is needed and what to do.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from kappamask.models.hints import Door, render_hints

__all__ = [
    "CardError",
    "ConversionError",
    "CubeError",
    "DeviceError",
    "DownloadError",
    "JobError",
    "KappaMaskError",
    "MissingExtraError",
    "RadiometryError",
    "SceneError",
    "WeightsError",
    "describe_error",
    "format_install_command",
    "make_extra_error",
    "require_extra",
]
DISTRIBUTION: Final = "kappamask-openeo"


class KappaMaskError(Exception):
    """Any error that this project raises on purpose.

    Its message names options as they are typed at the door in use, see `kappamask.models.hints`.
    """

    def __str__(self) -> str:
        return self.message()

    def message(self, door: Door | None = None) -> str:
        """Return the message as `door` shows it; None is the door in use."""
        return render_hints(str(self.args[0]), door) if self.args else ""


class CardError(KappaMaskError, ValueError):
    """A model card is unknown, unreadable or contradicts itself."""


class WeightsError(KappaMaskError, OSError):
    """A network file is missing, is another than its card says, or unsafe."""


class CubeError(KappaMaskError, ValueError):
    """A cube lacks the dimensions, labels, bands or size that a network needs."""


class DeviceError(KappaMaskError, RuntimeError):
    """The device that was asked for is unknown, or cannot run the network here."""


class RadiometryError(KappaMaskError, ValueError):
    """It is in doubt, or contradicted by the pixels, what a cube's numbers mean."""


class SceneError(KappaMaskError, ValueError):
    """A scene cannot be read, or a mask cannot be written."""


class JobError(KappaMaskError):
    """A remote job could not be planned, submitted, finished or fetched."""


class DownloadError(KappaMaskError):
    """A URL is not allowed, or its file could not be downloaded completely."""


class MissingExtraError(KappaMaskError, ImportError):
    """An optional library is needed that is not installed; the message names the extra."""


class ConversionError(KappaMaskError):
    """A file of weights is another than it was said to be.

    The message names the file and what was expected.
    """


def describe_error(error: Exception) -> str:
    """Describe an error on one line, with its class unless it is our own."""
    known = isinstance(error, KappaMaskError | OSError)
    return " ".join((str(error) if known else f"{type(error).__name__}: {error}").split())


def format_install_command(extra: str) -> str:
    """Return the pip command that adds `extra` to this installation.

    It names the checkout or wheel that the package was installed from (PEP 610), else the package on PyPI.
    """
    origin = _read_origin()
    address = urlsplit(origin.get("url", ""))
    if address.scheme != "file":
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return f"pip install {editable}'{unquote(address.path)}[{extra}]'"


def make_extra_error(library: str | None, extra: str, *, user: str = "This") -> MissingExtraError:
    """Make the error that says how to install the `library` that `user` needs."""
    return MissingExtraError(f"{user} needs {library}: {format_install_command(extra)}")


@contextmanager
def require_extra(name: str, *, user: str = "This") -> Iterator[None]:
    """Turn a failed import inside the block into an error that names the extra.

    Raises MissingExtraError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise make_extra_error(error.name, name, user=user) from error


def _read_origin() -> dict[str, Any]:
    """Read where the package was installed from; empty if not known to pip."""
    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return {}
    return dict(json.loads(text)) if text else {}
