"""Score a mask on real scenes by what they show: cloud types and clear ground.

Labels are sets of classes (`datasets.class_sets`): a pixel counts only where its labels decide the question.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets import Patch, class_sets
from kappamask.models import SENTINEL2_BANDS

__all__ = ["MEASURES", "SUBSETS", "Figure", "Predict", "list_scores", "score_scenes", "show_bands", "summarise_figures"]

BANDS: Final = SENTINEL2_BANDS[:13]
SUBSETS: Final[Mapping[str, tuple[str, ...]]] = {
    "13": BANDS,
    "no B10": tuple(band for band in BANDS if band != "B10"),
    "10": tuple(band for band in BANDS if band not in ("B01", "B09", "B10")),
    "6": ("B02", "B03", "B04", "B08", "B11", "B12"),
    "4": ("B02", "B03", "B04", "B08"),
    "3": ("B02", "B03", "B04"),
}
"""Bands that a user may have; a scene without B08 gives B8A instead."""
NEEDED: Final = {"13": ("B10", "B05"), "no B10": ("B05", "B09"), "10": ("B05", "B11"), "6": ("B11",), "4": (), "3": ()}
"""Bands without which a scene does not have the subset."""
LEAST_PX: Final = 500
"""Pixels of a class below which a place has no score of it."""
MEASURES: Final = {
    "closed": "Closed cloud that is found, as cloud of either kind",
    "cirrus": "Cirrus visible in B10 that is found, as cloud of either kind",
    "cumulus": "Cumulus that is called cloud, not semi-transparent",
    "hand thin": "Semi-transparent cloud by hand labels that is called so",
    "hand thick": "Opaque cloud by hand labels that is called so",
    "clear": "Clear images that are kept clear",
    "cloud dice": "Cloud of either kind, dice",
    "shadow dice": "Cloud shadow, dice",
}
Codes = NDArray[np.uint8]
Predict = Callable[[Patch], Codes]


class Figure(NamedTuple):
    """A score of one place with one subset of bands, 0 to 1.

    `pixels` is the number that it rests on.
    """

    measure: str
    place: str
    subset: str
    value: float
    pixels: int


@dataclass
class _Counts:
    """Right and all pixels of shares; true positives, false positives and false negatives of dices."""

    shares: dict[tuple[str, str, str], NDArray[np.int64]] = field(default_factory=dict)
    dices: dict[tuple[str, str, str], NDArray[np.int64]] = field(default_factory=dict)

    def add_share(self, key: tuple[str, str, str], right: NDArray[np.bool_], of: NDArray[np.bool_]) -> None:
        if of.any():
            both = np.array([(right & of).sum(), of.sum()])
            self.shares[key] = self.shares.get(key, np.zeros(2, np.int64)) + both

    def add_dice(self, key: tuple[str, str, str], found: NDArray[np.bool_], sets: Codes, wanted: int) -> None:
        inside = class_sets.is_certain(sets, wanted)
        outside = (sets > 0) & (sets & wanted == 0)
        three = np.array([(found & inside).sum(), (found & outside).sum(), (~found & inside).sum()])
        self.dices[key] = self.dices.get(key, np.zeros(3, np.int64)) + three


def score_scenes(predict: Predict, patches: Iterable[Patch]) -> list[Figure]:
    """Score the codes (y, x) of `predict` on every scene with every band subset.

    A subset of which `predict` raises KeyError, because the mask needs other bands, has no figures.
    """
    counts = _Counts()
    for patch in patches:
        for subset in SUBSETS:
            shown = show_bands(patch, subset)
            if shown is not None:
                try:
                    codes = predict(shown)
                except KeyError:
                    continue
                _count(counts, shown, codes, patch.class_sets(with_b10=subset == "13"), subset)
    shares = [
        Figure(*key, right / total, int(total)) for key, (right, total) in counts.shares.items() if total >= LEAST_PX
    ]
    dices = [
        Figure(*key, 2 * tp / (2 * tp + fp + fn), int(tp + fn))
        for key, (tp, fp, fn) in counts.dices.items() if tp + fn >= LEAST_PX
    ]  # fmt: skip
    return shares + dices


def show_bands(patch: Patch, subset: str) -> Patch | None:
    """Return `patch` with the bands of `subset` only; None where it lacks them."""
    there = {band for band in patch.bands if np.isfinite(patch.reflectance[patch.bands.index(band)]).any()}
    if not there.issuperset(NEEDED[subset]):
        return None
    wanted = {*SUBSETS[subset]} | ({"B8A"} if "B08" not in there and "B08" in SUBSETS[subset] else set())
    kept = tuple(band for band in patch.bands if band in wanted & there)
    planes = patch.reflectance[[patch.bands.index(band) for band in kept]]
    given = {name: getattr(patch, name) for name in patch.__dataclass_fields__}
    return Patch(**given | {"bands": kept, "reflectance": planes})


def _count(counts: _Counts, patch: Patch, codes: Codes, sets: Codes, subset: str) -> None:
    place, kinds = patch.group, patch.kinds
    cloudy, thin, thick = codes >= 3, codes == 3, codes == 4
    if "closed" in kinds:
        counts.add_share(("closed", place, subset), cloudy, class_sets.is_cloud(sets))
    if "cirrus" in kinds:
        counts.add_share(("cirrus", place, subset), cloudy, sets == class_sets.SEMI_TRANSPARENT)
    if "cumulus" in kinds or "broken" in kinds:
        counts.add_share(("cumulus", place, subset), thick, sets == class_sets.CLOUD)
    if "by_hand" in kinds and "closed" not in kinds:
        counts.add_share(("hand thin", "all", subset), thin, sets == class_sets.SEMI_TRANSPARENT)
        counts.add_share(("hand thick", "all", subset), thick, sets == class_sets.CLOUD)
    if not (sets & ~np.uint8(class_sets.CLEAR_OR_SEMI_TRANSPARENT)).any() and (sets == class_sets.CLEAR).any():
        counts.add_share(("clear", place, subset), codes == 1, sets == class_sets.CLEAR)
    counts.add_dice(("cloud dice", place, subset), cloudy, sets, class_sets.CLOUD_OF_EITHER_KIND)
    counts.add_dice(("shadow dice", place, subset), codes == 2, sets, class_sets.SHADOW)


def summarise_figures(figures: Iterable[Figure]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return mean and worst place by measure and subset, both 0 to 1."""
    grouped: dict[tuple[str, str], list[float]] = {}
    for figure in figures:
        grouped.setdefault((figure.measure, figure.subset), []).append(figure.value)
    out: dict[str, dict[str, tuple[float, float]]] = {measure: {} for measure in MEASURES}
    for (measure, subset), values in grouped.items():
        out[measure][subset] = (float(np.mean(values)), float(min(values)))
    return out


def list_scores(summary: Mapping[str, Mapping[str, tuple[float, float]]]) -> list[dict[str, Any]]:
    """List what `summarise_figures` returns as a card has it: measure, bands, mean and worst."""
    return [
        {"measure": measure, "bands": subset, "mean": round(mean, 4), "worst": round(worst, 4)}
        for measure, subsets in summary.items() for subset, (mean, worst) in subsets.items()
    ]  # fmt: skip
