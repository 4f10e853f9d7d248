"""Read scenes as lazy cubes; write masks as GeoTIFF and netCDF, and quicklooks as PNG.

Importing it gives xarray's cubes, datasets and masks the accessor `.kappamask`.
"""

from typing import TYPE_CHECKING, Any

from kappamask.models.errors import missing_extra

try:
    from kappamask.scenes.accessor import KappaMaskAccessor
    from kappamask.scenes.composite import composite
    from kappamask.scenes.mosaic import stack_masks
    from kappamask.scenes.readers.open import find_scenes, open_scene
    from kappamask.scenes.statistics import class_statistics
    from kappamask.scenes.writers.masks import read_mask, write_mask
except ModuleNotFoundError as error:
    raise missing_extra(error.name, "scenes", user="Reading scenes") from error

mask_cube, scan = stack_masks, find_scenes
"""Earlier names."""

if TYPE_CHECKING:
    from kappamask.scenes.writers.quicklook import quicklook

__all__ = [
    "KappaMaskAccessor",
    "class_statistics",
    "composite",
    "find_scenes",
    "open_scene",
    "quicklook",
    "read_mask",
    "stack_masks",
    "write_mask",
]


def __getattr__(name: str) -> Any:
    """Import `quicklook` on first use.

    matplotlib takes a third of a second to import, which every job would pay.
    """
    if name == "quicklook":
        from kappamask.scenes.writers.quicklook import quicklook

        return quicklook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
