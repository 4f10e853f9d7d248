"""Write the page that compares masks with labelled data: scores, confusion, cost, worst scenes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.datasets import DATASETS, Patch
from kappamask.evaluation.comparison import OWN_FILES, DatasetResult
from kappamask.evaluation.counts import SIDE as SQUARE
from kappamask.evaluation.strata import STRATA
from kappamask.evaluation.tables import LABELS, make_tables, set_name
from kappamask.evaluation.tools import Peer
from kappamask.models import KappaMaskError, load_card
from kappamask.reports.class_shares import format_class_name
from kappamask.reports.render import Picture, encode_png, write_html
from kappamask.scenes.writers.quicklook import RGB, colour_codes, make_true_colour, subsample

__all__ = ["write_comparison"]

SIDE = 360
"""Pixels of the longer side of a scene's pictures: as wide as they are shown at most."""

QUICKEST = 1e-4
"""Seconds per megapixel below which all are plotted as one: so much a clock tells apart on a small scene."""


NEAR = 10
"""Percent of the plot's height within which names of neighbours may collide."""


@dataclass(frozen=True)
class Point:
    """A peer in the plot of accuracy against cost; x and y in percent.

    They count from the left and from the top.
    """

    name: str
    x: float
    y: float
    right: bool
    """Whether its name stands to the right."""
    raised: bool = False
    """Whether its name stands higher, because a neighbour's name is next to it."""


@dataclass(frozen=True)
class Scene:
    """A scene where the first peer is worst, and its pictures."""

    name: str
    dice: Mapping[str, float | None]
    pictures: tuple[Picture, ...]


def write_comparison(
    target: str | Path,
    judged: Sequence[DatasetResult],
    *,
    title: str = "Cloud masks compared",
    eyebrow: str = "kappamask compare",
) -> Path:
    """Write a self-contained HTML page about comparisons of `kappamask.evaluation`, and return its path.

    eyebrow: what stands above the title.
    The worst scenes are read and masked once more for their pictures. Raises SceneError if the page cannot be written
    or a scene can no longer be read.
    """
    sets = [
        {
            "found": one.found,
            "name": set_name(one.found),
            "tables": make_tables(one.found),
            "confusion": [_confusion_percent(peer["confusion"]) for peer in one.found["peers"]],
            "points": [*_iter_points(one.found)],
            "ticks": [*_iter_ticks(_peers_made_here(one.found))],
            "scenes": [*_iter_scenes(one)],
        }
        for one in judged
    ]
    legend = load_card("compact").classes
    return write_html(
        target, "comparison.html", title=title, sets=sets, labels=LABELS, strata=STRATA, legend=legend,
        words=format_class_name,
        own=DATASETS[OWN_FILES].licence, square=SQUARE, eyebrow=eyebrow,
    )  # fmt: skip


def _confusion_percent(counts: list[list[int]]) -> NDArray[np.float64]:
    """Compute percent of each row's pixels, NaN in a row without pixels."""
    array = np.asarray(counts, np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(100 * array / array.sum(axis=1, keepdims=True))


def _find_decades(peers: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    costs = [_log_cost(peer) for peer in peers] or [log10(QUICKEST)]
    return floor(min(costs)), max(ceil(max(costs)), floor(min(costs)) + 1)


def _peers_made_here(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List the masks that were made here, not read from a file."""
    return [peer for peer in found["peers"] if peer["seconds_per_megapixel"] is not None]


def _log_cost(peer: Mapping[str, Any]) -> float:
    """Compute the decimal logarithm of the seconds per megapixel."""
    return log10(max(peer["seconds_per_megapixel"], QUICKEST))


def _iter_points(found: Mapping[str, Any]) -> Iterator[Point]:
    """Mean dice against seconds per megapixel, the latter in decades; from the quickest on."""
    first, last = _find_decades(_peers_made_here(found))
    before: Point | None = None
    for peer in sorted(_peers_made_here(found), key=_log_cost):
        dice = peer["views"][found["view"]]["dice"]["all"]
        x, y = 100 * (_log_cost(peer) - first) / (last - first), 100 * (1 - (dice or 0))
        crowded = before is not None and abs(before.y - y) < NEAR and not before.raised
        before = Point(peer["name"], x, y, right=x < 60, raised=crowded)
        yield before


def _iter_ticks(peers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, str]]:
    first, last = _find_decades(peers)
    for power in range(first, last + 1):
        yield 100 * (power - first) / (last - first), f"{10.0**power:g}"


def _iter_scenes(judged: DatasetResult) -> Iterator[Scene]:
    for one, patch in judged.worst_scenes():
        yield Scene(
            one["scene"], one["dice"], (*_patch_pictures(patch), *(_peer_picture(peer, patch) for peer in judged.peers))
        )


def _patch_pictures(patch: Patch) -> Iterator[Picture]:
    if set(RGB) <= {*patch.bands}:
        cube = xr.DataArray(patch.stack(RGB), dims=("bands", "y", "x"), coords={"bands": list(RGB)})
        yield encode_png(
            make_true_colour(subsample(cube, SIDE)), f"{patch.name} in natural colours.", "Natural colours"
        )
    yield _draw_classes(patch.truth, f"Truth of {patch.name}.", "Truth")


def _peer_picture(peer: Peer, patch: Patch) -> Picture:
    try:
        return _draw_classes(peer.run(patch).mask, f"Mask of {patch.name} by {peer.name}.", peer.name)
    except KappaMaskError:
        return _draw_classes(
            np.zeros_like(patch.truth), f"{peer.name} could not mask {patch.name}.", f"{peer.name}: no mask"
        )


def _draw_classes(codes: NDArray[np.uint8], alt: str, caption: str) -> Picture:
    small = subsample(xr.DataArray(codes, dims=("y", "x")), SIDE)
    return encode_png(colour_codes(small.values, load_card("compact").classes), alt, caption)
