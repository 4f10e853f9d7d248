"""How the tool that a network comes with lays its windows, for those who compare with that tool's masks."""

from dataclasses import dataclass

from kappamask.models.errors import CardError

__all__ = ["ACTIVATIONS", "RESAMPLINGS", "Mosaic"]

PADDINGS = ("constant", "symmetric")
"""Beyond the image: zeros, or the image mirrored with its last row and column; words of `numpy.pad`."""
TAPERS = ("crop", "tukey")
ACTIVATIONS = ("none", "softmax")
"""What is still to be done to the network's output so that it holds scores."""

RESAMPLINGS = ("bilinear", "sinc")
"""Kernels that a network may want its 20 and 60 m bands to be brought to 10 m by."""


@dataclass(frozen=True)
class Mosaic:
    """Windows of `ModelCard.window` px every `step` px, the first one beginning `before` px outside the image."""

    step: int
    before: int
    padding: str
    taper: str
    """"crop": of each window the outer `amount` px are left out; "tukey": Tukey's window, tapered over the share
    `amount` of its length, weighs the scores."""
    amount: float

    def __post_init__(self) -> None:
        for holds, broken in (
            (self.step >= 1, f"step is {self.step}; it must be at least 1"),
            (self.before >= 0, f"before is {self.before}; it must not be negative"),
            (self.padding in PADDINGS, f"padding is '{self.padding}'; known are {', '.join(PADDINGS)}"),
            (self.taper in TAPERS, f"taper is '{self.taper}'; known are {', '.join(TAPERS)}"),
            (self.amount >= 0, f"amount is {self.amount}; it must not be negative"),
        ):
            if not holds:
                raise CardError(f"the card's mosaic: {broken}")
