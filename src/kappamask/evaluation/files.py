"""Score one mask file against another."""

from pathlib import Path

import xarray as xr

from kappamask.evaluation.metrics import Scores, scores
from kappamask.models import SceneError
from kappamask.scenes import read_mask
from kappamask.udf.schemes import in_own_scheme

__all__ = ["evaluate_files", "read_pair"]


def evaluate_files(truth: str | Path, mask: str | Path, *, merge_thin: bool = False) -> Scores:
    """Scores of the mask file against the truth file, GeoTIFF or netCDF on one grid.

    Codes are KappaMask's, or of the scheme that a file says it is in. Raises SceneError if a file is no mask or the
    grids differ, CubeError if the truth labels no pixel.
    """
    true, found = read_pair(truth, mask)
    return scores(true.values, found.values, merge_thin)


def read_pair(truth: str | Path, mask: str | Path) -> tuple[xr.DataArray, xr.DataArray]:
    """Both files as KappaMask codes (y, x). Raises SceneError if a file is no mask or the grids differ."""
    true, found = (in_own_scheme(read_mask(one)) for one in (truth, mask))
    _same_grid(true, found)
    return true, found


def _same_grid(true: xr.DataArray, found: xr.DataArray) -> None:
    if true.shape != found.shape:
        raise SceneError(
            f"The truth has {true.shape} pixels (y, x), the mask {found.shape}; warp one to the other's grid."
        )
    if not (true.rio.crs and found.rio.crs):
        return
    places = [(str(one.rio.crs), tuple(round(edge, 3) for edge in one.rio.bounds())) for one in (true, found)]
    if places[0] != places[1]:
        raise SceneError(f"The truth covers {places[0]}, the mask {places[1]}; warp one to the other's grid.")
