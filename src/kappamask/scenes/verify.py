"""Verify that a downloaded mask is complete, and find unexplained gaps in it."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import geometry_mask
from rasterio.transform import Affine

from kappamask.models import SceneError
from kappamask.models.card import NODATA_CODE
from kappamask.models.cleaning import PIXEL_M
from kappamask.scenes.grid import read_grid, to_rasterio_crs
from kappamask.scenes.readers.raster import open_local_raster

__all__ = ["Bounds", "missing_within_swath", "verify_cover", "verify_mask"]

MAX_SIDE = 1024
"""Pixels of the thinned mask's longer side: a hole of a pixel in a thousand is seen all the same."""
Bounds = tuple[float, float, float, float]
"""West, south, east, north."""
OWN_CODES = range(6)
"""KappaMask's classes."""
SCORES = range(101)
"""Percent; scores follow the mask as further bands."""
NEAR = 1e-6


def missing_within_swath(path: Path) -> float:
    """Return the share of pixels without data inside the swath, from 0 to 1.

    The swath of an orbit has straight edges, so within a rectangle what was seen is convex: what lies between pixels
    with data has no data for another reason, such as a file that a back-end could not read. Every `n`th pixel of large
    files is asked. A file without any data gives 0, because nothing is known of its swath.
    """
    with open_local_raster(path) as dataset:
        step = max(1, -(-max(dataset.shape) // MAX_SIDE))
        shape = tuple(max(1, side // step) for side in dataset.shape)
        codes = dataset.read(1, out_shape=shape, resampling=Resampling.nearest)
    valid = codes != NODATA_CODE
    if not valid.any():
        return 0.0
    hull = shapely.convex_hull(shapely.MultiPoint(_outermost_corners(valid)))
    seen = geometry_mask([hull], codes.shape, Affine.identity(), invert=True)
    return float((seen & ~valid).sum() / codes.size)


def _outermost_corners(valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the outer corners (x, y) of each row's first and last valid pixel.

    No other point can be a corner of the convex hull.
    """
    rows = np.flatnonzero(valid.any(axis=1))
    first = valid[rows].argmax(axis=1)
    end = valid.shape[1] - valid[rows, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([x, rows + y], axis=1) for x in (first, end) for y in (0, 1)])


def verify_mask(
    path: Path,
    *,
    crs: str | None = None,
    pixel: float = PIXEL_M,
    codes: Collection[int] = OWN_CODES,
    name: str | None = None,
) -> dict[str, Any]:
    """Read every pixel of a downloaded mask, and return `bounds` and nodata share.

    The share of pixels without data is called `nodata`. name: of the file in messages, for one that is half fetched.
    Raises SceneError if it is not uint8, holds other codes than `codes` and nodata, lies in another `crs` (such as
    "EPSG:32631"), or if its pixels are not `pixel` metres wide on a grid of whole pixels, as Sentinel-2's are.
    """
    name = name or path.name
    with open_local_raster(path) as dataset:
        grid, kinds = read_grid(dataset), set(dataset.dtypes)
        empty, wrong = 0, kinds != {"uint8"}
        for _, window in dataset.block_windows(1) if not wrong else ():
            mask, *scores = dataset.read(window=window)
            empty += int(np.count_nonzero(mask == NODATA_CODE))
            wrong |= _has_unknown_codes(mask, codes) or any(_has_unknown_codes(score, SCORES) for score in scores)
    if wrong:
        known = ", ".join(map(str, sorted({*codes, NODATA_CODE})))
        raise SceneError(f"{name} is no mask: needed is uint8 of the codes {known}.")
    found = str(to_rasterio_crs(grid))
    if crs is not None and found != crs:
        raise SceneError(
            f"{name} lies in {found}; asked for was {crs}: the back-end has scenes of another zone there. Submit an "
            "area that lies within the zone of its scenes."
        )
    corner = (grid.transform.c / pixel, grid.transform.f / pixel)
    if abs(grid.transform.a - pixel) > NEAR or any(abs(at - round(at)) > NEAR for at in corner):
        raise SceneError(f"{name} is not on the grid of {pixel:g} m: its transform is {tuple(grid.transform)[:6]}.")
    return {"bounds": grid.boundingbox.bbox, "nodata": empty / (grid.width * grid.height)}


def verify_cover(
    name: str,
    found: Bounds,
    asked: Bounds,
    stated: Bounds | None = None,
    *,
    pixel: float = PIXEL_M,
    partly: bool = False,
) -> None:
    """Check that a mask with the bounds `found` covers the box `asked`.

    All bounds are metres of the same UTM zone.
    It may reach `pixel` metres further, for boxes are snapped outward. It may end earlier only where the back-end has
    `stated` these very bounds for it, as one does that cuts to where it has images; with `partly`, anywhere in the
    box. Raises SceneError, which says what is covered, otherwise.
    """
    beyond = max(asked[0] - found[0], asked[1] - found[1], found[2] - asked[2], found[3] - asked[3])
    share = _overlap_area(found, asked) / _overlap_area(asked, asked)
    if not share or beyond > pixel * (1 + NEAR):
        raise SceneError(f"{name} lies elsewhere: it covers {_as_text(found)}; asked for was {_as_text(asked)}.")
    if share > 1 - NEAR or partly or (stated and all(abs(a - b) < pixel for a, b in zip(stated, found, strict=True))):
        return
    raise SceneError(
        f"{name} covers {share:.0%} of its part and the back-end does not say that it has no more: it reaches over "
        f"{_as_text(found)}; asked for was {_as_text(asked)}. Fetch it again (kappamask resume), or accept it with "
        "--allow-holes."
    )


def _overlap_area(one: Bounds, other: Bounds) -> float:
    """Compute the square metres that two boxes share."""
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    return max(0.0, width) * max(0.0, height)


def _as_text(bounds: Bounds) -> str:
    return "W,S,E,N " + ",".join(f"{edge:.0f}" for edge in bounds)


def _has_unknown_codes(layer: NDArray[np.uint8], known: Collection[int]) -> bool:
    """Tell whether `layer` holds a number that is neither known nor nodata."""
    found = np.flatnonzero(np.bincount(layer.ravel(), minlength=NODATA_CODE + 1))
    return not {*found.tolist()} <= {*known, NODATA_CODE}
