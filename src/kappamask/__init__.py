"""KappaMask cloud masks for Sentinel-2.

Importing this package imports nothing else: its names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kappamask.scenes import open_scene, write_mask
    from kappamask.udf import cloud_mask
    from kappamask.workflows import mask_scene

    __version__: str

__all__ = ["__version__", "cloud_mask", "mask_scene", "open_scene", "write_mask"]

_HOMES = {
    "cloud_mask": "kappamask.udf",
    "mask_scene": "kappamask.workflows",
    "open_scene": "kappamask.scenes",
    "write_mask": "kappamask.scenes",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its package, `__version__` from the installed metadata."""
    if name == "__version__":
        from importlib.metadata import version

        return version("kappamask-openeo")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
