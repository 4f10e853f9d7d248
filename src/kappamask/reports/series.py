"""Read masks of many dates, and tabulate them."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import xarray as xr

from kappamask.files.atomic import atomic_write
from kappamask.models import ClassValue, KappaMaskError, SceneError
from kappamask.reports.class_shares import Shares, count_shares
from kappamask.reports.provenance import find_sensing_time
from kappamask.reports.series_scenes import match_scenes
from kappamask.scenes import read_mask
from kappamask.scenes.grid import sort_north_up
from kappamask.scenes.readers.lazy_variables import read_crs
from kappamask.scenes.readers.netcdf import open_dates, rename_dims
from kappamask.scenes.readers.raster import open_local_raster
from kappamask.scenes.readers.zarr import open_group
from kappamask.scenes.readers.zarr_metadata import check_store
from kappamask.scenes.statistics import to_classes
from kappamask.scenes.writers.masks import MASK_SUFFIXES

__all__ = ["Dated", "is_series", "make_rows", "match_scenes", "read_series", "write_table"]

SCORES = "_scores"
"""End of the names of files that hold the scores of a mask."""
DIGITS = 4
"""Of a percentage: one pixel of 1000 x 1000."""


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
    """Tell whether `source` holds masks of several dates.

    It does if it is a folder, or a netCDF or Zarr with a dimension t.
    """
    path = Path(source)
    return path.is_dir() or (path.suffix.lower() == ".nc" and "t" in open_dates(path).dims)


def read_series(
    source: str | Path,
    *,
    report: Callable[[int, int], None] | None = None,
    failed: Callable[[str, KappaMaskError], None] | None = None,
) -> list[Dated]:
    """Read the masks of a series by date, and count the classes of each.

    source: a folder of mask files as `write_mask` or a job made them (other rasters in it are left out); or a netCDF or
        Zarr of masks, a variable `mask` (t, y, x) of whole numbers.
    report: called with how many masks are counted, and how many there are.
    failed: called with the name of a file in a folder that is damaged or has no date, and why; the others go on.

    Raises SceneError if there is no mask, if two have different classes, and without `failed`, or if no file is left,
    if one is damaged or has no date.
    """
    path = Path(source)
    masks: list[tuple[str, xr.DataArray | Path]]
    masks = [*_list_files(path)] if path.is_dir() and path.suffix.lower() != ".zarr" else [*_open_masks(path)]
    dated, errors = list[Dated](), list[KappaMaskError]()
    for done, (name, found) in enumerate(masks, 1):
        try:
            dated.append(_count_mask(name, found))
        except KappaMaskError as error:
            if failed is None or not path.is_dir():
                raise
            failed(name, error)
            errors.append(error)
        if report:
            report(done, len(masks))
    if errors and not dated:
        raise errors[0]
    if not dated:
        raise SceneError(f"Folder {path} holds no masks: needed are files that kappamask mask wrote.")
    _check_schemes(dated)
    return sorted(dated, key=lambda one: (one.when, one.name))


def _count_mask(name: str, found: xr.DataArray | Path) -> Dated:
    """Count the classes of a mask, in memory or in a file."""
    if isinstance(found, Path):
        _is_mask(found)  # whose error of a damaged file says more
    mask = read_mask(found) if isinstance(found, Path) else found
    classes = to_classes(mask)
    return Dated(name, find_sensing_time(name, mask.attrs), classes, count_shares(classes))


def _list_files(folder: Path) -> list[tuple[str, Path]]:
    """List files that are masks, and those that are too damaged to tell."""
    return [(file.name, file) for file in sorted(folder.iterdir()) if _may_be_mask(file)]


def _open_masks(path: Path) -> Iterator[tuple[str, xr.DataArray]]:
    if path.suffix.lower() == ".zarr":
        yield from _split_dates(path.name, rename_dims(open_group(check_store(path))))
    elif path.suffix.lower() == ".nc":
        yield from _split_dates(path.name, open_dates(path))
    else:
        yield path.name, read_mask(path)


def _may_be_mask(path: Path) -> bool:
    if path.name.startswith(".") or path.suffix.lower() not in MASK_SUFFIXES or path.stem.endswith(SCORES):
        return False
    try:
        return _is_mask(path)
    except KappaMaskError:
        return True


def _is_mask(path: Path) -> bool:
    """Tell whether a file is one layer of integers; scores, scenes and pictures are not."""
    if path.suffix.lower() == ".nc":
        return _find_codes(open_dates(path)) is not None
    with open_local_raster(path) as dataset:
        return dataset.count == 1 and dataset.dtypes[0] in ("uint8", "int8")


def _find_codes(dataset: xr.Dataset) -> xr.DataArray | None:
    layers = [v for v in dataset.data_vars.values() if set(v.dims) - {"t"} == {"y", "x"} and v.dtype.kind in "ui"]
    if "mask" in dataset:
        return dataset["mask"] if dataset["mask"].dtype.kind in "ui" else None
    return layers[0] if len(layers) == 1 else None


def _split_dates(name: str, dataset: xr.Dataset) -> Iterator[tuple[str, xr.DataArray]]:
    codes = _find_codes(dataset)
    if codes is None:
        raise SceneError(
            f"{name} holds no masks: needed is a variable 'mask' of whole numbers with dims t, y, x; if it has bands, "
            f"make the masks with: kappamask mask {name} -o masks.nc."
        )
    crs = read_crs(name, dataset)
    codes = sort_north_up(codes.rio.write_crs(crs) if crs else codes)
    for mask in codes if "t" in codes.dims else [codes]:
        yield name, mask.transpose("y", "x").assign_attrs(_make_date_attribute(mask))


def _make_date_attribute(mask: xr.DataArray) -> dict[str, Any]:
    dated = "t" in mask.coords and mask["t"].dtype.kind == "M"
    return {"datetime": f"{mask['t'].dt.strftime('%Y-%m-%dT%H:%M:%SZ').item()}"} if dated else {}


def _check_schemes(dated: list[Dated]) -> None:
    first = dated[0]
    for other in dated[1:]:
        if [(c.value, c.name) for c in other.classes] != [(c.value, c.name) for c in first.classes]:
            raise SceneError(f"{other.name} has other classes than {first.name}; a series needs masks of one scheme.")


def make_rows(dates: Sequence[Dated]) -> list[dict[str, Any]]:
    """Make a row for each date: file, datetime (ISO 8601, UTC), pixel counts, percentages.

    `pixels` are those of the area, without those of 255, `nodata_pixels`. `cloud_cover` and the classes with data are
    percent of the valid pixels, None where there are none; classes without data are percent of all pixels.
    """
    return [
        {
            "file": one.name,
            "datetime": one.when.isoformat().replace("+00:00", "Z"),
            "pixels": one.counted.area,
            "valid_pixels": one.counted.valid,
            "nodata_pixels": one.counted.nodata,
            "cloud_cover": _round_percent(one.counted.cloud_cover),
            **{name: _round_percent(value) for name, value in one.counted.percentages.items()},
        }
        for one in dates
    ]


def write_table(path: str | Path, dates: Sequence[Dated]) -> Path:
    """Write `make_rows` as CSV with a header, and an empty cell for None.

    Raises SceneError if it cannot be written.
    """
    listed = make_rows(dates)
    with atomic_write(Path(path)) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
    return Path(path)


def _round_percent(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


# Earlier names, which the documentation showed.
scenes_of, rows = match_scenes, make_rows
