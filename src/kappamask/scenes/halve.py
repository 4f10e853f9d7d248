"""Half the resolution by means of 2 x 2 pixels, where a file has no level of its own to read."""

from typing import Any, Final

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import SceneError
from kappamask.scenes.grid import pixel_size

__all__ = ["FINEST", "half_cube", "halved"]

FINEST: Final = 10.0
"""Metres: Sentinel-2's finest pixels, which alone are halved."""
NEAR: Final = 0.5
"""Metres by which pixels may differ from what is asked for, as they do after a resampling."""


def halved(values: NDArray[Any], nodata: float) -> NDArray[Any]:
    """Means of 2 x 2 pixels of `values` (y, x), same dtype; `nodata` where one of them is. Odd ends go."""
    rows, columns = (length // 2 for length in values.shape)
    fours = values[: rows * 2, : columns * 2].reshape(rows, 2, columns, 2)
    means = fours.mean(axis=(1, 3))
    means[(fours == nodata).any(axis=(1, 3))] = nodata
    return np.asarray(np.rint(means) if values.dtype.kind in "ui" else means, values.dtype)


def half_cube(name: str, cube: xr.DataArray, metres: float) -> xr.DataArray:
    """`cube` (…, y, x) as it is where `metres` is 10, or what its pixels have; else means of 2 x 2 of 10 m, lazy.

    A pixel is without data where one of the four is. Raises SceneError for pixels of other or of unknown size.
    """
    size = pixel_size(cube)
    if metres == FINEST or _is(size, metres):
        return cube
    if not _is(size, FINEST):
        told = "of unknown size" if size is None else f"{size[0]:.6g} x {size[1]:.6g} {size[2] or '(no CRS tells)'}"
        raise SceneError(f"{name}: pixels are {told}; for {metres:g} m resample them first (gdalwarp -tr).")
    nodata = cube.attrs.get("_FillValue")
    known = cube if nodata is None else cube.where(cube != nodata)
    means: xr.DataArray = known.coarsen(y=2, x=2, boundary="trim").mean(skipna=False)  # type: ignore[attr-defined]
    whole = means.round() if cube.dtype.kind in "ui" else means
    stored = (whole if nodata is None else whole.fillna(nodata)).astype(cube.dtype)
    made = stored.assign_attrs(cube.attrs).rename(cube.name)
    located: xr.DataArray = made.rio.write_transform(made.rio.transform(recalc=True))
    return located


def _is(size: tuple[float, float, str] | None, metres: float) -> bool:
    return size is not None and size[2] == "m" and all(abs(side - metres) <= NEAR for side in size[:2])
