"""Files in, files out: scenes as lazy cubes, masks as GeoTIFF and netCDF, quicklooks as PNG.

Importing it gives xarray's cubes, datasets and masks the accessor `.kappamask`.
"""

from typing import TYPE_CHECKING, Any

from kappamask.models.extras import missing_extra

try:
    from kappamask.scenes.accessor import KappaMaskAccessor
    from kappamask.scenes.composite import composite
    from kappamask.scenes.mosaic import mask_cube
    from kappamask.scenes.readers.open import open_scene, scan
    from kappamask.scenes.statistics import class_statistics
    from kappamask.scenes.writers.masks import read_mask, write_mask
except ModuleNotFoundError as error:
    raise missing_extra(error.name, "scenes", user="Reading scenes") from error

if TYPE_CHECKING:
    from kappamask.scenes.writers.quicklook import quicklook

__all__ = [
    "KappaMaskAccessor",
    "class_statistics",
    "composite",
    "mask_cube",
    "open_scene",
    "quicklook",
    "read_mask",
    "scan",
    "write_mask",
]


def __getattr__(name: str) -> Any:
    """`quicklook` is imported when it is asked for: matplotlib takes a third of a second, which every job would pay."""
    if name == "quicklook":
        from kappamask.scenes.writers.quicklook import quicklook

        return quicklook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
