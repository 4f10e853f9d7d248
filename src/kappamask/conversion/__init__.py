"""KappaZeta's official weights as ONNX: HDF5 in, a network and its card out, without TensorFlow."""

from kappamask.conversion.convert import convert
from kappamask.conversion.fetch import fetch
from kappamask.models.errors import ConversionError

__all__ = ["ConversionError", "convert", "fetch"]
