"""Build the process graph and the dependency archive, and run jobs, on the user's side.

Never imports numpy or onnxruntime itself. Names are loaded when they are asked for, so that the commands that read a
journal do not wait for the openEO client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kappamask.openeo_process.graph import cloud_mask, load, make_udf, unusable_pixels
    from kappamask.openeo_process.graph import udf as udf
    from kappamask.openeo_process.graph import unusable as unusable
    from kappamask.openeo_process.job import fetch, submit

__all__ = ["cloud_mask", "fetch", "load", "make_udf", "submit", "unusable_pixels"]

_EARLIER = ("udf", "unusable")
"""Names of earlier versions, which the documentation showed."""
_MODULES = {"fetch": "job", "submit": "job"}


def __getattr__(name: str) -> Any:
    if name not in (*__all__, *_EARLIER):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'graph')}"), name)
