"""Old place of names that are now in `kappamask.openeo_process.jobs.areas`."""

from kappamask.openeo_process.jobs.areas import cells, read_area

__all__ = ["cells", "read_area"]
