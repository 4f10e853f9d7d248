"""What a network was measured to be worth with fewer bands, as its card tells."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Accuracy", "accuracy_with"]


@dataclass(frozen=True)
class Accuracy:
    """Dice of each class on one labelled scene, of which only `bands` were shown to the network."""

    bands: tuple[str, ...]
    dice: tuple[tuple[str, float], ...]
    """Class name and dice, 0 to 1."""
    scene: str
    """Name of the labelled file; nothing was trained on it."""

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in self.dice)

    def lost(self, other: "Accuracy") -> Mapping[str, float]:
        """By how much the dice of each class is lower than with the bands of `other`."""
        best = dict(other.dice)
        return {name: best[name] - value for name, value in self.dice if name in best}


def accuracy_with(measured: Sequence[Accuracy], bands: Collection[str]) -> Accuracy | None:
    """Of what was measured, that with most of `bands` and no other band; None if nothing was measured with so few."""
    within = [one for one in measured if set(one.bands) <= set(bands)]
    return max(within, key=lambda one: len(one.bands), default=None)
