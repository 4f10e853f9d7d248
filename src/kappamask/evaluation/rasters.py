"""Masks that others made, as files beside the scenes: read, translated, fitted to the patch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.evaluation.peers import Answer
from kappamask.models import SceneError
from kappamask.scenes import read_mask
from kappamask.scenes.masks import MASK_SUFFIXES
from kappamask.udf import from_scheme

__all__ = ["fitted", "read_rasters"]


def read_rasters(scheme: str, folder: Path) -> Callable[[Patch], Answer]:
    """A reader of a patch's mask: PATCH_SCHEME.tif (or .nc), or PATCH.tif, anywhere under `folder`.

    The rasters lie on the patch's grid, or are coarser by a whole number; of a patch that is a window of a product,
    PRODUCT_SCHEME.tif is that of the whole product. The reader raises SceneError for no such
    folder or file or a grid that does not fit, CubeError for codes that the scheme has not.
    """
    found = {path.stem.casefold(): path for path in sorted(folder.rglob("*")) if path.suffix.lower() in MASK_SUFFIXES}

    def read(patch: Patch) -> Answer:
        scene, corner = patch.window or (patch.name, None)
        names = [f"{scene}_{scheme}".casefold(), scene.casefold()]
        path = next((found[name] for name in names if name in found), None)
        if path is None:
            raise SceneError(f"There is no {scene}_{scheme}.tif under {folder.name}.")
        codes = from_scheme(read_mask(path), scheme)
        cut = codes if corner is None else _cut(codes, corner, patch, path.name)
        return Answer(fitted(np.asarray(cut.values), patch.truth.shape, path.name))

    return read


def _cut(codes: xr.DataArray, corner: tuple[int, int], patch: Patch, name: str) -> xr.DataArray:
    """The patch's window of a whole product's codes (y, x), whose pixels may be coarser by a whole number."""
    times = float(codes["x"][1] - codes["x"][0]) / (patch.pixel_m or np.nan)
    spans = [(start, start + size) for start, size in zip(corner, patch.truth.shape, strict=True)]
    if not times >= 1 or any(edge % times for span in spans for edge in span):
        raise SceneError(f"{name} has pixels {times:g} times the patch's, and its window is no whole number of them.")
    y, x = (slice(int(first / times), int(last / times)) for first, last in spans)
    return codes.isel(y=y, x=x)


def fitted(codes: NDArray[np.uint8], shape: tuple[int, ...], name: str = "mask") -> NDArray[np.uint8]:
    """Codes (y, x) repeated to `shape`, as SCL of 20 m is to 10 m. Raises SceneError if it is no whole multiple."""
    times = [wanted // given for wanted, given in zip(shape, codes.shape, strict=True)]
    if min(times) < 1 or tuple(n * t for n, t in zip(codes.shape, times, strict=True)) != shape or len({*times}) > 1:
        raise SceneError(f"{name} has {codes.shape} pixels (y, x), the patch {shape}; warp it to the patch's grid.")
    return codes.repeat(times[0], axis=0).repeat(times[0], axis=1)
