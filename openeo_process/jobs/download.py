"""Download and verify the results of a job, resuming interrupted transfers."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import openeo
from openeo.rest import OpenEoApiPlainError

from kappamask.files.atomic import replace_text
from kappamask.files.download import Answer, append_rest, hash_file, make_part_path, remove_part
from kappamask.files.untrusted import parse_json
from kappamask.models import JobError
from kappamask.models.errors import DownloadError
from kappamask.openeo_process.jobs.assets import Asset
from kappamask.openeo_process.jobs.retry import TRANSIENT_STATUS
from kappamask.openeo_process.results import MANIFEST, place_file

__all__ = [
    "MANIFEST",
    "LinkError",
    "check_plain_name",
    "download",
    "iter_valid_files",
    "list_whole_files",
    "remove_partial_files",
    "write_manifest",
]

PIECE = 1 << 20
"""Bytes between two reports of progress."""


class LinkError(Exception):
    """A link to a result is refused or broken, as signed ones after they expire."""


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

    key: a partial file is kept under the asset's name and this key, and resumed. check: raises a KappaMaskError if the
    whole file is not what it should be; the file is then deleted. progress: called as bytes come in.
    Raises LinkError, openEO's and requests' errors, and OSError; the final name, which is the asset's, or that and the
    suffix of a GeoTIFF, appears only if all is right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, half = folder / asset.name, make_part_path(folder / asset.name, key)
    if asset.size is None or not half.exists() or half.stat().st_size != asset.size:
        try:  # the key is that of the job, whose results do not change
            append_rest(partial(_send, connection, asset), half, unmarked=True, show=lambda *_: progress())
        except DownloadError as error:
            raise LinkError(f"{asset.name} cannot be fetched: {error}") from error
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
        status = response.status_code
        if status in TRANSIENT_STATUS:  # the link is all right, and the message is to show no secret address
            why = f"{asset.name} cannot be fetched now: HTTP {status}"
            raise OpenEoApiPlainError(message=why, http_status_code=status, error_message=why)
        yield Answer(status, response.headers, response.iter_content(PIECE))


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
