"""One mask judged as `kappamask compare` judges many: a file against the truth, a network on a labelled image."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from kappamask.datasets import DATASETS, Patch
from kappamask.datasets.arrays import read
from kappamask.evaluation.files import read_pair
from kappamask.evaluation.judge import OWN_FILES, Judged, judged
from kappamask.evaluation.metrics import CLASSES, IGNORED
from kappamask.evaluation.peers import Answer, Peer, open_peer
from kappamask.evaluation.tables import LABELS

__all__ = ["judge_files", "judge_labelled"]

ALL = frozenset(CLASSES.values())


def judge_files(truth: str | Path, mask: str | Path, *, merge_thin: bool = False) -> Judged:
    """The mask file against the truth file, KappaMask codes on one grid; what made it is not known, nor what it cost.

    Raises SceneError if a file is no mask, the grids differ, or the truth labels no pixel.
    """
    true, found = (np.asarray(one.values) for one in read_pair(truth, mask))
    codes = np.where(np.isin(true, IGNORED), 0, true).astype(np.uint8)
    place, made = Path(truth).stem, Path(mask).stem
    nothing = np.empty((0, *codes.shape), np.float32)
    patch = Patch(place, place, "all", "", None, (), nothing, codes, merged=merge_thin)
    peer = Peer(made, f"Mask file {Path(mask).name}", ALL, lambda _: Answer(found), timed=False)
    return judged([patch], [peer], _facts(f"{made} against {place}", codes))


def judge_labelled(
    path: str | Path, *, model: str = "compact", level: str | None = None, merge_thin: bool | None = None
) -> Judged:
    """`model` on the labelled image, a `.npz` of `dn` (y, x, band), `bands` (names) and `gt_kappa` (y, x).

    level: left out, as the file's name says, else L1C. merge_thin: None merges where no thin cloud is told.
    Raises SceneError for the file, what `open_peer` raises, and SceneError where the network cannot mask it.
    """
    patch = read(Path(path))
    peer = open_peer(model, Path(path).parent)
    facts = _facts(f"{peer.name} on {patch.name}", patch.truth)
    return judged([replace(patch, level=level or patch.level)], [peer], facts, merge_thin=merge_thin)


def _facts(dataset: str, codes: np.ndarray) -> dict[str, str]:
    """As a data set has them; of one's own files only the labels tell what they can judge."""
    own = DATASETS[OWN_FILES]
    there = [LABELS[name].lower() for name, code in CLASSES.items() if (codes == code).any()]
    told = {"title": "One mask against one truth", "source": own.source, "licence": own.licence}
    return {"dataset": dataset, **told, "judges": ", ".join(there), "split": "all"}
