"""Score one mask file against another, or a network on a labelled image."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from kappamask.datasets import DATASETS, Patch
from kappamask.datasets.arrays import read
from kappamask.evaluation.class_groups import MERGED, VIEWS
from kappamask.evaluation.comparison import OWN_FILES, DatasetResult, judge_patches
from kappamask.evaluation.metrics import CLASSES, IGNORED, PairScores, Scores, compute_rates, count_confusion
from kappamask.evaluation.peers import open_peer
from kappamask.evaluation.tables import LABELS
from kappamask.evaluation.tools import Answer, Peer, list_classes
from kappamask.models import CubeError, SceneError, parse_level
from kappamask.models.card import NODATA_CODE
from kappamask.models.schemes import KAPPAMASK
from kappamask.scenes import read_mask
from kappamask.udf.schemes import CLEAR, SEMI_TRANSPARENT, SHADOW, to_kappamask

__all__ = [
    "add_assumptions",
    "evaluate_files",
    "evaluate_pair",
    "judge_files",
    "judge_labelled",
    "merges_thin",
    "read_pair",
    "score_pair",
]

BINARY = {0, 1}
"""Codes of a mask that only says where cloud is, or where none is."""


def evaluate_files(truth: str | Path, mask: str | Path, *, merge_thin: bool | None = None) -> Scores:
    """Score the mask file against the truth file, GeoTIFF or netCDF on one grid.

    Codes are KappaMask's, or of the scheme that a file says it is in. A class that the mask's scheme does not have is
    not scored, as in `kappamask compare`. merge_thin: whether thin cloud counts as cloud; None: where the truth holds
    none, as for data sets. Raises SceneError if a file is no mask or the grids differ, CubeError if the truth labels no
    pixel.
    """
    return score_pair(truth, mask, merge_thin=merge_thin).scores


def evaluate_pair(truth: str | Path, mask: str | Path, *, merge_thin: bool | None = None) -> tuple[Scores, bool]:
    """Give the scores of `evaluate_files`, and whether thin cloud counts as cloud in them."""
    found = score_pair(truth, mask, merge_thin=merge_thin)
    return found.scores, found.merges_thin


def score_pair(truth: str | Path, mask: str | Path, *, merge_thin: bool | None = None) -> PairScores:
    """Score as `evaluate_files` does, and say what the scores are about."""
    pair = _read_pair(truth, mask)
    true, found = (np.asarray(one.codes.values) for one in pair)
    thin = merges_thin(true) if merge_thin is None else merge_thin
    shadow = SHADOW not in pair[0].classes
    if shadow:
        found = np.where(found == SHADOW, CLEAR, found)
    judged = VIEWS[MERGED if thin else "classes"].scored_groups(pair[1].classes)
    lacking = tuple(name for name, code in CLASSES.items() if code not in pair[1].classes)
    scores = compute_rates(count_confusion(true, found, merge_thin=thin), judged=judged)
    return add_assumptions(PairScores(scores, thin, shadow, lacking), truth, mask)


def add_assumptions(found: PairScores, truth: str | Path, mask: str | Path) -> PairScores:
    """Add what the files leave unsaid: their scheme, and where one of them lies."""
    masks = [("truth", read_mask(truth)), ("mask", read_mask(mask))]
    unplaced = tuple(name for name, one in masks if not one.rio.crs)
    return replace(
        found,
        unnamed=tuple(name for name, one in masks if not _names_scheme(one)),
        unplaced=unplaced if len(unplaced) < len(masks) else (),
    )


def _names_scheme(mask: xr.DataArray) -> bool:
    """Tell whether a mask says what its codes are."""
    return bool({"scheme", "flag_meanings"} & {*mask.attrs})


def merges_thin(truth: ArrayLike) -> bool:
    """Return whether thin cloud must count as cloud, because the truth holds none."""
    return not bool((np.asarray(truth) == SEMI_TRANSPARENT).any())


def read_pair(truth: str | Path, mask: str | Path) -> tuple[xr.DataArray, xr.DataArray]:
    """Read both files as KappaMask codes (y, x).

    Raises SceneError if a file is no mask or the grids differ.
    """
    true, found = _read_pair(truth, mask)
    return true.codes, found.codes


@dataclass(frozen=True)
class _MaskFile:
    """KappaMask codes (y, x) of a file, and the classes that its scheme tells apart."""

    codes: xr.DataArray
    classes: frozenset[int]
    is_named: bool
    """Whether the file says what its codes are."""


def _read_pair(truth: str | Path, mask: str | Path) -> tuple[_MaskFile, _MaskFile]:
    true, found = (_read_codes(one) for one in (truth, mask))
    _check_same_grid(true.codes, found.codes)
    if not found.is_named:
        _refuse_yes_and_no(Path(mask).name, true.codes, found.codes)
    return true, found


def _refuse_yes_and_no(name: str, true: xr.DataArray, found: xr.DataArray) -> None:
    """Raise SceneError for a mask that only says where cloud is."""
    if {*np.unique(found.values).tolist()} - {NODATA_CODE} == BINARY and bool((true > CLEAR).any()):
        raise SceneError(
            f"{name} names no scheme and holds only 0 and 1, which in KappaMask's are undefined and clear, but the "
            f"truth has other classes. Say what they are: gdal_edit.py -mo scheme=S2cloudless {name} if 1 is cloud and "
            f"0 is none, -mo scheme=KappaMask if 1 is clear."
        )


def _read_codes(path: str | Path) -> _MaskFile:
    mask = read_mask(path).compute()
    classes = list_classes(str(mask.attrs.get("scheme", KAPPAMASK)))
    try:
        codes = to_kappamask(mask)
    except CubeError as error:
        raise SceneError(f"{Path(path).name}: {error}") from None
    return _MaskFile(codes, classes, _names_scheme(mask))


def _check_same_grid(true: xr.DataArray, found: xr.DataArray) -> None:
    if true.shape != found.shape:
        raise SceneError(
            f"The truth has {true.shape} pixels (y, x), the mask {found.shape}; warp one to the other's grid."
        )
    if not (true.rio.crs and found.rio.crs):
        return
    places = [(str(one.rio.crs), tuple(round(edge, 3) for edge in one.rio.bounds())) for one in (true, found)]
    if places[0] != places[1]:
        raise SceneError(f"The truth covers {places[0]}, the mask {places[1]}; warp one to the other's grid.")


def judge_files(truth: str | Path, mask: str | Path, *, merge_thin: bool | None = None) -> DatasetResult:
    """Score the mask file against the truth file, KappaMask codes on one grid.

    What made it is not known, nor what it cost.

    merge_thin: None merges where the truth holds no thin cloud.
    Raises SceneError if a file is no mask, the grids differ, or the truth labels no pixel.
    """
    pair = _read_pair(truth, mask)
    true, found = (np.asarray(one.codes.values) for one in pair)
    codes = np.where(np.isin(true, IGNORED), 0, true).astype(np.uint8)
    place, made = Path(truth).stem, Path(mask).stem
    nothing = np.empty((0, *codes.shape), np.float32)
    merged = merges_thin(codes) if merge_thin is None else merge_thin
    patch = Patch(
        place, place, "all", "", None, (), nothing, codes, merges_thin=merged, tells_shadow=SHADOW in pair[0].classes
    )  # fmt: skip
    peer = Peer(made, f"Mask file {Path(mask).name}", pair[1].classes, lambda _: Answer(found), timed=False)
    return judge_patches([patch], [peer], _collect_facts(f"{made} against {place}", codes))


def judge_labelled(
    path: str | Path, *, model: str = "compact", level: str | None = None, merge_thin: bool | None = None
) -> DatasetResult:
    """Score `model` on a labelled image.

    A `.npz` of `dn` (y, x, band), `bands` (names) and `gt_kappa` (y, x).

    level: left out, as the file's name says, else L1C. merge_thin: None merges where the truth has no thin cloud.
    Raises SceneError for the file, what `open_peer` raises, and SceneError where the network cannot mask it.
    """
    patch = read(Path(path))
    peer = open_peer(model, Path(path).parent)
    facts = _collect_facts(f"{peer.name} on {patch.name}", patch.truth)
    return judge_patches(
        [replace(patch, level=parse_level(level) or patch.level)], [peer], facts, merge_thin=merge_thin
    )


def _collect_facts(dataset: str, codes: np.ndarray) -> dict[str, str]:
    """Describe a file as a data set; only its labels say what they can judge."""
    own = DATASETS[OWN_FILES]
    there = [LABELS[name].lower() for name, code in CLASSES.items() if (codes == code).any()]
    facts = {"title": "One mask against one truth", "source": own.source, "licence": own.licence}
    return {"dataset": dataset, **facts, "judges": ", ".join(there), "split": "all"}
