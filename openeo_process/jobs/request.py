"""Make a job for each cell of an area, plus a test job."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil
from pathlib import Path
from typing import Any

import openeo

from kappamask.models import ModelCard, compute_card_digest
from kappamask.models.cleaning import PIXEL_M, read_cleaning
from kappamask.models.package import compute_package_hash, list_package_files
from kappamask.models.schemes import KAPPAMASK
from kappamask.openeo_process.chunks import resolve_overlap
from kappamask.openeo_process.graph import cloud_mask, load
from kappamask.openeo_process.job import job_options
from kappamask.openeo_process.job_options import Load
from kappamask.openeo_process.jobs.cells import Cell
from kappamask.openeo_process.jobs.journal import JobRecord, compute_fingerprint, redact_urls
from kappamask.openeo_process.jobs.record import TEST_JOB

__all__ = ["TEST_JOB", "Request", "compute_batch_id", "count_chunks", "crop_to_chunk", "make_record", "name_cells"]

APART = ("archive", "backend", "card", "options")
"""Request fields that are excluded from the batch id, or normalised first."""


@dataclass(frozen=True)
class Request:
    """What is asked of a back-end, the same for all parts."""

    backend: str
    collection: str
    dates: tuple[str, str]
    card: ModelCard
    python: str
    level: str | None = None
    scores: bool = False
    bands: tuple[str, ...] = ()
    """To load; those that the network knows."""
    archive: str | None = None
    """URL of the dependency archive, as the back-end sees it; None where its workers have the package."""
    max_cloud_cover: float | None = None
    only: tuple[str, ...] = ()
    """Days that are wanted; all if empty."""
    scheme: str = KAPPAMASK
    """Class scheme of the masks."""
    cleaning: tuple[tuple[str, Any], ...] = ()
    """Options of `kappamask.udf.clean`."""
    options: tuple[tuple[str, Any], ...] = ()
    """Job options that replace those of `job_options`."""

    @property
    def job_options(self) -> dict[str, Any]:
        """Every option of the jobs."""
        return job_options(self.archive, self.load, **dict(self.options))

    @property
    def public_job_options(self) -> dict[str, Any]:
        """The same without signatures of links."""
        return dict(json.loads(redact_urls(json.dumps(self.job_options))))

    @property
    def load(self) -> Load:
        """What a worker is handed at a time: a chunk of one date."""
        return Load(self.card, len(self.bands), len(self.card.result_bands(self.scores)))

    @property
    def overlap(self) -> int:
        """Pixels that chunks have of their neighbours."""
        return resolve_overlap(self.card, None, read_cleaning(dict(self.cleaning)))

    @property
    def package(self) -> str | None:
        """Hash that the archive must have; None without an archive."""
        return compute_package_hash(list_package_files(self.card)) if self.archive else None

    def graph(self, connection: openeo.Connection, cell: Cell, proves: bool = False) -> dict[str, Any]:
        """Build the flat process graph that masks `cell`.

        proves: the UDF fails unless the archive is that of this package.
        """
        cleaning: dict[str, Any] = dict(self.cleaning)
        cube = load(
            connection, self.collection, area=cell.extent, dates=self.dates, bands=list(self.bands), model=self.card,
            max_cloud_cover=self.max_cloud_cover, only=self.only, **cleaning,
        )  # fmt: skip
        mask = cloud_mask(
            cube, model=self.card, level=self.level, scores=self.scores, scheme=self.scheme,
            clip_to=cell.extent, python=self.python, package=self.package if proves else None, **cleaning,
        )  # fmt: skip
        return dict(mask.save_result(format="GTiff").flat_graph())


def make_record(
    request: Request, connection: openeo.Connection, cell: Cell, folder: Path, batch: str, *, proves: bool = False
) -> JobRecord:
    """Make the record of the job that masks `cell`.

    Its files go to `folder`, which has the job's name. proves: the job fails unless the archive is the right one.
    """
    graph = request.graph(connection, cell, proves)
    key = compute_fingerprint(request.backend, graph, request.job_options)
    options = json.dumps(request.job_options)
    chunks = count_chunks(cell, request)
    return JobRecord(key, batch, folder.name, request.backend, json.dumps(graph), options, str(folder), chunks=chunks)


def compute_batch_id(cells: Sequence[Cell], request: Request) -> str:
    """Hash cells and request to 8 hex digits.

    The same request is the same batch, in any process, on any day.

    Of the network all that its card says counts, wherever it lies; the archive does not.
    """
    facts = {one.name: getattr(request, one.name) for one in fields(request) if one.name not in APART}
    asked = {"cells": [cell.name for cell in cells], "network": compute_card_digest(request.card), "request": facts}
    return compute_fingerprint(request.backend, asked, dict(request.options))[:8]


def name_cells(cells: Sequence[Cell], request: Request, proven: bool) -> list[tuple[Cell, str]]:
    """Name the cells of all jobs, with `proven` a test job first.

    It is left out where the first cell is no larger than one chunk.
    """
    named = [(cell, cell.name) for cell in cells]
    small = crop_to_chunk(cells[0], request)
    return [(small, TEST_JOB), *named] if proven and small != cells[0] else named


def crop_to_chunk(cell: Cell, request: Request) -> Cell:
    """Return the middle of `cell`, one chunk large with its margin."""
    side = (request.card.window - 2 * request.overlap) * PIXEL_M // 2 // 60 * 60
    west = cell.west + max(0, (cell.east - cell.west - side) // 2) // 60 * 60
    south = cell.south + max(0, (cell.north - cell.south - side) // 2) // 60 * 60
    return Cell(cell.epsg, west, south, min(west + side, cell.east), min(south + side, cell.north))


def count_chunks(cell: Cell, request: Request) -> int:
    """Count the chunks of one date of `cell` and its margin."""
    payload = request.card.window - 2 * request.overlap
    margin = 2 * ceil(request.overlap * PIXEL_M / 60) * 60 // PIXEL_M
    across, down = (ceil((side + margin) / payload) for side in cell.pixels())
    return across * down
