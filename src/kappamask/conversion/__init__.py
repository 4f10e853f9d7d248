"""Convert networks to ONNX with a card, without TensorFlow, and quantise them.

Importing the package loads neither h5py nor onnx: cards of ONNX files need neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kappamask.models.errors import ConversionError

if TYPE_CHECKING:
    from kappamask.conversion.official_networks import convert, fetch

__all__ = ["ConversionError", "convert", "fetch"]


def __getattr__(name: str) -> Any:
    if name not in ("convert", "fetch"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.official_networks"), name)
