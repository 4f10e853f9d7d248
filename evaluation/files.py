"""Score one mask file against another."""

from pathlib import Path

import xarray as xr

from kappamask.evaluation.metrics import Scores, scores
from kappamask.models import SceneError
from kappamask.scenes import read_mask

__all__ = ["evaluate_files", "read_pair"]


def evaluate_files(truth: str | Path, mask: str | Path, *, merge_thin: bool = False) -> Scores:
    """Scores of the mask file against the truth file, both GeoTIFF or netCDF of KappaMask codes on one grid.

    Raises SceneError if a file is no mask or the grids differ, CubeError if the truth labels no pixel.
    """
    true, found = read_pair(truth, mask)
    return scores(true.values, found.values, merge_thin)


def read_pair(truth: str | Path, mask: str | Path) -> tuple[xr.DataArray, xr.DataArray]:
    """Both files as codes (y, x). Raises SceneError if a file is no mask or the grids differ."""
    true, found = read_mask(truth), read_mask(mask)
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
