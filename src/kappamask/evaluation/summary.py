"""Summarise a comparison as plain numbers for JSON, tables and plots."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.boundary import compute_boundary_f1
from kappamask.evaluation.class_groups import MERGED, VIEWS, ClassGroups
from kappamask.evaluation.compare import Comparison, PeerRecord
from kappamask.evaluation.confidence import ERRORS, compare_scores, compute_dice, compute_errors, score_intervals
from kappamask.evaluation.counts import compute_calibration_error
from kappamask.evaluation.metrics import CLASSES
from kappamask.evaluation.strata import group_scenes, score_strata

__all__ = ["LIMITS", "QUESTIONS", "score_distribution", "share_of_patches", "summarise_comparison"]

LIMITS = (0.1, 0.9)
"""Below the first a patch is low, from the second on high (Aybar et al. 2022, table 6, as remembered by others)."""
QUESTIONS = {"cloud": "cloud", "shadow": "shadow", "valid": "invalid"}
"""View -> the group whose scores are spread."""
SPREAD = ("recall", "precision", "balanced_accuracy")
"""Producer's and user's accuracy, and what CloudSEN12 calls balanced overall accuracy."""
Spread = dict[str, float | int | None]
WORST = 3
"""Scenes that are shown."""
Summary = dict[str, Any]


def share_of_patches(
    patches: Sequence[NDArray[np.int64]], predicts: Collection[int] = tuple(CLASSES.values())
) -> dict[str, dict[str, Spread]]:
    """Return `score_distribution` of `SPREAD` over counts (4, 5) of patches.

    Of cloud, shadow and invalid.
    """
    return {
        group: _score_distributions([VIEWS[view].scores(one, predicts) for one in patches], group)
        for view, group in QUESTIONS.items()
    }


def _score_distributions(scored: Sequence[dict[str, dict[str, float | None]]], group: str) -> dict[str, Spread]:
    return {rate: score_distribution([one[rate][group] for one in scored]) for rate in SPREAD}


def score_distribution(values: Sequence[float | None]) -> Spread:
    """Return `median`, `low`, `middle` and `high` (shares of the patches) and `patches`.

    The shares sum to 1; `patches` counts those with a value.
    """
    known = np.array([value for value in values if value is not None])
    if not known.size:
        return {"median": None, "low": None, "middle": None, "high": None, "patches": 0}
    low, high = float((known < LIMITS[0]).mean()), float((known >= LIMITS[1]).mean())
    middle = float(((known >= LIMITS[0]) & (known < LIMITS[1])).mean())
    return {"median": float(np.median(known)), "low": low, "middle": middle, "high": high, "patches": known.size}


def summarise_comparison(found: Comparison) -> Summary:
    """`view`, `classes`, `scenes`, `groups`, `unjudged`, `without_shadow`, `peers`, `differences`, `absent`, `worst`.

    view: name of the main view, "classes", or "merged" where a truth does not tell thin cloud from thick; classes: its
    groups. peers: for each that masked a patch its scores in every view, `intervals` of 95 % of those in the main one
    and what they are `drawn` from, counts, scores without bands at edges, F1 of edges, spread over patches, strata,
    calibration, time; `sha256` of a network. without_shadow: scenes whose shadows are not labelled and count as clear.
    differences: dice of the first peer less that of each other, over the scenes and classes that both have, and
    errors of cloud in each stratum. absent: peer -> why it masked nothing. worst: scenes where the first peer's mean
    dice is lowest, and the dice of all. Scores are 0 to 1 or None.
    """
    name = MERGED if found.merges_thin else "classes"
    ran = [one for one in found.standings if one.tally.scenes]
    return {
        "view": name,
        "classes": list(VIEWS[name].groups),
        "scenes": len(found.scenes),
        "groups": len(found.groups),
        "unjudged": found.unjudged,
        "without_shadow": found.without_shadow,
        "peers": [_summarise_peer(one, VIEWS[name], found.grounds) for one in ran],
        "differences": [
            _summarise_difference(ran[0], other, VIEWS[name], found.grounds)
            for other in ran[1:]
            if _shared_classes(ran[0], other)
        ],
        "absent": {one.peer.name: next(iter(one.failures)) for one in found.standings if not one.tally.scenes},
        "worst": _find_worst(ran, VIEWS[name]),
    }


def _summarise_peer(one: PeerRecord, view: ClassGroups, grounds: Mapping[str, Collection[str]]) -> Summary:
    tally, predicts = one.tally, one.peer.predicts
    return {
        "name": one.peer.name,
        "title": one.peer.title,
        **({"sha256": one.peer.sha256} if one.peer.sha256 else {}),
        "tells": [name for name, code in CLASSES.items() if code in predicts],
        "scenes": len(tally.scenes),
        "groups": len(tally.by_group()),
        "failures": dict(one.failures),
        "seconds_per_megapixel": one.seconds_per_megapixel,
        "views": {name: each.scores(tally.confusion_matrix, predicts) for name, each in VIEWS.items()},
        "drawn": tally.resampling_units().as_json(),
        "intervals": score_intervals(tally.resampling_units(), view, view.scored_groups(predicts)),
        "confusion": view.merge_counts(tally.confusion_matrix).tolist(),
        "without_edges": {str(width): view.scores(counts, predicts)["dice"] for width, counts in tally.bands.items()},
        "edge_f1": _select_scores(compute_boundary_f1(tally.edges), view.scored_groups(predicts)),
        "patches": share_of_patches(list(tally.scenes.values()), predicts),
        "strata": score_strata(
            tally.scenes, predicts, view=view, grounds=grounds, groups=tally.group_of, units_of=tally.resampling_units
        ),
        "calibration_error": compute_calibration_error(tally.bins),
    }


def _select_scores(values: dict[str, float | None], judged: Collection[str]) -> dict[str, float | None]:
    """Select the values of the classes that a peer is judged by, and their mean."""
    kept = {name: value for name, value in values.items() if name in judged}
    known = [value for value in kept.values() if value is not None]
    return kept | {"all": sum(known) / len(known) if known else None}


def _shared_classes(ours: PeerRecord, theirs: PeerRecord) -> list[str]:
    return [name for name in ours.tally.scenes if name in theirs.tally.scenes]


def _summarise_difference(
    ours: PeerRecord, theirs: PeerRecord, view: ClassGroups, grounds: Mapping[str, Collection[str]]
) -> Summary:
    shared = _shared_classes(ours, theirs)
    judged = [
        name for name in view.scored_groups(ours.peer.predicts) if name in view.scored_groups(theirs.peer.predicts)
    ]
    mine, other = (one.tally.resampling_units(shared) for one in (ours, theirs))
    dice = compare_scores(mine, other, compute_dice(view, judged), [*view.groups, "all"])
    return {
        "peer": ours.peer.name,
        "against": theirs.peer.name,
        "scenes": len(shared),
        "drawn": mine.as_json(),
        "dice": dice["values"],
        "intervals": dice["intervals"],
        "strata": _compare_strata(ours, theirs, shared, grounds),
    }


def _compare_strata(
    ours: PeerRecord, theirs: PeerRecord, shared: list[str], grounds: Mapping[str, Collection[str]]
) -> Summary:
    """Return, by stratum, errors of cloud of `ours` less those of `theirs`.

    With `scenes`, `drawn` and `intervals`.
    """
    both = compute_errors(ours.peer.predicts & theirs.peer.predicts)
    found = {}
    for name, scenes in group_scenes({one: ours.tally.scenes[one] for one in shared}, grounds).items():
        mine, other = (one.tally.resampling_units(scenes) for one in (ours, theirs))
        apart = compare_scores(mine, other, both, ERRORS)
        found[name] = {"scenes": len(scenes), "drawn": mine.as_json(), **apart["values"]}
        found[name]["intervals"] = apart["intervals"]
    return found


def _find_worst(ran: list[PeerRecord], view: ClassGroups) -> list[Summary]:
    dice = {
        one.peer.name: {name: _overall_dice(counts, one, view) for name, counts in one.tally.scenes.items()}
        for one in ran
    }
    first = {name: value for name, value in dice[ran[0].peer.name].items() if value is not None}
    lowest = sorted(first, key=lambda name: (first[name], name))[:WORST]
    return [{"scene": name, "dice": {peer: values.get(name) for peer, values in dice.items()}} for name in lowest]


def _overall_dice(counts: NDArray[np.int64], one: PeerRecord, view: ClassGroups) -> float | None:
    return view.scores(counts, one.peer.predicts)["dice"]["all"]


# Earlier names, which the documentation showed.
summary = summarise_comparison
