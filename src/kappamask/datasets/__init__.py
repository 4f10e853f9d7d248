"""Labelled Sentinel-2 data sets in the formats that they are published in, as `Patch`es with KappaMask's classes."""

from kappamask.datasets.patch import Patch
from kappamask.datasets.registry import DATASETS, DataSet, Patches, named, open_dataset

__all__ = ["DATASETS", "DataSet", "Patch", "Patches", "named", "open_dataset"]
