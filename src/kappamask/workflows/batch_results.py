"""Verify the results of a batch and mosaic them into masks."""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappamask.models import JobError, ModelCard, load_card
from kappamask.models.schemes import KAPPAMASK, find_scheme, is_kappamask
from kappamask.openeo_process.jobs.journal import Journal, Part

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.download import Asset
    from kappamask.openeo_process.jobs.driver import Driver

__all__ = [
    "arguments_of",
    "asked_of",
    "assemble",
    "attributes_of",
    "check_holes",
    "driver_of",
    "holes",
    "journal_at",
    "row",
    "rows",
    "whole_or_fetched_again",
]

MOST_HOLES = 0.01
"""Share of a file's pixels that may lack data inside the swath before it is an error."""
MASK, SCORE = "mask", "score_"
"""A job's bands, as `ModelCard.result_bands` names them."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
HOME = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "kappamask" / "jobs.sqlite"


def assemble(parts: "Iterable[Part]") -> list[Path]:
    """For each date and UTM zone the mask of all fetched parts, with scores where asked for, and the collection.

    Back-ends name files by date; parts of one zone lie on one grid and are put together pixel for pixel. Returns the
    files but for the STAC items, which lie beside the masks.
    """
    parts = list(parts)
    by_target, made_by = _targets(parts)
    made = {target: _assembled(files, target, made_by[target]) for target, files in sorted(by_target.items())}
    return [*chain.from_iterable(made.values()), *_catalogue([*made], parts)]


def _assembled(files: list[Path], target: Path, part: "Part") -> list[Path]:
    """Write the mask at `target`, and beside it the scores, which follow the mask in the files of jobs."""
    from kappamask.scenes import write_mask
    from kappamask.scenes.mosaic import mosaic, mosaic_of_scores

    date = _DATE.search(target.name)
    assert date
    said = _attributes(part) | {"datetime": f"{date[0]}T00:00:00Z"}
    classes = _scored(part)
    scores = mosaic_of_scores(files, classes).assign_attrs(said) if classes else None
    return write_mask(mosaic(files, band=1).assign_attrs(said), target, scores=scores)


def _scored(part: "Part") -> list[str]:
    """The classes whose scores the part's files hold, in the order of their bands."""
    _mask, *bands = next((one["target"] for one in arguments_of(json.loads(part.graph), "rename_labels")), [MASK])
    return [band.removeprefix(SCORE) for band in bands]


def holes(parts: "Iterable[Part]") -> dict[str, float]:
    """Share of pixels of each fetched file that lack data though the satellite saw them, where it is above nothing."""
    from kappamask.scenes.verify import missing_within_swath

    found = {str(path): round(missing_within_swath(path), 6) for part in parts for path, _ in _masks(part)}
    return {path: share for path, share in found.items() if share}


def check_holes(found: Mapping[str, float]) -> None:
    """Raises JobError if a file has more than `MOST_HOLES`."""
    bad = {path: share for path, share in found.items() if share > MOST_HOLES}
    if bad:
        path, share = max(bad.items(), key=lambda one: one[1])
        raise JobError(
            f"{share:.1%} of {path} have no data though the satellite saw them: the back-end may have failed to read "
            "images; submit again later, or take it as it is with --allow-holes."
        )


def _targets(parts: "Iterable[Part]") -> "tuple[dict[Path, list[Path]], dict[Path, Part]]":
    by_target: dict[Path, list[Path]] = defaultdict(list)
    made_by: dict[Path, Part] = {}
    for part in parts:
        for path, date in _masks(part):
            target = path.parents[1] / f"mask_{date}_{part.name.split('_')[0]}.tif"
            by_target[target].append(path)
            made_by[target] = part
    return by_target, made_by


def _masks(part: "Part") -> Iterator[tuple[Path, str]]:
    """The masks that a part has fetched, and their dates; the canary's only prove that it works."""
    from kappamask.openeo_process.jobs.download import fetched
    from kappamask.openeo_process.jobs.request import CANARY
    from kappamask.openeo_process.results import find_masks

    if part.name != CANARY and part.job is not None:
        yield from find_masks(fetched(Path(part.folder), part.job))


def _catalogue(masks: list[Path], parts: "list[Part]") -> list[Path]:
    from kappamask.openeo_process.jobs.journal import unsigned
    from kappamask.reports.stac import write_collection

    if not masks:
        return []
    part = parts[0]
    code = next(arguments_of(json.loads(part.graph), "run_udf"))["udf"]
    known = [one.costs for one in parts if one.costs is not None]
    about = {
        "backend": part.backend,
        "batch": part.batch,
        "job_options": json.loads(unsigned(part.options)),
        "udf_sha256": hashlib.sha256(code.encode()).hexdigest(),
        "context": asked_of(part),
        "jobs": [{"part": one.name, "job": one.job, "costs": one.costs} for one in parts],
        "costs": sum(known) if known else None,
    }
    return [write_collection(masks, masks[0].with_name("collection.json"), title="KappaMask", about=about)]


def attributes_of(card: ModelCard, scheme: str = KAPPAMASK) -> str:
    """JSON of what masks of this network in this class scheme say of both; to be kept with their parts."""
    from kappamask.udf.schemes import flag_attributes, scheme_attributes

    classes = flag_attributes(card) if is_kappamask(scheme) else scheme_attributes(find_scheme(scheme))
    made_by = {"model_id": card.id, "model_sha256": card.sha256}
    return json.dumps({**classes, **made_by}, default=lambda values: values.tolist())


def _attributes(part: "Part") -> dict[str, Any]:
    """What the mask says of itself: classes, network, and where it was made."""
    said = asked_of(part)
    kept = part.attributes or attributes_of(load_card(said.get("model", "compact")), said.get("scheme", KAPPAMASK))
    known = {key: said[key] for key in ("level", "radiometry") if key in said}
    return {**json.loads(kept), "backend": part.backend, "job": part.job, **known}


def asked_of(part: "Part") -> dict[str, Any]:
    """The context of the part's UDF; empty for a graph without one."""
    return next((one["context"] for one in arguments_of(json.loads(part.graph), "run_udf")), {})


def arguments_of(graph: dict[str, Any], process: str) -> Iterator[dict[str, Any]]:
    """The arguments of each node of this process, in callbacks too."""
    for node in graph.values():
        if node["process_id"] == process:
            yield node["arguments"]
        for argument in node["arguments"].values():
            if isinstance(argument, dict) and "process_graph" in argument:
                yield from arguments_of(argument["process_graph"], process)


def journal_at(path: Path, *, new: bool = False) -> "Journal":
    """The journal at `path`. Raises JobError if there is none, unless a `new` one may be made."""
    from kappamask.openeo_process.jobs.journal import Journal

    if not new and not path.is_file():
        raise JobError(f"There is no journal {path}: nothing was submitted yet, or say which with --journal.")
    return Journal(path)


def driver_of(journal: "Journal", backend: str, at_once: int, tell: Any, partly: bool = False) -> "Driver":
    """What takes parts of this back-end to their end. partly: masks that do not cover their part are taken as well."""
    from kappamask.openeo_process.connection import connect
    from kappamask.openeo_process.jobs.driver import Driver
    from kappamask.openeo_process.jobs.retry import Patience

    patience = Patience(poll_s=1.0) if _is_local(backend) else Patience()
    return Driver(
        journal, lambda: connect(backend, patience), at_once=at_once, patience=patience,
        check=partial(_check, partly=partly), tell=tell,
    )  # fmt: skip


def _is_local(backend: str) -> bool:
    from kappamask.openeo_process.connection import is_local

    return is_local(backend)


def _check(part: "Part", path: Path, asset: "Asset", partly: bool = False) -> None:
    """Rasters must be masks of the part's grid and area; what else a back-end sends is kept as it is."""
    from kappamask.openeo_process.results import is_geotiff, names_geotiff
    from kappamask.scenes.verify import OWN_CODES, verify_cover, verify_mask

    graph, name = json.loads(part.graph), asked_of(part).get("scheme", KAPPAMASK)
    area: dict[str, Any] = next((one["extent"] for one in arguments_of(graph, "filter_bbox")), {})
    if not (names_geotiff(asset.name) or is_geotiff(path)):
        return
    found = verify_mask(
        path, crs=area.get("crs"), codes=OWN_CODES if is_kappamask(name) else find_scheme(name).classes_by_code
    )
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


def whole_or_fetched_again(book: "Journal", part: "Part") -> "Part":
    """The part; one of whose files any is gone or changed, or none is a mask by name, is to be fetched again.

    Earlier versions named files after the assets' keys, which have no suffix in results of STAC 1.1.
    """
    from kappamask.openeo_process.jobs.download import list_whole_files
    from kappamask.openeo_process.jobs.journal import State
    from kappamask.openeo_process.results import find_masks

    useless = part.state is State.FETCHED and not find_masks(list_whole_files(Path(part.folder), str(part.job)))
    return book.change(part, state=State.FINISHED) if useless else part
