"""Masks of many dates, in order: from a folder of files, or from one file with a dimension t."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import xarray as xr

from kappamask.models import ClassValue, SceneError
from kappamask.reports.provenance import sensing_time
from kappamask.reports.shares import Shares, shares
from kappamask.scenes import read_mask
from kappamask.scenes.cf import crs_of
from kappamask.scenes.counts import in_classes
from kappamask.scenes.dataset import renamed
from kappamask.scenes.masks import MASK_SUFFIXES
from kappamask.scenes.netcdf import open_dates
from kappamask.scenes.raster import local_raster
from kappamask.scenes.zarr_store import checked, open_group

__all__ = ["Dated", "is_series", "read_series"]

SCORES = "_scores"
"""End of the names of files that hold the scores beside a mask."""


@dataclass(frozen=True)
class Dated:
    """One mask of a series."""

    name: str
    """Of the file that it comes from."""
    when: datetime
    """When its scene was sensed, UTC."""
    mask: xr.DataArray
    counted: Shares

    @property
    def classes(self) -> tuple[ClassValue, ...]:
        """Of the mask's scheme."""
        return tuple(one.of for one in self.counted.classes)


def is_series(source: str | Path) -> bool:
    """Whether there are masks of several dates: a folder, or a netCDF or Zarr with a dimension t."""
    path = Path(source)
    return path.is_dir() or (path.suffix.lower() == ".nc" and "t" in open_dates(path).dims)


def read_series(source: str | Path, *, report: Callable[[int, int], None] | None = None) -> list[Dated]:
    """The masks of a series by date, each counted.

    source: a folder of mask files as `write_mask` or a job made them (other rasters in it are left out); or a netCDF or
        Zarr of masks, a variable `mask` (t, y, x) of whole numbers.
    report: called with how many masks are counted, and how many there are.

    Raises SceneError if there is no mask, if one has no date, if two have different classes, or if a file is damaged.
    """
    path = Path(source)
    masks = [*_found(path)]
    if not masks:
        raise SceneError(f"Folder {path} holds no masks: needed are files that kappamask mask wrote.")
    dated = []
    for done, (name, mask) in enumerate(masks, 1):
        classes = in_classes(mask)
        dated.append(Dated(name, sensing_time(name, mask.attrs), classes, shares(classes)))
        if report:
            report(done, len(masks))
    _check_schemes(dated)
    return sorted(dated, key=lambda one: (one.when, one.name))


def _found(path: Path) -> Iterator[tuple[str, xr.DataArray]]:
    if path.suffix.lower() == ".zarr":
        yield from _along_t(path.name, renamed(open_group(checked(path))))
    elif path.is_dir():
        yield from ((file.name, read_mask(file)) for file in sorted(path.iterdir()) if _is_mask(file))
    elif path.suffix.lower() == ".nc":
        yield from _along_t(path.name, open_dates(path))
    else:
        yield path.name, read_mask(path)


def _is_mask(path: Path) -> bool:
    """One layer of whole numbers; scores, scenes and pictures beside masks are none."""
    if path.name.startswith(".") or path.suffix.lower() not in MASK_SUFFIXES or path.stem.endswith(SCORES):
        return False
    if path.suffix.lower() == ".nc":
        return _codes(open_dates(path)) is not None
    with local_raster(path) as dataset:
        return dataset.count == 1 and dataset.dtypes[0] in ("uint8", "int8")


def _codes(dataset: xr.Dataset) -> xr.DataArray | None:
    layers = [v for v in dataset.data_vars.values() if set(v.dims) - {"t"} == {"y", "x"} and v.dtype.kind in "ui"]
    if "mask" in dataset:
        return dataset["mask"] if dataset["mask"].dtype.kind in "ui" else None
    return layers[0] if len(layers) == 1 else None


def _along_t(name: str, dataset: xr.Dataset) -> Iterator[tuple[str, xr.DataArray]]:
    codes = _codes(dataset)
    if codes is None:
        raise SceneError(
            f"{name} holds no masks: needed is a variable 'mask' of whole numbers with dims t, y, x; if it has bands, "
            f"make the masks with: kappamask mask {name} -o masks.nc."
        )
    crs = crs_of(name, dataset)
    codes = codes.rio.write_crs(crs) if crs else codes
    for mask in codes if "t" in codes.dims else [codes]:
        yield name, mask.transpose("y", "x").assign_attrs(_date(mask))


def _date(mask: xr.DataArray) -> dict[str, Any]:
    dated = "t" in mask.coords and mask["t"].dtype.kind == "M"
    return {"datetime": f"{mask['t'].dt.strftime('%Y-%m-%dT%H:%M:%SZ').item()}"} if dated else {}


def _check_schemes(dated: list[Dated]) -> None:
    first = dated[0]
    for other in dated[1:]:
        if [(c.value, c.name) for c in other.classes] != [(c.value, c.name) for c in first.classes]:
            raise SceneError(f"{other.name} has other classes than {first.name}; a series needs masks of one scheme.")
