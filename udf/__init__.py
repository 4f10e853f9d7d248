"""Cloud masks of pixels: `cloud_mask`, and the UDF that a back-end calls. Never imports openeo."""

from kappamask.udf.cleaning import clean
from kappamask.udf.mask import cloud_mask
from kappamask.udf.schemes import from_scheme, to_bits, to_scheme, unusable_pixels

__all__ = ["clean", "cloud_mask", "from_scheme", "to_bits", "to_scheme", "unusable_pixels"]

bits, unusable = to_bits, unusable_pixels
"""Earlier names."""
