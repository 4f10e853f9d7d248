"""Masks that others made, as files beside the scenes: read, translated, fitted to the patch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
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

    The rasters lie on the patch's grid, or are coarser by a whole number. Raises SceneError for no such folder; the
    reader raises it for no such file or a grid that does not fit, CubeError for codes that the scheme has not.
    """
    if not folder.is_dir():
        raise SceneError(f"{folder} is no folder; rasters of {scheme} are looked for there.")
    found = {path.stem.casefold(): path for path in sorted(folder.rglob("*")) if path.suffix.lower() in MASK_SUFFIXES}

    def read(patch: Patch) -> Answer:
        names = [f"{patch.name}_{scheme}".casefold(), patch.name.casefold()]
        path = next((found[name] for name in names if name in found), None)
        if path is None:
            raise SceneError(f"There is no {patch.name}_{scheme}.tif under {folder.name}.")
        return Answer(fitted(np.asarray(from_scheme(read_mask(path), scheme).values), patch.truth.shape, path.name))

    return read


def fitted(codes: NDArray[np.uint8], shape: tuple[int, ...], name: str = "mask") -> NDArray[np.uint8]:
    """Codes (y, x) repeated to `shape`, as SCL of 20 m is to 10 m. Raises SceneError if it is no whole multiple."""
    times = [wanted // given for wanted, given in zip(shape, codes.shape, strict=True)]
    if min(times) < 1 or tuple(n * t for n, t in zip(codes.shape, times, strict=True)) != shape or len({*times}) > 1:
        raise SceneError(f"{name} has {codes.shape} pixels (y, x), the patch {shape}; warp it to the patch's grid.")
    return codes.repeat(times[0], axis=0).repeat(times[0], axis=1)
