"""Name the extra of an optional library, and the line that installs it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from kappamask.models.errors import MissingExtraError

__all__ = ["install_command", "missing_extra", "require_extra"]

DISTRIBUTION: Final = "kappamask-openeo"


def install_command(extra: str) -> str:
    """Return the pip command that adds `extra` to this installation.

    It names the checkout or wheel that the package was installed from (PEP 610), else the package on PyPI.
    """
    origin = _read_origin()
    address = urlsplit(origin.get("url", ""))
    if address.scheme != "file":
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return f"pip install {editable}'{unquote(address.path)}[{extra}]'"


def missing_extra(library: str | None, extra: str, *, user: str = "This") -> MissingExtraError:
    """Make the error that says how to install the `library` that `user` needs."""
    return MissingExtraError(f"{user} needs {library}: {install_command(extra)}")


@contextmanager
def require_extra(name: str, *, user: str = "This") -> Iterator[None]:
    """Turn a failed import inside the block into an error that names the extra.

    Raises MissingExtraError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing_extra(error.name, name, user=user) from error


def _read_origin() -> dict[str, Any]:
    """Read where the package was installed from; empty if not known to pip."""
    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return {}
    return dict(json.loads(text)) if text else {}
