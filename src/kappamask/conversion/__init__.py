"""Convert KappaZeta's official weights, HDF5, to ONNX with a card, without TensorFlow."""

from kappamask.conversion.convert import convert
from kappamask.conversion.fetch import fetch
from kappamask.models.errors import ConversionError

__all__ = ["ConversionError", "convert", "fetch"]
