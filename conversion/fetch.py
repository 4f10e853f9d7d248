"""Official networks by name: fetched once, pinned by hash, converted, and found by every door from then on."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Final

from kappamask.conversion.convert import convert
from kappamask.conversion.download import Show, download
from kappamask.conversion.errors import ConversionError
from kappamask.conversion.releases import OFFICIAL, RELEASE
from kappamask.models import CACHE, ModelCard

#: The bucket of KappaZeta's weights; its web site speaks plain HTTP only, the storage behind it HTTPS as well.
BUCKET: Final = f"https://kappamask.s3.eu-central-1.amazonaws.com/model_weights/{RELEASE}"


def names() -> dict[str, tuple[str, str]]:
    """What can be fetched: id of the card, and its architecture and level."""
    return {f"official-{level.lower()}-{kind}": (kind, level) for kind, level in OFFICIAL}


def fetch(
    name: str, *, mirror: str = BUCKET, source: Path | None = None, insecure: bool = False,
    cache: Path = CACHE, show: Show = lambda *_: None,
) -> ModelCard:  # fmt: skip
    """The card of the official network `name`, downloaded and converted if it is not in the cache yet.

    mirror: URL of the folder that holds `l1c_unet.hdf5` and the others. source: a file to take instead, for machines
    without internet. insecure: allow plain HTTP. show: called with bytes done and bytes in all.
    The sha256 of the first file that comes is written down; another one is refused from then on, because none is
    published. Raises ConversionError for an unknown name, a failed download, or a file that has changed.
    """
    if name not in names():
        raise ConversionError(f"No official network {name!r}; there are {', '.join(names())}.")
    kind, level = names()[name]
    weights = cache / f"{level.lower()}_{kind}.hdf5"
    if source:
        _copied(source, weights)
    elif not weights.exists():
        download(f"{mirror.rstrip('/')}/{weights.name}", weights, insecure=insecure, show=show)
    try:
        _pinned(cache / "pins.json", weights)
        return convert(weights, kind, level, cache / name)
    except ConversionError:
        weights.unlink(missing_ok=True)
        raise


def _copied(source: Path, weights: Path) -> None:
    if not source.is_file():
        raise ConversionError(f"No file {source}.")
    weights.parent.mkdir(parents=True, exist_ok=True)
    draft = weights.with_name(f".{weights.name}.copy")
    shutil.copyfile(source, draft)
    draft.replace(weights)


def _pinned(pins: Path, weights: Path) -> None:
    """Write the file's hash down, or compare it with the one that was."""
    known = json.loads(pins.read_text()) if pins.exists() else {}
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if known.setdefault(weights.name, found) != found:
        raise ConversionError(
            f"{weights.name} has changed: its sha256 is {found}, at first it was {known[weights.name]}. If that is "
            f"right, delete its line in {pins}."
        )
    draft = pins.with_suffix(".part")
    draft.write_text(json.dumps(known, indent=2) + "\n")
    draft.replace(pins)
