"""Read cards: from this folder by id, or from anywhere by path."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from kappamask.models.card import Accuracy, ClassValue, ModelCard, Mosaic, Scaling
from kappamask.models.errors import CardError

__all__ = ["CACHE", "FOLDER", "list_cards", "load_card", "parse_card"]

FOLDER = Path(__file__).resolve().parent
CACHE = Path(
    os.environ.get("KAPPAMASK_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kappamask"
)
"""Where fetched networks lie, each in a folder of its id."""
MAX_CARD_BYTES = 1_000_000
SHA256_MULTIHASH = "1220"
"""Multihash prefix of a sha256, as `file:checksum` of the STAC file extension wants it."""

_SCALINGS: dict[str, tuple[tuple[str, ...], Callable[..., tuple[float, float]]]] = {
    "z-score": (("mean", "stddev"), lambda mean, stddev: (1 / stddev, -mean / stddev)),
    "min-max": (("minimum", "maximum"), lambda low, high: (1 / (high - low), -low / (high - low))),
    "scale": (("value",), lambda value: (1 / value, 0.0)),
}
"""MLM `value_scaling` types: their parameters, and the (gain, bias) that they amount to."""


def load_card(model: str | Path | ModelCard = "compact") -> ModelCard:
    """Load a card by id, by its file, or by the folder of `card.json`.

    Raises CardError that lists the known ids, or says what is wrong with the file.
    """
    return model if isinstance(model, ModelCard) else _read_card(_find_card(str(model)))


def list_cards(broken: Callable[[CardError], None] | None = None) -> list[ModelCard]:
    """List the cards of the package, and those that were fetched, by id.

    broken: called with the error of each card that cannot be read; left out, the first such CardError is raised.
    """
    cards = []
    for path in _card_paths().values():
        try:
            cards.append(_read_card(path))
        except CardError as error:
            if broken is None:
                raise
            broken(error)
    return cards


def _card_paths() -> dict[str, Path]:
    fetched = {path.parent.name: path for path in sorted(CACHE.glob("*/card.json"))}
    return fetched | {path.stem: path for path in sorted(FOLDER.glob("*.json"))}


def _find_card(model: str) -> Path:
    if model in (known := _card_paths()):
        return known[model]
    with suppress(OSError, ValueError):
        path = Path(model) / "card.json" if Path(model).is_dir() else Path(model)
        if path.suffix == ".json" and path.is_file():
            return path.resolve()
    raise CardError(
        f"No model '{model[:80]}': known ids are {', '.join(sorted(known))}; or give the path of a card (…/card.json)."
    )


@lru_cache(maxsize=64)
def _read_card(path: Path) -> ModelCard:
    name = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CARD_BYTES + 1)
        if len(text) > MAX_CARD_BYTES:
            raise ValueError(f"it has more than {MAX_CARD_BYTES / 1e6:g} MB")
        document = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise CardError(f"{name} cannot be read as a model card: {error}.") from error
    return replace(parse_card(document, name), folder=path.parent, document=path.name)


def parse_card(document: Any, name: str = "The document") -> ModelCard:
    """Parse a card's JSON document (STAC Item); CardError names the wrong key."""
    try:
        return _parse_document(document)
    except (KeyError, TypeError, IndexError, ValueError, ArithmeticError, AttributeError) as error:
        reason = f"{error}" if isinstance(error, CardError) else f"{type(error).__name__}: {error}"
        raise CardError(f"{name} is not a valid model card: {reason}.") from error


def _parse_document(document: dict[str, Any]) -> ModelCard:
    properties = document["properties"]
    source, result = properties["mlm:input"][0], properties["mlm:output"][0]
    weights = document["assets"]["weights"]
    return ModelCard(
        id=_check_text(document["id"]),
        title=_check_text(properties["mlm:name"]),
        levels=tuple(properties["kappamask:levels"]),
        bands=tuple(source["bands"]),
        required=frozenset(properties["kappamask:required_bands"]),
        scaling=tuple(_parse_scaling(s) for s in source["value_scaling"]),
        fill=float(properties["kappamask:fill"]),
        level_plane=_check_bool(properties["kappamask:level_plane"]),
        window=_check_int(properties["kappamask:window"]),
        local_window=_check_int(properties.get("kappamask:local_window", properties["kappamask:window"])),
        overlap=_check_int(properties["kappamask:overlap"]),
        stride=_check_int(properties["kappamask:stride"]),
        classes=tuple(_parse_class(c) for c in result["classification:classes"]),
        output=tuple(_check_int(v) for v in properties["kappamask:output_values"]),
        licence=_check_text(properties["license"]),
        provenance=_check_text(properties["kappamask:provenance"]),
        least_side=_check_int(properties.get("kappamask:least_side", 1)),
        activation=_check_text(properties.get("kappamask:activation", "none")),
        resampling=properties.get("kappamask:resampling"),
        mosaic=_parse_mosaic(properties.get("kappamask:mosaic")),
        accuracy=tuple(_parse_accuracy(a) for a in properties.get("kappamask:accuracy", ())),
        file=_check_text(weights["href"]).removeprefix("./"),
        sha256=_check_text(weights["file:checksum"]).removeprefix(SHA256_MULTIHASH),
    )


def _parse_scaling(entry: dict[str, Any]) -> Scaling:
    if entry["type"] not in _SCALINGS:
        raise CardError(f"value_scaling type '{entry['type']}' is not among {', '.join(_SCALINGS)}")
    names, affine = _SCALINGS[entry["type"]]
    gain, bias = affine(*(float(entry[name]) for name in names))
    return Scaling(gain, bias, float(entry.get("kappamask:lower", "-inf")))


def _parse_mosaic(entry: dict[str, Any] | None) -> Mosaic | None:
    if entry is None:
        return None
    step, before = _check_int(entry["step"]), _check_int(entry["before"])
    return Mosaic(step, before, _check_text(entry["padding"]), _check_text(entry["taper"]), float(entry["amount"]))


def _parse_accuracy(entry: dict[str, Any]) -> Accuracy:
    dice = tuple((_check_text(name), float(value)) for name, value in entry["dice"].items())
    return Accuracy(tuple(_check_text(band) for band in entry["bands"]), dice, _check_text(entry["scene"]))


def _parse_class(entry: dict[str, Any]) -> ClassValue:
    return ClassValue(
        _check_int(entry["value"]),
        _check_text(entry["name"]),
        _check_text(entry["color_hint"]),
        _check_text(entry.get("description", "")),
    )


T = TypeVar("T", str, int, bool)
_TYPE_NAMES = {str: "a text", int: "a whole number", bool: "true or false"}


def _check_type(value: Any, kind: type[T]) -> T:
    """Return `value` if it is of just this type: JSON's true is no number."""
    if type(value) is not kind:
        raise CardError(f"{value!r} stands where {_TYPE_NAMES[kind]} is needed")
    return value


_check_text, _check_int, _check_bool = (
    partial(_check_type, kind=str),
    partial(_check_type, kind=int),
    partial(_check_type, kind=bool),
)
