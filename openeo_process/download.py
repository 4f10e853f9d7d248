"""Results of a job, fetched whole: cut downloads go on where they ended, and nothing unproven takes its final name."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openeo
import requests

from kappamask.models import JobError

__all__ = [
    "MANIFEST",
    "Asset",
    "LinkError",
    "assets_of",
    "download",
    "fetched",
    "is_whole",
    "plain_name",
    "write_manifest",
]

MANIFEST = "manifest.json"
PIECE = 1 << 20
"""Bytes between two reports of progress."""
OK, PARTIAL, BEYOND = 200, 206, 416
"""HTTP: the whole file, a range of it, a range beyond its end (RFC 9110)."""


class LinkError(Exception):
    """A link to a result that is refused or broken, as signed ones are once they have expired; ask for new ones."""


@dataclass(frozen=True)
class Asset:
    """One file of a result."""

    name: str
    href: str
    """Where it is; signed links are secrets and never shown."""
    size: int | None
    """Bytes, where the back-end says."""
    bounds: tuple[float, float, float, float] | None = None
    """West, south, east, north in the file's own CRS, where the back-end says (`proj:bbox`)."""


def assets_of(connection: openeo.Connection, job_id: str) -> list[Asset]:
    """The files of a finished job, with links signed anew. Raises JobError if there is none, or a name is no name."""
    listed = connection.job(job_id).get_results().get_metadata().get("assets", {})
    if not listed:
        raise JobError(f"Job {job_id} has no result; its log on the back-end, connection.job(…).logs(), may say why.")
    return [Asset(plain_name(name), one["href"], one.get("file:size"), _bounds(one)) for name, one in listed.items()]


def _bounds(entry: dict[str, Any]) -> tuple[float, float, float, float] | None:
    match entry.get("proj:bbox"):
        case [int() | float() as west, int() | float() as south, int() | float() as east, int() | float() as north]:
            return west, south, east, north
    return None


def plain_name(name: str) -> str:
    """`name`, which comes from outside; JobError if it leads to another folder, or is that of the manifest."""
    if name != Path(name).name or "\\" in name or not name.strip(". ") or name == MANIFEST:
        raise JobError(f"The back-end offers a file named {name!r}, which is not a plain name.")
    return name


def download(
    connection: openeo.Connection, asset: Asset, folder: Path, key: str, check: Callable[[Path], None],
    progress: Callable[[], None],
) -> dict[str, Any]:  # fmt: skip
    """Fetch one file into `folder`; its line of the manifest.

    key: what is half fetched is kept under the asset's name and this, and gone on with. check: raises a KappaMaskError
    if the whole file is not what it should be; then the half is thrown away. progress: called as bytes come in.
    Raises LinkError, openEO's and requests' errors, and OSError; the final name appears only if all is right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / asset.name, folder / f".{asset.name}.{key}.part"
    _append(connection, asset, part, progress)
    if asset.size is not None and part.stat().st_size != asset.size:
        got = part.stat().st_size
        part.unlink()
        raise LinkError(f"{asset.name} has {got} bytes, not {asset.size}")
    try:
        check(part)
    except Exception:
        part.unlink()
        raise
    entry = {"name": asset.name, "size": part.stat().st_size, "sha256": _sha256(part)}
    part.replace(target)
    return entry


def _append(connection: openeo.Connection, asset: Asset, part: Path, progress: Callable[[], None]) -> None:
    """Bring `part` to its end."""
    have = part.stat().st_size if part.exists() else 0
    if asset.size is not None and have == asset.size:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with connection.get(asset.href, headers=headers, stream=True, check_error=False) as response:
        if response.status_code == BEYOND:
            part.unlink()
            raise LinkError(f"{asset.name} is shorter than what was fetched of it")
        if response.status_code not in (OK, PARTIAL):
            raise LinkError(f"{asset.name} is answered with HTTP {response.status_code}")
        goes_on = response.status_code == PARTIAL and _starts_at(response, have)
        with part.open("ab" if goes_on else "wb") as file:
            for piece in response.iter_content(PIECE):
                file.write(piece)
                progress()


def _starts_at(response: requests.Response, first: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {first}-")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, about: dict[str, Any], files: list[dict[str, Any]]) -> Path:
    """Write down what was fetched, whole or not at all; the manifest's path."""
    target = folder / MANIFEST
    draft = target.with_name(f".{MANIFEST}.part")
    draft.write_text(json.dumps({**about, "files": files}, indent=2), encoding="utf-8")
    draft.replace(target)
    return target


def fetched(folder: Path, job_id: str) -> Iterator[Path]:
    """The files of this job that lie in `folder` as its manifest describes them; those that changed are left out."""
    return (path for path, same in _compared(folder, job_id) if same)


def is_whole(folder: Path, job_id: str) -> bool:
    """Whether every file of this job lies in `folder` as its manifest describes it; without a manifest, no."""
    found = [same for _, same in _compared(folder, job_id)]
    return bool(found) and all(found)


def _compared(folder: Path, job_id: str) -> Iterator[tuple[Path, bool]]:
    """Each file of the manifest, and whether it is there and as it was."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for entry in manifest["files"] if manifest.get("job") == job_id else []:
        path = folder / plain_name(entry["name"])
        there = path.is_file() and path.stat().st_size == entry["size"]
        yield path, there and _sha256(path) == entry["sha256"]
