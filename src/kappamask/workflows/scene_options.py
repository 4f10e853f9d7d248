"""Options of a mask, and the record by which later runs recognise it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from typing import Any, Self

from kappamask.models import SceneError
from kappamask.models.cleaning import CleaningOptions
from kappamask.models.mask_options import MaskOptions
from kappamask.workflows.mask_files import scene_fingerprint

__all__ = ["EXTRAS", "SceneOptions"]

NO_PIXEL = ("threads", "extras")
"""Fields of `SceneOptions` that change no pixel."""
EXTRAS = {"quicklook": ".png", "report": ".html", "style": ".qml", "stac": ".json"}
"""Word -> suffix of the file, which has the mask's name; the item, last, lists the others."""
CLEANING = tuple(CleaningOptions.__annotations__)
"""Options of `kappamask.udf.clean`, which may be given besides the fields."""


@dataclass(frozen=True, kw_only=True)
class SceneOptions(MaskOptions):
    """Options of the mask of one scene; can be pickled."""

    model: str = "compact"
    """Id of a card, or the path of one: a record names it."""
    resampling: str = "bilinear"
    """Of coarser bands: "nearest", "bilinear", "cubic" or "sinc"."""
    resolution: int = 10
    """Metres: 10 or 20."""
    scheme: str = "KappaMask"
    """Class scheme of the mask, or "bits"."""
    cleaning: dict[str, Any] = field(default_factory=dict)
    """Options of `kappamask.udf.clean`, such as {"buffer_m": 60}."""
    pixel_m: float | None = None
    """Metres: side of the scene's pixels, where it does not say."""
    extras: tuple[str, ...] = ()
    """Files next to the mask: "quicklook", "report", "style", "stac"."""

    def __post_init__(self) -> None:
        """Raise SceneError for an unknown extra."""
        if unknown := [word for word in self.extras if word not in EXTRAS]:
            raise SceneError(f"extras {', '.join(unknown)}: known are {', '.join(EXTRAS)}.")
        for name in ("thresholds", "cleaning"):  # 20 and 20.0 are one option, in records too
            object.__setattr__(self, name, {key: _to_float(value) for key, value in getattr(self, name).items()})

    def with_changes(self, **changes: Any) -> Self:
        """Return a copy with some fields, or options of `kappamask.udf.clean`, changed.

        Raises SceneError for a name that is neither.
        """
        known = [one.name for one in fields(self)]
        if unknown := [name for name in changes if name not in (*known, *CLEANING)]:
            raise SceneError(f"No option {', '.join(unknown)}: known are {', '.join((*known, *CLEANING))}.")
        cleaning = {name: changes.pop(name) for name in CLEANING if name in changes}
        for name in ("bands", "extras"):
            if isinstance(changes.get(name), Sequence) and not isinstance(changes[name], str):
                changes[name] = tuple(changes[name])
        if cleaning:
            changes["cleaning"] = {**self.cleaning, **changes.get("cleaning", {}), **cleaning}
        return replace(self, **changes)

    @property
    def mask_pixel_m(self) -> float | None:
        """Side of the mask's pixels in metres, where the scene does not say."""
        halved = self.pixel_m is not None and self.resolution > self.pixel_m
        return float(self.resolution) if halved else self.pixel_m

    def make_record(self, scene: str) -> str:
        """Describe, as JSON, how a mask of `scene` is made; equal records mean equal masks."""
        from kappamask.models import card_digest, load_card
        from kappamask.udf.inference import check_device

        options = {key: value for key, value in asdict(self).items() if key not in NO_PIXEL}
        if self.pixel_m is None:  # masks from before there was the option stay as they are
            del options["pixel_m"]
        options["device"] = check_device(self.device)
        if options["device"] == "cpu":  # likewise
            del options["device"]
        card = load_card(self.model)
        made_with = {
            "model": card.sha256,
            "card": card_digest(card),
            "version": version("kappamask-openeo"),
            "scene": scene_fingerprint(scene),
        }
        return json.dumps(options | made_with, sort_keys=True)


def _to_float(value: Any) -> Any:
    """Convert whole numbers, also those inside a mapping; other values stay."""
    if isinstance(value, Mapping):
        return {key: _to_float(one) for key, one in value.items()}
    return float(value) if isinstance(value, int) else value
