"""What runs beside the pixels: the mask itself, and the UDF that a back-end calls. Never imports openeo."""

from kappamask.udf.cleaning import clean
from kappamask.udf.mask import cloud_mask
from kappamask.udf.schemes import bits, from_scheme, to_scheme, unusable

__all__ = ["bits", "clean", "cloud_mask", "from_scheme", "to_scheme", "unusable"]
