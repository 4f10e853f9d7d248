"""What is asked of `kappamask mask`: checked words, and what of it decides about the pixels of a mask."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

__all__ = ["Asked", "absolute", "bands_of", "cleaning_of", "limits_of", "scheme_of"]

ELSEWHERE = ("threads", "extras")
"""Of `Asked`: what changes no pixel."""


@dataclass(frozen=True)
class Asked:
    """Options of one mask; can be pickled."""

    level: str | None = None
    model: str = "compact"
    radiometry: str = "auto"
    bands: tuple[str, ...] | None = None
    scores: bool = False
    thresholds: dict[str, float] = field(default_factory=dict)
    mosaic: str = "blended"
    resampling: str = "bilinear"
    resolution: int = 10
    scheme: str = "KappaMask"
    cleaning: dict[str, Any] = field(default_factory=dict)
    threads: int = 1
    extras: tuple[str, ...] = ()
    """Of `kappamask.cli.mask_extras.EXTRAS`."""

    def recorded(self, scene: str) -> str:
        """What a mask of `scene` records, by which later runs tell whether they would make the same: JSON."""
        from kappamask.models import card_digest, load_card
        from kappamask.scenes.finished import told_apart

        said = {key: value for key, value in asdict(self).items() if key not in ELSEWHERE}
        card = load_card(self.model)
        made_with = {
            "model": card.sha256,
            "card": card_digest(card),
            "version": version("kappamask-openeo"),
            "scene": told_apart(scene),
        }
        return json.dumps(said | made_with, sort_keys=True)


def absolute(text: str) -> str:
    """A path that exists, whole, so that workers find it; another word or address as it is."""
    path = Path(text)
    return str(path.absolute()) if path.exists() else text


def scheme_of(text: str) -> str:
    """A class scheme as its table spells it."""
    from kappamask.models import CubeError
    from kappamask.models.schemes import OWN, is_own, scheme_of

    try:
        return OWN if is_own(text) else scheme_of(text).name
    except CubeError as error:
        raise typer.BadParameter(str(error), param_hint="--scheme") from error


def bands_of(text: str | None) -> tuple[str, ...] | None:
    """B02,B03,… as labels."""
    from kappamask.models import SceneError
    from kappamask.scenes.names import normalise

    if text is None:
        return None
    try:
        return tuple(normalise(word.strip() for word in text.split(",")))
    except SceneError as error:
        raise typer.BadParameter(str(error), param_hint="--bands") from error


def limits_of(texts: Iterable[str]) -> dict[str, float]:
    """CLASS=SCORE, several."""
    return dict(_pair(text, "--threshold", "CLASS=SCORE, such as cloud=0.3") for text in texts)


def cleaning_of(
    buffers: Iterable[str], min_object_m2: float, fill_holes_m2: float, shadow_length_m: float
) -> dict[str, Any]:
    """Options of `kappamask.udf.clean`, those that do anything; METRES or CLASS=METRES, several, as `buffers`."""
    from kappamask.models import CubeError
    from kappamask.models.cleaning import read_cleaning

    pairs = dict(_buffer(text) for text in buffers)
    if "" in pairs and len(pairs) > 1:
        raise typer.BadParameter("say METRES once, or CLASS=METRES for each class", param_hint="--buffer-m")
    sizes = {"min_object_m2": min_object_m2, "fill_holes_m2": fill_holes_m2, "shadow_length_m": shadow_length_m}
    asked = {"buffer_m": pairs.get("", pairs), **sizes}
    wanted = {name: value for name, value in asked.items() if value}
    try:
        read_cleaning(wanted)
    except CubeError as error:
        raise typer.BadParameter(str(error)) from error
    return wanted


def _buffer(text: str) -> tuple[str, float]:
    return _pair(text if "=" in text else f"={text}", "--buffer-m", "METRES or CLASS=METRES, such as cloud=60")


def _pair(text: str, option: str, needed: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise typer.BadParameter(f"{text.lstrip('=')!r} is no {needed}", param_hint=option) from None
