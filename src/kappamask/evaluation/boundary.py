"""Find edges of classes, leave out pixels near them, and score edges."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.metrics import CLASSES, IGNORED
from kappamask.udf.morphology import dilate_disc

__all__ = ["BANDS", "NEAR", "compute_boundary_f1", "count_edge_pixels", "find_edges", "remove_edge_band"]

Codes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
BANDS = (1, 2, 5)
"""Pixels on either side of an edge that are left out, as in ALCD and CMIX (Baetens et al. 2019, Skakun et al. 2022)."""
NEAR = 2
"""Pixels that an edge may be off and still be found, centre to centre."""


def find_edges(codes: Codes) -> Bools:
    """Find pixels (y, x) with one of the four neighbours in another class.

    Pixels in `IGNORED` make no edge.
    """
    judged, out = ~np.isin(codes, IGNORED), np.zeros(codes.shape, np.bool_)
    for here, there in _pair_neighbours(codes.ndim):
        differ = (codes[here] != codes[there]) & judged[here] & judged[there]
        out[here] |= differ
        out[there] |= differ
    return out


def remove_edge_band(truth: Codes, width: int) -> Codes:
    """Set the truth to 0 in a band of `width` pixels around each edge."""
    near = dilate_disc(find_edges(truth), width - 1) if width else np.zeros(truth.shape, np.bool_)
    return np.where(near, 0, truth).astype(np.uint8)


def count_edge_pixels(truth: Codes, mask: Codes, near: float = NEAR) -> NDArray[np.int64]:
    """Count the edge pixels of mask and truth, (class, 4).

    Of the mask those near the truth's edge and all; of the truth those near the mask's, and all.

    Pixels that the truth does not judge are left out of both. Counts of scenes may be summed.
    """
    judged = np.where(np.isin(truth, IGNORED), 0, mask).astype(np.uint8)
    theirs, ours = find_edges(truth), find_edges(judged)
    pairs = [(theirs & (truth == code), ours & (judged == code)) for code in CLASSES.values()]
    return np.array([_count_classes(*pair, near) for pair in pairs], np.int64)


def compute_boundary_f1(counts: NDArray[np.int64]) -> dict[str, float | None]:
    """Return the F1 of each class's edge, and `all`, their mean; None for no edge.

    counts: from `count_edge_pixels`; see Csurka et al. 2013.
    """
    found = dict(zip(CLASSES, map(_compute_f1, counts.tolist()), strict=True))
    defined = [value for value in found.values() if value is not None]
    return found | {"all": sum(defined) / len(defined) if defined else None}


def _count_classes(theirs: Bools, ours: Bools, near: float) -> tuple[int, int, int, int]:
    hit, met = ours & dilate_disc(theirs, near), theirs & dilate_disc(ours, near)
    return int(hit.sum()), int(ours.sum()), int(met.sum()), int(theirs.sum())


def _compute_f1(counts: Sequence[int]) -> float | None:
    hit, said, met, true = counts
    if not (said or true):
        return None
    precision, recall = hit / max(said, 1), met / max(true, 1)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _pair_neighbours(dims: int) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Yield, for each axis, the pixels but the last, and those but the first."""
    every = [slice(None)] * dims
    return [
        ((*every[:axis], slice(None, -1), *every[axis + 1 :]), (*every[:axis], slice(1, None), *every[axis + 1 :]))
        for axis in range(dims)
    ]


# Earlier names, which the documentation showed.
without_band = remove_edge_band


boundary_f1 = compute_boundary_f1  # earlier name, which the documentation showed
