"""What `submit`, `jobs`, `resume`, `fetch` and `cancel` share: the journal, the driver, and the masks made of parts."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.models import JobError, load_card

if TYPE_CHECKING:
    from kappamask.openeo_process.drive import Driver
    from kappamask.openeo_process.journal import Journal, Part

__all__ = ["AtOnce", "JournalFile", "assemble", "driver_of", "journal_at", "row", "rows"]

HOME = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "kappamask" / "jobs.sqlite"
JournalFile = Annotated[Path, typer.Option("--journal", help="File in which jobs are written down.")]
AtOnce = Annotated[int, typer.Option(min=1, help="Jobs that may run at the same time.")]
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def journal_at(path: Path, *, new: bool = False) -> "Journal":
    """The journal at `path`. Raises JobError if there is none, unless a `new` one may be made."""
    from kappamask.openeo_process.journal import Journal

    if not new and not path.is_file():
        raise JobError(f"There is no journal {path}: nothing was submitted yet, or say which with --journal.")
    return Journal(path)


def driver_of(journal: "Journal", backend: str, at_once: int, tell: Any) -> "Driver":
    """What takes parts of this back-end to their end."""
    from kappamask.openeo_process.drive import Driver
    from kappamask.openeo_process.login import connect
    from kappamask.openeo_process.patience import Patience

    patience = Patience(poll_s=1.0) if _is_local(backend) else Patience()
    return Driver(
        journal, lambda: connect(backend, patience), at_once=at_once, patience=patience, check=_check, tell=tell
    )


def _is_local(backend: str) -> bool:
    from kappamask.openeo_process.login import is_local

    return is_local(backend)


def _check(part: "Part", path: Path) -> None:
    """Rasters must be masks of the part's grid; what else a back-end sends is kept as it is."""
    from kappamask.scenes.verify import verify_mask

    if ".tif" in path.suffixes:
        verify_mask(path, crs=_box(part).get("crs"))


def _box(part: "Part") -> dict[str, Any]:
    """The area that the part's graph keeps."""
    return next((one["extent"] for one in _arguments(json.loads(part.graph), "filter_bbox")), {})


def _arguments(graph: dict[str, Any], process: str) -> Iterator[dict[str, Any]]:
    """The arguments of each node of this process, in callbacks too."""
    for node in graph.values():
        if node["process_id"] == process:
            yield node["arguments"]
        for argument in node["arguments"].values():
            if isinstance(argument, dict) and "process_graph" in argument:
                yield from _arguments(argument["process_graph"], process)


def assemble(parts: Iterable["Part"]) -> list[Path]:
    """For each date and UTM zone the mask of all fetched parts, beside their folders; the files.

    Back-ends name files by date; parts of one zone lie on one grid and are put together pixel for pixel.
    """
    from kappamask.openeo_process.batch import CANARY
    from kappamask.openeo_process.download import fetched
    from kappamask.scenes import write_mask
    from kappamask.scenes.mosaic import mosaic

    found: dict[Path, list[Path]] = defaultdict(list)
    dressed: dict[Path, dict[str, Any]] = {}
    for part in parts:
        if part.name == CANARY or part.job is None:
            continue
        for path in fetched(Path(part.folder), part.job):
            date = _DATE.search(path.name)
            if path.suffix == ".tif" and date:
                target = path.parents[1] / f"mask_{date[0]}_{part.name.split('_')[0]}.tif"
                found[target].append(path)
                dressed[target] = _attributes(part)
    return [
        file for target in sorted(found)
        for file in write_mask(mosaic(found[target]).assign_attrs(dressed[target]), target)
    ]  # fmt: skip


def _attributes(part: "Part") -> dict[str, Any]:
    """What the mask says of itself: classes, network, and where it was made."""
    from kappamask.udf.classes import flag_attributes

    said: dict[str, Any] = next(
        (arguments["context"] for arguments in _arguments(json.loads(part.graph), "run_udf")), {}
    )
    card = load_card(said.get("model", "compact"))
    known: dict[str, Any] = {key: said[key] for key in ("level", "radiometry") if key in said}
    provenance = {"model_id": card.id, "model_sha256": card.sha256, "backend": part.backend, "job": part.job}
    return {**flag_attributes(card), **provenance, **known}


def rows(parts: Iterable["Part"]) -> list[dict[str, Any]]:
    """Parts for programs."""
    return [row(part) for part in parts]


def row(part: "Part") -> dict[str, Any]:
    """One part for programs."""
    return {
        "batch": part.batch, "part": part.name, "state": part.state.value, "job": part.job, "backend": part.backend,
        "folder": part.folder, "costs": part.costs, "message": part.message, "fingerprint": part.fingerprint,
    }  # fmt: skip
