"""Old place of names that are now in `kappamask.openeo_process.jobs.areas`."""

from kappamask.openeo_process.jobs.areas import read_area
from kappamask.openeo_process.jobs.cells import split_into_cells as cells

__all__ = ["cells", "read_area"]
