"""What runs beside the pixels: the mask itself, and the UDF that a back-end calls. Never imports openeo."""

from kappamask.udf.mask import cloud_mask

__all__ = ["cloud_mask"]
