"""Convert KappaZeta's official weights, HDF5, to ONNX with a card, without TensorFlow.

Importing the package loads neither h5py nor onnx: cards of ONNX files need neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kappamask.models.errors import ConversionError

if TYPE_CHECKING:
    from kappamask.conversion.hdf5_weights import convert
    from kappamask.conversion.official_networks import fetch

__all__ = ["ConversionError", "convert", "fetch"]

_MODULES = {"convert": "hdf5_weights", "fetch": "official_networks"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
