"""What `submit`, `jobs`, `resume`, `fetch` and `cancel` share: the journal, the driver, and the masks made of parts."""

import json
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.cli.assemble import arguments_of, asked_of
from kappamask.models import JobError
from kappamask.models.schemes import OWN, is_own, scheme_of

if TYPE_CHECKING:
    from kappamask.openeo_process.download import Asset
    from kappamask.openeo_process.drive import Driver
    from kappamask.openeo_process.journal import Journal, Part

__all__ = ["AllowHoles", "AtOnce", "JournalFile", "driver_of", "journal_at", "row", "rows"]

HOME = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "kappamask" / "jobs.sqlite"
JournalFile = Annotated[Path, typer.Option("--journal", help="File in which jobs are written down.")]
AllowHoles = Annotated[
    bool, typer.Option("--allow-holes", help="Take masks that lack data, or a part of their area, without a reason.")
]
AtOnce = Annotated[int, typer.Option(min=1, help="Jobs that may run at the same time.")]


def journal_at(path: Path, *, new: bool = False) -> "Journal":
    """The journal at `path`. Raises JobError if there is none, unless a `new` one may be made."""
    from kappamask.openeo_process.journal import Journal

    if not new and not path.is_file():
        raise JobError(f"There is no journal {path}: nothing was submitted yet, or say which with --journal.")
    return Journal(path)


def driver_of(journal: "Journal", backend: str, at_once: int, tell: Any, partly: bool = False) -> "Driver":
    """What takes parts of this back-end to their end. partly: masks that do not cover their part are taken as well."""
    from kappamask.openeo_process.drive import Driver
    from kappamask.openeo_process.login import connect
    from kappamask.openeo_process.patience import Patience

    patience = Patience(poll_s=1.0) if _is_local(backend) else Patience()
    return Driver(
        journal, lambda: connect(backend, patience), at_once=at_once, patience=patience,
        check=partial(_check, partly=partly), tell=tell,
    )  # fmt: skip


def _is_local(backend: str) -> bool:
    from kappamask.openeo_process.login import is_local

    return is_local(backend)


def _check(part: "Part", path: Path, asset: "Asset", partly: bool = False) -> None:
    """Rasters must be masks of the part's grid and area; what else a back-end sends is kept as it is."""
    from kappamask.openeo_process.results import is_geotiff, names_geotiff
    from kappamask.scenes.verify import OWN_CODES, verify_cover, verify_mask

    graph, name = json.loads(part.graph), asked_of(part).get("scheme", OWN)
    area: dict[str, Any] = next((one["extent"] for one in arguments_of(graph, "filter_bbox")), {})
    if not (names_geotiff(asset.name) or is_geotiff(path)):
        return
    found = verify_mask(path, crs=area.get("crs"), codes=OWN_CODES if is_own(name) else scheme_of(name).readings)
    if area:
        asked = (area["west"], area["south"], area["east"], area["north"])
        verify_cover(asset.name, found["bounds"], asked, asset.bounds, partly=partly)


def rows(parts: Iterable["Part"]) -> list[dict[str, Any]]:
    """Parts for programs."""
    return [row(part) for part in parts]


def row(part: "Part") -> dict[str, Any]:
    """One part for programs."""
    return {
        "batch": part.batch, "part": part.name, "state": part.state.value, "job": part.job, "backend": part.backend,
        "folder": part.folder, "costs": part.costs, "message": part.message, "fingerprint": part.fingerprint,
    }  # fmt: skip
