"""Read cards: from this folder by id, or from anywhere by path."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from kappamask.models.card import ModelCard
from kappamask.models.card_document import DEFAULT_COLORS, SHA256_MULTIHASH, make_object, parse_card
from kappamask.models.errors import CardError

__all__ = [
    "CACHE",
    "DEFAULT_COLORS",
    "FOLDER",
    "OFFICIAL_NETWORKS",
    "SHA256_MULTIHASH",
    "fetch_command",
    "list_cards",
    "load_card",
    "read_document",
    "suggest_nearest",
]

FOLDER = Path(__file__).resolve().parent
CACHE = Path(
    os.environ.get("KAPPAMASK_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kappamask"
)
"""Where fetched networks lie, each in a folder of its id."""
OFFICIAL_NETWORKS = {
    f"official-{level.lower()}-{architecture}": (architecture, level)
    for architecture in ("unet", "deeplabv3plus")
    for level in ("L1C", "L2A")
}
"""Networks that `kappamask models fetch` downloads: id -> architecture and level."""
MAX_CARD_BYTES = 1_000_000


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
    return fetched | {path.stem: path for path in sorted(FOLDER.glob("*.json"), key=lambda path: path.stem)}


def _find_card(model: str) -> Path:
    if model in (known := _card_paths()):
        return known[model]
    with suppress(OSError, ValueError):
        path = Path(model) / "card.json" if Path(model).is_dir() else Path(model)
        if path.suffix == ".json" and path.is_file():
            return path.resolve()
    if "/" in model or Path(model).suffix in (".json", ".onnx"):
        raise CardError(f"{_explain_missing_card(model[:200])} The known ids are {', '.join(sorted(known))}.")
    raise CardError(
        f"No model '{model[:80]}' here{_suggest_model(model[:80], known)} "
        f"The known ids are {', '.join(sorted(known))}; kappamask models list names those to download. "
        "Or give the path of a card (…/card.json)."
    )


def _explain_missing_card(model: str) -> str:
    if model.endswith(".onnx"):
        make = "kappamask models card NET.onnx --bands … --classes … writes it"
        return f"{model} is no card; needed is the card next to the network, a .json file: {make}."
    return f"No card {model}; needed is the path of a card (…/card.json), or of its folder."


def _suggest_model(model: str, known: Mapping[str, Path]) -> str:
    if model in OFFICIAL_NETWORKS:
        return f"; to download it, type: {fetch_command(model)}."
    found = get_close_matches(model, [*known, *OFFICIAL_NETWORKS], n=1)
    hint = f"; did you mean {found[0]}?" if found else "."
    return hint + (f" To download it, type: {fetch_command(found[0])}." if found and found[0] not in known else "")


def suggest_nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the nearest known word, or an empty text."""
    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def fetch_command(model: str) -> str:
    """Return the command that downloads an official network."""
    return f"kappamask models fetch {model}"


def _read_card(path: Path) -> ModelCard:
    """Read a card; one that has not changed since is not parsed again."""
    try:
        found = path.stat()
        version = (found.st_mtime_ns, found.st_size)
    except OSError:
        version = (0, 0)
    return _read_version(path, version)


@lru_cache(maxsize=64)
def _read_version(path: Path, _: tuple[int, int]) -> ModelCard:
    return replace(parse_card(_read_json(path), _name_card(path)), folder=path.parent, document=path.name)


def read_document(card: ModelCard) -> dict[str, Any]:
    """Read the whole JSON document of a card; CardError where it is damaged by now."""
    return dict(_read_json(card.folder / card.document))


def _name_card(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _read_json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CARD_BYTES + 1)
        if len(text) > MAX_CARD_BYTES:
            raise ValueError(f"it has more than {MAX_CARD_BYTES / 1e6:g} MB")
        return json.loads(text, object_pairs_hook=make_object)
    except (OSError, ValueError, RecursionError) as error:
        raise CardError(f"{_name_card(path)} cannot be read as a model card: {error}.") from error
