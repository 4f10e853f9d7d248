"""What runs beside the user: the process graph, the dependency archive, the job. Never imports numpy or onnxruntime."""

from kappamask.openeo_process.graph import cloud_mask, load, udf, unusable
from kappamask.openeo_process.job import fetch, submit

__all__ = ["cloud_mask", "fetch", "load", "submit", "udf", "unusable"]
