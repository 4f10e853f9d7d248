"""Read scenes as lazy cubes; write masks as GeoTIFF and netCDF, and quicklooks as PNG.

Importing it gives xarray's cubes, datasets and masks the accessor `.kappamask`.
"""

from typing import TYPE_CHECKING, Any

from kappamask.models.errors import make_extra_error

try:
    from kappamask.scenes.accessor import KappaMaskAccessor
    from kappamask.scenes.composite import make_composite
    from kappamask.scenes.mosaic import stack_masks
    from kappamask.scenes.readers.open import find_scenes, open_scene
    from kappamask.scenes.statistics import compute_class_statistics
    from kappamask.scenes.writers.masks import read_mask, write_mask
except ModuleNotFoundError as error:
    raise make_extra_error(error.name, "scenes", user="Reading scenes") from error

composite, mask_cube, scan, class_statistics = make_composite, stack_masks, find_scenes, compute_class_statistics
"""Earlier names."""

if TYPE_CHECKING:
    from kappamask.scenes.writers.quicklook import write_quicklook

__all__ = [
    "KappaMaskAccessor",
    "compute_class_statistics",
    "find_scenes",
    "make_composite",
    "open_scene",
    "read_mask",
    "stack_masks",
    "write_mask",
    "write_quicklook",
]


def __getattr__(name: str) -> Any:
    """Import `write_quicklook` on first use.

    matplotlib takes a third of a second to import, which every job would pay.
    """
    if name in ("write_quicklook", "quicklook"):  # the second is the earlier name
        from kappamask.scenes.writers.quicklook import write_quicklook

        return write_quicklook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
