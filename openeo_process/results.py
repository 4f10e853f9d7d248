"""Name the files of a job's results, and tell which of them are masks."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kappamask.models import JobError
from kappamask.models.hints import by_door

__all__ = [
    "MANIFEST",
    "NoMaskError",
    "check_masks",
    "check_rasters",
    "collect_dates",
    "find_date",
    "find_masks",
    "is_geotiff",
    "is_geotiff_name",
    "name_files",
    "place_file",
]

MANIFEST = "manifest.json"
SUFFIXES = (".tif", ".tiff")
GEOTIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF, in both orders of bytes."""
RASTERS = (*GEOTIFF, b"\x89HDF", b"CDF", b"\x89PNG", b"PK\x03\x04")
"""The same of netCDF 4 and 3, PNG, and zipped Zarr as well, in which masks can be asked for."""
LONGEST = 120
"""Characters of a name; file systems allow 255 bytes, and partial files have longer names."""
SHOWN = 5
"""Names of files listed in a message."""
_DATE = re.compile(r"(?<!\d)(\d{4})(-?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
"""2025-09-21 or 20250921."""
_UNSAFE = re.compile(r"[^\w.+@=-]+")


class NoMaskError(JobError):
    """A job has finished and its files were fetched, but none is a mask."""


def name_files(hrefs: Mapping[str, str], dates: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Name the file of each asset after the path of its address.

    hrefs: by the asset's key, which is no file name in results as STAC 1.1 has them. Names lead to no other folder.
    Those that would be the same, also where capitals do not count or once a suffix is added, bear a digest of the key.
    dates: of the assets, where known; it is added to names that have none.
    """
    names = {key: _add_date(_make_file_name(href), (dates or {}).get(key)) for key, href in hrefs.items()}
    taken = Counter([MANIFEST, *map(_strip_suffix, names.values())])
    return {key: name if taken[_strip_suffix(name)] == 1 else _add_digest(name, key) for key, name in names.items()}


def find_date(name: str) -> str | None:
    """Find the first date in a name, as 2025-09-21."""
    found = _DATE.search(name)
    return f"{found[1]}-{found[3]}-{found[4]}" if found else None


def _add_date(name: str, date: str | None) -> str:
    if date is None or find_date(name) or Path(name).suffix.lower() not in ("", *SUFFIXES):
        return name
    return f"{Path(name).stem}_{date}{Path(name).suffix}"


def _make_file_name(href: str) -> str:
    last = unquote(urlsplit(href).path.rstrip("/").rpartition("/")[2].partition(";")[0])
    plain = unicodedata.normalize("NFC", re.split(r"[/\\]", last)[-1])
    safe = _UNSAFE.sub("_", plain).strip(".") or "asset"
    return safe if len(safe) <= LONGEST else f"{safe[:40]}_{_short_digest(safe)}_{safe[-60:]}"


def _strip_suffix(name: str) -> str:
    return name.casefold().removesuffix(SUFFIXES[0])


def _add_digest(name: str, key: str) -> str:
    path = Path(name)
    return f"{path.stem}_{_short_digest(key)}{path.suffix}"


def _short_digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


def place_file(half: Path, target: Path) -> Path:
    """Rename a complete file to `target`, with .tif added to a GeoTIFF; return its path."""
    if is_geotiff(half) and not is_geotiff_name(target.name):
        target = target.with_name(target.name + SUFFIXES[0])
    return half.replace(target)


def is_geotiff(path: Path) -> bool:
    """Tell whether a file begins as TIFF does, whatever its name is."""
    return _starts_with(path, GEOTIFF)


def is_geotiff_name(name: str) -> bool:
    """Tell whether a file's name has the suffix of a GeoTIFF."""
    return name.lower().endswith(SUFFIXES)


def _starts_with(path: Path, marks: tuple[bytes, ...]) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(marks)


def find_masks(files: Iterable[Path]) -> list[tuple[Path, str]]:
    """Find the GeoTIFFs with a date in their names, and their dates."""
    rasters = (path for path in files if is_geotiff_name(path.name))
    return [(path, date) for path in rasters if (date := find_date(path.name))]


def collect_dates(files: Iterable[Path]) -> set[str]:
    """Collect the dates of GeoTIFFs; one without a date in its name counts as one."""
    rasters = (path.name for path in files if is_geotiff_name(path.name))
    return {find_date(name) or name for name in rasters}


def check_masks(files: Iterable[Path], job_id: str) -> None:
    """Raise NoMaskError unless there are GeoTIFFs, all with a date in their names.

    A dated file without a suffix is no mask, but what came in place of one: every GeoTIFF was given a suffix.
    """
    files = list(files)
    undated = sorted(path.name for path in files if is_geotiff_name(path.name) and not find_date(path.name))
    others = sorted(path.name for path in files if not path.suffix and find_date(path.name))
    if undated or others or not find_masks(files):
        found = _describe_files(files, job_id)
        if find_masks(files):
            why = "without a date" if undated else "no GeoTIFF"
            found = f"{found}, of which {', '.join((undated or others)[:SHOWN])} is {why}"
        raise NoMaskError(
            f"{found}; needed is a GeoTIFF with a date in its name, such as "
            "openEO_2025-09-21Z.tif. After an update of this package, or once the back-end names its files otherwise, "
            f"{by_door(python='call kappamask.workflows.resume', command='type kappamask resume')}: it fetches them "
            "again and nothing is paid twice."
        )


def check_rasters(files: Iterable[Path], job_id: str) -> None:
    """Raise NoMaskError unless a file is a raster, by its first bytes."""
    files = list(files)
    if not any(_starts_with(path, RASTERS) for path in files):
        raise NoMaskError(
            f"{_describe_files(files, job_id)}; needed is GeoTIFF, netCDF, PNG or zipped Zarr. Other results are "
            "fetched by job.get_results().download_files(folder); what went wrong in the job may be in job.logs()."
        )


def _describe_files(files: list[Path], job_id: str) -> str:
    names = sorted(path.name for path in files)
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    what = "not all of its files are masks" if find_masks(files) else "no mask is among its files"
    return f"Job {job_id} was fetched to {files[0].parent}, but {what}: found was {listed}"
