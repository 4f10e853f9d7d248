"""Parse the JSON document of a card, or name its wrong key; hash a card."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from kappamask.models.card import Accuracy, ClassValue, ModelCard, Mosaic, Scaling
from kappamask.models.errors import CardError

__all__ = [
    "DEFAULT_COLOR",
    "DEFAULT_COLORS",
    "DIMENSIONS",
    "EXTENSIONS",
    "SHA256_MULTIHASH",
    "compute_card_digest",
    "make_object",
    "parse_card",
]

LOCATION_FIELDS = ("folder", "document")
"""Where a card lies, which changes nothing that it says."""
DEFAULT_COLORS = dict(enumerate(("000000", "7fb069", "355070", "b8c0cc", "ffffff", "d1495b")))
"""KappaMask's codes -> colour of their class in files, RRGGBB: of cards that are written here or give none, and of
schemes without colours of their own. Pictures have others (`kappamask.scenes.writers.class_colours`)."""
DEFAULT_COLOR = "808080"
"""The same of all other codes."""
SHA256_MULTIHASH = "1220"
"""Multihash prefix of a sha256, as `file:checksum` of the STAC file extension wants it."""
EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.5.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
"""STAC extensions of a card."""
DIMENSIONS = ("batch", "channel", "height", "width")
"""Names of a network's axes in `dim_order`."""
_SCALINGS: dict[str, tuple[tuple[str, ...], Callable[..., tuple[float, float]]]] = {
    "z-score": (("mean", "stddev"), lambda mean, stddev: (1 / stddev, -mean / stddev)),
    "min-max": (("minimum", "maximum"), lambda low, high: (1 / (high - low), -low / (high - low))),
    "scale": (("value",), lambda value: (1 / value, 0.0)),
}
"""MLM `value_scaling` types: their parameters, and the (gain, bias) that they amount to."""
_INPUT, _OUTPUT = ("properties", "mlm:input", 0), ("properties", "mlm:output", 0)
_REQUIRED_KEYS: tuple[tuple[str | int, ...], ...] = (
    ("id",),
    ("properties", "mlm:name"),
    ("properties", "license"),
    (*_INPUT, "bands"),
    (*_INPUT, "value_scaling"),
    (*_OUTPUT, "classification:classes"),
    *(
        ("properties", f"kappamask:{key}")
        for key in (
            "levels", "required_bands", "fill", "window", "overlap", "stride", "output_values", "provenance",
        )
    ),
    ("assets", "weights", "href"),
    ("assets", "weights", "file:checksum"),
)  # fmt: skip
"""Where each key is that has no default."""
T = TypeVar("T", str, int, bool)
_TYPE_NAMES = {str: "a text", int: "a whole number", bool: "true or false"}


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object's pairs, for `json.loads`.

    Raises ValueError for a key that is there twice, of which `json.loads` alone takes the last value.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it has the key {next(key for key in keys if keys.count(key) > 1)!r} twice in one object")
    return found


def parse_card(document: Any, name: str = "The document") -> ModelCard:
    """Parse a card's JSON document (STAC Item); CardError names the wrong key."""
    try:
        if missing := list(_find_missing_keys(document)):
            raise CardError(f"it lacks {', '.join(missing)}; kappamask models card NETWORK.onnx writes a whole card")
        return _parse_document(document)
    except (KeyError, TypeError, IndexError, ValueError, ArithmeticError, AttributeError) as error:
        reason = f"{error}" if isinstance(error, CardError) else f"{type(error).__name__}: {error}"
        raise CardError(f"{name} is not a valid model card: {reason}.") from error


def _find_missing_keys(document: Any) -> Iterator[str]:
    """Yield each required key that is not there, as `properties.mlm:input[0].bands`."""
    for path in _REQUIRED_KEYS:
        found = document
        for key in path:
            if (isinstance(found, dict) and key not in found) or (isinstance(found, list) and not found):
                yield _format_path(path)
                break
            found = found[key]


def _format_path(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


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
        level_plane=_check_bool(properties.get("kappamask:level_plane", False)),
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
        substitutes=_parse_substitutes(properties.get("kappamask:substitutes", {})),
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


def _parse_substitutes(entry: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((band, _check_text(other)) for band, other in entry.items())


def _parse_accuracy(entry: dict[str, Any]) -> Accuracy:
    dice = tuple((_check_text(name), float(value)) for name, value in entry["dice"].items())
    return Accuracy(tuple(_check_text(band) for band in entry["bands"]), dice, _check_text(entry["scene"]))


def _parse_class(entry: dict[str, Any]) -> ClassValue:
    return ClassValue(
        _check_int(entry["value"]),
        _check_text(entry["name"]),
        _check_text(entry.get("color_hint", DEFAULT_COLORS.get(entry["value"], DEFAULT_COLOR))),
        _check_text(entry.get("description", "")),
    )


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


def compute_card_digest(card: ModelCard) -> str:
    """Return the SHA-256 of a card's content, 64 hex digits.

    Two masks with equal digests come from the same network.
    """
    said = {key: value for key, value in asdict(card).items() if key not in LOCATION_FIELDS}
    text = json.dumps(said, sort_keys=True, default=sorted)  # sets, whose order Python changes with each process
    return hashlib.sha256(text.encode()).hexdigest()
