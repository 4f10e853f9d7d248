"""Old place of names that are now in `kappamask.scenes.readers.stac`."""

from kappamask.scenes.readers.stac import open_stac, search

__all__ = ["open_stac", "search"]
