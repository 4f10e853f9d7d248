"""Download and verify the results of a job, resuming interrupted transfers."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openeo

from kappamask.files.atomic import replace_text
from kappamask.files.download import Answer, append_rest, hash_file, part_path, remove_part
from kappamask.files.untrusted import parse_json
from kappamask.models import JobError
from kappamask.models.errors import DownloadError
from kappamask.openeo_process.results import MANIFEST, name_files, place_file

__all__ = [
    "MANIFEST",
    "Asset",
    "LinkError",
    "check_plain_name",
    "download",
    "find_bounds",
    "find_day",
    "find_link",
    "iter_valid_files",
    "list_assets",
    "list_whole_files",
    "remove_partial_files",
    "write_manifest",
]

PIECE = 1 << 20
"""Bytes between two reports of progress."""
Bounds = tuple[float, float, float, float]
"""West, south, east, north."""
FETCHED_BY = ("http", "https", "")
"""Schemes of addresses that are fetched; none where it is relative to the back-end's."""
DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?=T|$)")
KEY_DAY = re.compile(r"_(\d{4}-\d\d-\d\d)T[\d:.]+Z_")
"""Of keys such as 5a5b12b6-08f1-4eb6-b226-7d548a5a3231_2025-09-21T00:00:00Z_openEO."""


class LinkError(Exception):
    """A link to a result is refused or broken, as signed ones after they expire."""


@dataclass(frozen=True)
class Asset:
    """One file of a result."""

    name: str
    href: str
    """Where it is; signed links are secrets and never shown."""
    size: int | None
    """Bytes, where the back-end says."""
    bounds: tuple[float, float, float, float] | None = None
    """West, south, east, north in the file's own CRS, where the back-end says."""

    @property
    def names(self) -> set[str]:
        """What the file may be called here; see `place_file`."""
        return {self.name, self.name + ".tif"}


def list_assets(connection: openeo.Connection, job_id: str) -> list[Asset]:
    """List the files of a finished job, named after their paths, with links signed again.

    Results of STAC 1.0 and 1.1 are read alike. Raises JobError if there is none, or no address of one.
    """
    listed = connection.job(job_id).get_results().get_metadata().get("assets", {})
    if not listed:
        raise JobError(f"Job {job_id} has no result; its log on the back-end, connection.job(…).logs(), may say why.")
    links = {key: find_link(key, entry) for key, entry in listed.items()}
    names = name_files(links, {key: find_day(key, entry) for key, entry in listed.items()})
    return [Asset(names[key], links[key], one.get("file:size"), find_bounds(one)) for key, one in listed.items()]


def check_plain_name(name: str) -> str:
    """Return an untrusted file name if it is plain.

    Raises JobError if it leads to another folder, or is that of the manifest.
    """
    if name != Path(name).name or "\\" in name or not name.strip(". ") or name == MANIFEST:
        raise JobError(f"The back-end offers a file named {name!r}, which is not a plain name.")
    return name


def download(
    connection: openeo.Connection, asset: Asset, folder: Path, key: str, check: Callable[[Path], None],
    progress: Callable[[], None],
) -> dict[str, Any]:  # fmt: skip
    """Fetch one file into `folder` and return its entry in the manifest.

    key: what is half fetched is kept under the asset's name and this, and gone on with. check: raises a KappaMaskError
    if the whole file is not what it should be; then the half is thrown away. progress: called as bytes come in.
    Raises LinkError, openEO's and requests' errors, and OSError; the final name, which is the asset's, or that and the
    suffix of a GeoTIFF, appears only if all is right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, half = folder / asset.name, part_path(folder / asset.name, key)
    if asset.size is None or not half.exists() or half.stat().st_size != asset.size:
        try:  # the key is that of the job, whose results do not change
            append_rest(partial(_send, connection, asset), half, unmarked=True, show=lambda *_: progress())
        except DownloadError as error:
            raise LinkError(f"{asset.name} cannot be had: {error}") from error
    size = half.stat().st_size
    try:
        if asset.size not in (None, size):
            raise LinkError(f"{asset.name} has {size} bytes, not {asset.size}")
        check(half)
    except Exception:
        remove_part(half)
        raise
    digest, name = hash_file(half), place_file(half, target).name
    remove_part(half)
    return {"name": name, "size": size, "sha256": digest}


def remove_partial_files(folder: Path, key: str) -> None:
    """Remove what is left of files that were half fetched under this key."""
    for half in folder.glob(f".*.{key}.part"):
        remove_part(half)


@contextmanager
def _send(connection: openeo.Connection, asset: Asset, headers: dict[str, str]) -> Iterator[Answer]:
    with connection.get(asset.href, headers=headers, stream=True, check_error=False) as response:
        yield Answer(response.status_code, response.headers, response.iter_content(PIECE))


def write_manifest(folder: Path, about: dict[str, Any], files: list[dict[str, Any]]) -> Path:
    """Write what was fetched into the manifest and return its path."""
    target = folder / MANIFEST
    replace_text(target, json.dumps({**about, "files": files}, indent=2))
    return target


def iter_valid_files(folder: Path, job_id: str) -> Iterator[Path]:
    """Yield the files of this job that are in `folder` as its manifest describes them."""
    return (path for path, same in _compare_files(folder, job_id) if same)


def list_whole_files(folder: Path, job_id: str) -> list[Path]:
    """List the files of this job if all are as the manifest says, else none."""
    found = [*_compare_files(folder, job_id)]
    return [path for path, _ in found] if all(same for _, same in found) else []


def _compare_files(folder: Path, job_id: str) -> Iterator[tuple[Path, bool]]:
    """Yield each file of the manifest, and whether it is there and unchanged."""
    try:
        manifest = parse_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return
    for entry in manifest["files"] if manifest.get("job") == job_id else []:
        path = folder / check_plain_name(entry["name"])
        there = path.is_file() and path.stat().st_size == entry["size"]
        yield path, there and hash_file(path) == entry["sha256"]


def find_link(key: str, asset: Mapping[str, Any]) -> str:
    """Find an asset's address, or that of an alternate, that can be fetched.

    Raises JobError if there is none.
    """
    alternates = asset.get("alternate")
    entries = [asset, *(alternates.values() if isinstance(alternates, dict) else ())]
    found = [one.get("href") for one in entries if isinstance(one, Mapping)]
    try:
        return next(href for href in found if isinstance(href, str) and href and urlsplit(href).scheme in FETCHED_BY)
    except (StopIteration, ValueError):
        raise JobError(
            f"The back-end gives no https address for the result {key!r}; needed is an href. See what it answers with "
            "connection.job(…).get_results().get_metadata()."
        ) from None


def find_day(key: str, asset: Mapping[str, Any]) -> str | None:
    """Read the day of an asset, such as 2025-09-21, or None.

    It is in the asset, or in its key in results of STAC 1.1.
    """
    stated = asset.get("datetime") or asset.get("start_datetime")
    found = DAY.match(stated) if isinstance(stated, str) else KEY_DAY.search(key)
    return found[1] if found else None


def find_bounds(asset: Mapping[str, Any]) -> Bounds | None:
    """Read what an asset covers in its own CRS, where it says.

    By `proj:bbox`, or else by `proj:transform` and `proj:shape`.
    """
    match asset.get("proj:bbox"):
        case [int() | float() as west, int() | float() as south, int() | float() as east, int() | float() as north]:
            return west, south, east, north
    match asset.get("proj:transform"), asset.get("proj:shape"):
        case [
            [int() | float() as right, 0 | 0.0, int() | float() as west, 0 | 0.0, int() | float() as down,
             int() | float() as north, *_],
            [int() as height, int() as width],
        ]:  # fmt: skip
            return west, north + down * height, west + right * width, north
    return None
