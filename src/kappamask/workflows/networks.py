"""Describe the networks that are here, and those that can be downloaded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from kappamask.models import CardError, ModelCard, list_cards
from kappamask.models.catalog import OFFICIAL_NETWORKS, fetch_command, read_document
from kappamask.models.schemes import CLASSES

__all__ = ["describe_network", "format_network", "format_networks", "list_networks"]

WEAK: Final = 0.5
"""Score of the worst place below which it is named among the limits."""
MOST_WEAK: Final = 5
"""Weak spots that are named."""
MEASURES: Final = {
    "closed": "closed cloud found",
    "cirrus": "cirrus found",
    "cumulus": "cumulus called cloud",
    "hand thin": "thin cloud of hand labels called so",
    "hand thick": "cloud of hand labels called so",
    "clear": "clear images kept clear",
    "cloud dice": "cloud of either kind, dice",
    "shadow dice": "cloud shadow, dice",
}
"""Measure of a card -> words for it."""
PREDICTED: Final = {name: CLASSES.index(name) for name in ("clear", "cloud_shadow", "semi_transparent_cloud", "cloud")}
"""Classes that a network may predict, and their codes."""
PLAIN_FACTS: Final = (
    "id", "title", "levels", "bands", "required", "window", "overlap", "classes", "licence", "provenance", "file",
    "sha256",
)  # fmt: skip
"""Facts with a line of their own."""
Facts = dict[str, Any]


def list_networks(broken: Callable[[CardError], None] | None = None) -> list[Facts]:
    """List what `describe_network` returns of each network here, then each that can be downloaded.

    broken: as in `list_cards`. The latter have `id`, `title`, `levels`, `licence`, `downloaded` (False) and `command`.
    """
    here = [describe_network(card) for card in list_cards(broken)]
    known = {facts["id"] for facts in here}
    return here + [_describe_official(name) for name in OFFICIAL_NETWORKS if name not in known]


def _describe_official(name: str) -> Facts:
    architecture, level = OFFICIAL_NETWORKS[name]
    title = f"KappaZeta's {architecture} for {level}"
    facts: Facts = {"id": name, "title": title, "levels": [level], "licence": "Apache-2.0"}
    return facts | {"downloaded": False, "command": fetch_command(name)}


def describe_network(card: ModelCard) -> Facts:
    """Describe a network by its card: input, classes, training, scores, limits and licence.

    `scores` has `bands` (dice of each class on a labelled scene, by the bands given) and `scenes` (mean and worst place
    by `measure` and number of bands); both are empty where nothing was measured, and so is `training`.
    Raises CardError if these facts of the card cannot be read.
    """
    properties = read_document(card)["properties"]
    try:
        return _describe_card(card) | _describe_quality(card, properties)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise CardError(
            f"{card.document}: training facts or scores of '{card.id}' cannot be read: {type(error).__name__}: {error}."
        ) from error


def _describe_card(card: ModelCard) -> Facts:
    return {
        "id": card.id,
        "title": card.title,
        "levels": list(card.levels),
        "bands": list(card.bands),
        "required": [band for band in card.bands if band in card.required],
        "window": card.window,
        "overlap": card.overlap,
        "classes": {c.name: c.value for c in card.classes},
        "licence": card.licence,
        "provenance": card.provenance,
        "file": str(card.folder / card.file),
        "sha256": card.sha256,
        "downloaded": True,
    }


def _describe_quality(card: ModelCard, properties: Mapping[str, Any]) -> Facts:
    """Return `training`, `scores` and `limits`."""
    scores = {"bands": properties.get("kappamask:accuracy") or [], "scenes": properties.get("kappamask:scenes") or []}
    return {
        "training": _summarise_training(properties),
        "scores": scores,
        "limits": list(_list_limits(card, scores)),
    }


def _summarise_training(properties: Mapping[str, Any]) -> Facts:
    """Return the facts of `kappamask:training` without the history of its runs."""
    trained = properties.get("kappamask:training") or {}
    runs = trained.get("runs") or []
    judged = trained.get("validation") or {}
    validation = sorted({*filter(None, [judged.get("file")]), *judged.get("landsat", ())})
    facts = {
        "date": (properties.get("datetime") or "")[:10] if trained else None,
        "architecture": properties.get("mlm:architecture"),
        "parameters": trained.get("parameters", properties.get("mlm:total_parameters")),
        "gmac_per_512_tile": trained.get("gmac_per_512_tile"),
        "hours": trained.get("hours"),
        "steps": sum(run["step"] for run in runs) if runs else None,
        "data_sets": sorted({name for run in runs for name in run.get("origin", {}).get("datasets", ())}) or None,
        "simulated_tiles": trained.get("simulated_tiles"),
        "data": sorted({*trained.get("data_sha256", ())} - {*validation}) or None,
        "validation": validation or None,
        "commit": trained.get("commit"),
        "odds": trained.get("odds"),
        "temperature": (trained.get("calibration") or {}).get("temperature"),
    }
    return {key: value for key, value in facts.items() if value is not None}


def _list_limits(card: ModelCard, scores: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterable[str]:
    """Yield, as sentences, what the network cannot do or does badly."""
    if len(card.levels) == 1:
        yield f"Takes {card.levels[0]} only."
    missing = [name for name, code in PREDICTED.items() if code not in card.output]
    if missing:
        yield f"Does not predict {', '.join(missing)}."
    if card.required == {*card.bands}:
        yield f"Needs all of its {len(card.bands)} bands."
    if not scores["bands"] and not scores["scenes"]:
        yield "Its card has no scores."
    weak = sorted((one for one in scores["scenes"] if one["worst"] < WEAK), key=lambda one: float(one["worst"]))
    for one in weak[:MOST_WEAK]:
        measure = MEASURES.get(one["measure"], one["measure"])
        yield f"Worst place of '{measure}' with {_name_subset(one['bands'])}: {one['worst']:.2f}."


def _name_subset(bands: str) -> str:
    return f"{bands} bands" if bands.isdecimal() else bands


def format_networks(networks: Iterable[Facts]) -> list[str]:
    """Format the list of networks as a table of lines."""
    return _align_columns([_format_row(one) for one in networks])


def _format_row(facts: Facts) -> list[str]:
    here = facts["downloaded"]
    bands = f"{len(facts['bands'])} bands" if here else ""
    title = facts["title"] if here else f"not downloaded: {facts['command']}"
    return [facts["id"], "+".join(facts["levels"]), bands, facts["licence"], title]


def format_network(facts: Facts) -> list[str]:
    """Format a network's facts as lines: facts, training, scores, limits."""
    lines = [f"{key:<12}{_to_text(facts[key])}" for key in PLAIN_FACTS]
    if facts["training"]:
        rows = [[key.replace("_", " "), _to_text(value)] for key, value in facts["training"].items()]
        lines += ["", "Training", *_align_columns(rows)]
    if facts["scores"]["bands"]:
        lines += ["", "Dice on a labelled scene, by the bands given", *_format_band_scores(facts["scores"]["bands"])]
    if facts["scores"]["scenes"]:
        lines += ["", "Scores on real scenes, mean over places (worst place), by the bands given"]
        lines += _format_scene_scores(facts["scores"]["scenes"])
    return [*lines, *(["", "Limits", *(f"- {limit}" for limit in facts["limits"])] if facts["limits"] else [])]


def _format_band_scores(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for one in scores for name in one["dice"]))
    rows = [[*(f"{one['dice'][name]:.2f}" if name in one["dice"] else "" for name in names)] for one in scores]
    heads = [f"{' '.join(one['bands'])}" for one in scores]
    return _align_columns([["", *names], *([head, *row] for head, row in zip(heads, rows, strict=True))])


def _format_scene_scores(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    subsets = list(dict.fromkeys(one["bands"] for one in scores))
    cells = {(one["measure"], one["bands"]): f"{one['mean']:.2f} ({one['worst']:.2f})" for one in scores}
    measures = list(dict.fromkeys(one["measure"] for one in scores))
    rows = [
        [MEASURES.get(measure, measure), *(cells.get((measure, subset), "") for subset in subsets)]
        for measure in measures
    ]
    return _align_columns([["", *map(_name_subset, subsets)], *rows])


def _align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad the cells of each column to the same width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _to_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{number} {name}" for name, number in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
