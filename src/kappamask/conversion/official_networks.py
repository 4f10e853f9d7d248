"""Fetch official networks by name: pinned by hash, converted, and cached."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Final

from kappamask.conversion.hdf5_weights import convert
from kappamask.conversion.releases import RELEASE
from kappamask.files.atomic import atomic_write
from kappamask.files.download import Show, download
from kappamask.models import CACHE, ModelCard
from kappamask.models.catalog import OFFICIAL_NETWORKS
from kappamask.models.errors import ConversionError

#: The bucket of KappaZeta's weights; its web site speaks plain HTTP only, the storage behind it HTTPS as well.
BUCKET: Final = f"https://kappamask.s3.eu-central-1.amazonaws.com/model_weights/{RELEASE}"


def list_official() -> dict[str, tuple[str, str]]:
    """List what can be fetched: id of the card, and its architecture and level."""
    return dict(OFFICIAL_NETWORKS)


def fetch(
    name: str, *, mirror: str = BUCKET, source: Path | None = None, insecure: bool = False,
    cache: Path = CACHE, show: Show = lambda *_: None,
) -> ModelCard:  # fmt: skip
    """Return the card of the official network `name`, downloaded and converted if needed.

    mirror: URL of the folder that holds `l1c_unet.hdf5` and the others. source: a file to take instead, for machines
    without internet. insecure: allow plain HTTP. show: called with bytes done and bytes in all.
    The sha256 of the first file that can be converted is written down; another one is refused from then on, because
    none is published. Until a file has passed both tests, nothing that was there before is changed.
    Raises DownloadError for a failed download, and ConversionError for an unknown name, or a file that has changed or
    is no such network.
    """
    if name not in list_official():
        raise ConversionError(f"No official network {name!r}; there are {', '.join(list_official())}.")
    kind, level = list_official()[name]
    weights, pins = cache / f"{level.lower()}_{kind}.hdf5", cache / "pins.json"
    if source and not source.is_file():
        raise ConversionError(f"No file {source}.")
    if not source and not weights.exists():
        download(f"{mirror.rstrip('/')}/{weights.name}", weights, insecure=insecure, show=show)
    try:
        known = _check_pin(pins, weights.name, source or weights)
        card = convert(source or weights, kind, level, cache / name)
    except ConversionError:
        if not source:
            weights.unlink(missing_ok=True)
        raise
    if source:
        _copy(source, weights)
    _write_pins(pins, known)
    return card


def _copy(source: Path, weights: Path) -> None:
    with atomic_write(weights) as draft:
        shutil.copyfile(source, draft)


def _check_pin(pins: Path, name: str, file: Path) -> dict[str, str]:
    """Compare the hash of `file` with the known one; return the known hashes.

    Raises ConversionError if another one was recorded for `name`.
    """
    known: dict[str, str] = json.loads(pins.read_text()) if pins.exists() else {}
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if known.setdefault(name, found) != found:
        raise ConversionError(
            f"{name} has changed: its sha256 is {found}, at first it was {known[name]}. If that is right, delete its "
            f"line in {pins}."
        )
    return known


def _write_pins(pins: Path, known: dict[str, str]) -> None:
    with atomic_write(pins) as draft:
        draft.write_text(json.dumps(known, indent=2) + "\n")
