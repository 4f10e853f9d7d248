"""KappaZeta's official weights as ONNX: HDF5 in, a network and its card out, without TensorFlow."""

from kappamask.conversion.convert import convert
from kappamask.conversion.errors import ConversionError
from kappamask.conversion.fetch import fetch

__all__ = ["ConversionError", "convert", "fetch"]
