"""Compare peers over data sets by name, as `kappamask compare` does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kappamask.datasets import DATASETS, Patch, Patches, open_dataset, parse_dataset
from kappamask.evaluation.class_groups import MERGED
from kappamask.evaluation.compare import compare
from kappamask.evaluation.metrics import CLASSES, PairScores, Scores
from kappamask.evaluation.peers import open_peer
from kappamask.evaluation.summary import summarise_comparison
from kappamask.evaluation.tools import Peer
from kappamask.models import MissingExtraError, SceneError, WeightsError

__all__ = ["OWN_FILES", "SPLITS", "DatasetResult", "judge", "judge_patches"]

OWN_FILES = "arrays"
"""Data set of the user's own scenes, which are not split."""
SPLITS = ("test", "validation", "train", "all")


@dataclass(frozen=True)
class DatasetResult:
    """The result of a comparison on a data set, with its scenes."""

    found: dict[str, Any]
    """Of `summarise_comparison`, with `dataset`, `title`, `source`, `licence`, `split`, `judges` (what labels tell)."""
    patches: Sequence[Patch]
    peers: tuple[Peer, ...]
    """Those that masked a patch, in the order of `found`."""
    places: dict[str, int]
    """Scene -> its place among `patches`."""

    @property
    def scores(self) -> Scores:
        """Scores of the first mask, by class.

        Where thin cloud counts as cloud, it is no class.
        """
        return dict(self.found["peers"][0]["views"]["classes"])

    @property
    def merges_thin(self) -> bool:
        """Whether thin cloud counts as cloud."""
        return bool(self.found["view"] == MERGED)

    def as_pair(self) -> PairScores:
        """Return the first mask's scores, and which classes they are about."""
        tells = self.found["peers"][0]["tells"]
        lacking = tuple(name for name in CLASSES if name not in tells)
        return PairScores(self.scores, self.merges_thin, bool(self.found["without_shadow"]), lacking)

    merged = merges_thin
    """Earlier name, which the documentation showed."""

    def worst_scenes(self) -> Iterator[tuple[dict[str, Any], Patch]]:
        """Yield the scenes of `found["worst"]`, read again one by one."""
        for one in self.found["worst"]:
            yield one, self.patches[self.places[one["scene"]]]


def judge(
    data: str,
    peers: Sequence[str],
    *,
    split: str | None = None,
    limit: int | None = None,
    merge_thin: bool | None = None,
    report: Callable[[int, int], None] | None = None,
) -> DatasetResult:
    """Judge peers on a data set.

    data: NAME=FOLDER with a name of `datasets.DATASETS`, or a folder (or file) of labelled arrays.
    peers: as `open_peer` takes them. `absent` lists each one that is not installed, or whose files are missing or
        damaged, with the reason.
    split: "test" if left out, "all" for the user's own arrays. limit: only so many patches, evenly taken from all.
    merge_thin: whether thin cloud counts as cloud; None: where the labels do not tell it.
    Raises SceneError for an unknown data set or peer, if nothing is found, if no peer could mask anything.
    """
    name, folder = parse_dataset(data) or (OWN_FILES, Path(data))
    chosen = split or ("all" if name == OWN_FILES else SPLITS[0])
    patches = _select_part(open_dataset(name, folder), chosen, limit)
    opened, absent = _open_peers(peers, folder if folder.is_dir() else folder.parent)
    if not opened:
        raise SceneError(f"No peer can run. {' '.join(f'{who}: {why}' for who, why in absent.items())}")
    facts = {key: getattr(DATASETS[name], key) for key in ("title", "source", "licence", "judges")}
    facts = {"dataset": name, "folder": folder.name, **facts, "split": chosen}
    return judge_patches(patches, opened, facts, absent=absent, merge_thin=merge_thin, report=report)


def judge_patches(
    patches: Sequence[Patch],
    peers: Sequence[Peer],
    facts: Mapping[str, str],
    *,
    absent: Mapping[str, str] | None = None,
    merge_thin: bool | None = None,
    report: Callable[[int, int], None] | None = None,
) -> DatasetResult:
    """Compare opened peers on patches.

    facts, absent (peer -> why it cannot run): as `DatasetResult.found` has them.
    """
    compared = compare(patches, peers, report, merge_thin=merge_thin)
    found = summarise_comparison(compared)
    found = {**facts, **found, "absent": {**(absent or {}), **found["absent"]}}
    ran = tuple(one.peer for one in compared.standings if one.tally.scenes)
    return DatasetResult(found, patches, ran, compared.scenes)


def _select_part(patches: Patches, split: str, limit: int | None) -> Patches:
    found = patches if split == "all" else patches.part(split)
    if not len(found):
        parts = ", ".join(part for part in SPLITS[:-1] if len(patches.part(part)))
        raise SceneError(f"None of the {len(patches)} patches is of {split}; there are some of {parts}, or take all.")
    return found[:: max(1, -(-len(found) // limit))] if limit else found


def _open_peers(specs: Sequence[str], folder: Path) -> tuple[list[Peer], dict[str, str]]:
    found, absent = [], {}
    for spec in specs:
        try:
            found.append(open_peer(spec, folder))
        except (MissingExtraError, WeightsError) as error:
            absent[spec] = str(error)
    return found, absent


# Earlier names, which the documentation showed.
Judged = DatasetResult
judged = judge_patches
