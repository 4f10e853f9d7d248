"""Read labelled Sentinel-2 data sets in their published formats, as `Patch`es with KappaMask's classes."""

from kappamask.datasets.patch import Patch
from kappamask.datasets.registry import DATASETS, DataSet, Patches, open_dataset, parse_dataset

__all__ = ["DATASETS", "DataSet", "Patch", "Patches", "open_dataset", "parse_dataset"]
