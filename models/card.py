"""Define model cards: all that code has to know about a network.

A card is a STAC Item in the words of the machine learning model (MLM) extension, stored as JSON next to
the network. Facts without an MLM word carry the prefix `kappamask:`. Adding a network adds a card and a
file of weights, and touches no Python.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PurePath
from typing import Any

from kappamask.models.errors import CardError

__all__ = [
    "ACTIVATIONS",
    "LEVELS",
    "LEVEL_BANDS",
    "RESAMPLINGS",
    "SENTINEL2_BANDS",
    "Accuracy",
    "ClassValue",
    "ModelCard",
    "Mosaic",
    "Scaling",
]

PADDINGS = ("constant", "symmetric")
"""Beyond the image: zeros, or the image mirrored with its last row and column; words of `numpy.pad`."""
TAPERS = ("crop", "tukey")
ACTIVATIONS = ("none", "softmax")
"""What is still to be done to the network's output so that it holds scores."""
RESAMPLINGS = ("bilinear", "sinc")
"""Kernels that a network may want its 20 and 60 m bands to be brought to 10 m by."""
SENTINEL2_BANDS = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12", "AOT", "WVP",
)  # fmt: skip
"""Labels that a card or a cube may use: the 13 bands of MSI, and two auxiliary layers of Level-2A."""
LEVELS = ("L1C", "L2A")
LEVEL_BANDS = {"B10": "L1C", "AOT": "L2A", "WVP": "L2A", "SCL": "L2A"}
"""Bands that only one product level has."""
MISSING_CODE = 5
"""Class of pixels without data, in every card. It comes from validity; the official networks may answer it as well."""
MAX_SCALED_INPUT = 1e6
"""Magnitude of a scaled input that no network needs."""
NODATA_CODE = 255
"""GeoTIFF nodata outside the requested area; class values stay below it."""


@dataclass(frozen=True)
class Accuracy:
    """Dice of each class on one labelled scene, with only `bands`."""

    bands: tuple[str, ...]
    dice: tuple[tuple[str, float], ...]
    """Class name and dice, 0 to 1."""
    scene: str
    """Name of the labelled file; nothing was trained on it."""

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in self.dice)

    def dice_loss(self, other: "Accuracy") -> Mapping[str, float]:
        """Return how much lower each dice is than with the bands of `other`."""
        best = dict(other.dice)
        return {name: best[name] - value for name, value in self.dice if name in best}


@dataclass(frozen=True)
class Mosaic:
    """How the network's own tool lays its windows.

    Windows of `ModelCard.window` px lie every `step` px; the first begins `before` px outside the image.
    """

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
            _check(holds, f"the card's mosaic: {broken}")


@dataclass(frozen=True)
class Scaling:
    """Scaling of one band: `gain * value + bias`, and never below `lower`.

    value: reflectance, or the stored number / 10000 for AOT and WVP.
    """

    gain: float
    bias: float
    lower: float = float("-inf")

    def __post_init__(self) -> None:
        _check(isfinite(self.gain) and self.gain != 0, f"a scaling has gain {self.gain}; it must be finite and not 0")
        _check(isfinite(self.bias), f"a scaling has bias {self.bias}; it must be finite")
        _check(
            self.lower < MAX_SCALED_INPUT,
            f"a scaling has the lower limit {self.lower}; it must be a number below {MAX_SCALED_INPUT:g}",
        )


@dataclass(frozen=True)
class ClassValue:
    """One class of the mask: its code, its name and a colour as RRGGBB."""

    value: int
    name: str
    color_hint: str
    description: str = ""

    def __post_init__(self) -> None:
        _check(0 <= self.value < NODATA_CODE, f"class '{self.name}' has value {self.value}; needed is 0 to 254")
        _check(_is_hex(self.color_hint, 6), f"class '{self.name}' has colour '{self.color_hint}'; needed is RRGGBB")


@dataclass(frozen=True)
class ModelCard:
    """A network as its card describes it.

    Input is float32 `(n, channel, y, x)`: the bands in order, each scaled, then, if `level_plane`, one
    channel that is 0 for L1C and 1 for L2A. Output is float32 `(n, class, y, x)` scores.
    """

    id: str
    title: str
    levels: tuple[str, ...]
    bands: tuple[str, ...]
    """Input channels, in order."""
    required: frozenset[str]
    """Bands without which no mask is made; the others are used where the cube has them."""
    scaling: tuple[Scaling, ...]
    """One for each band."""
    fill: float
    """What the network is given, after scaling, for a band or pixel that is absent."""
    level_plane: bool
    window: int
    """Side of the square that the network is run on in a back-end's worker, in pixels of 10 m, overlap included."""
    local_window: int
    """The same on a user's own machine, whose memory allows more; a worker takes `window` for a larger chunk, too."""
    overlap: int
    """Pixels at each side of a window that a neighbour's window also covers."""
    stride: int
    """Sides of the input must be a multiple of this many pixels."""
    classes: tuple[ClassValue, ...]
    """Every value that a mask may hold."""
    output: tuple[int, ...]
    """Class value of each output channel."""
    licence: str
    provenance: str
    file: str
    """Name of the network's file, next to the card."""
    sha256: str
    activation: str = "none"
    """What turns the network's output into scores: "none" or "softmax" over the classes."""
    least_side: int = 1
    """Pixels that the input has at least, along each side; a smaller image is reflected up to it."""
    substitutes: tuple[tuple[str, str], ...] = ()
    """Pairs of bands: the first, where it is absent, takes the values of the second."""
    resampling: str | None = None
    """Kernel that brings bands of 20 and 60 m to 10 m where a back-end has repeated pixels; None leaves them so."""
    mosaic: Mosaic | None = None
    """How the network's own tool lays its windows, where that is known."""
    accuracy: tuple[Accuracy, ...] = ()
    """What was measured with all and with fewer bands; empty where nothing was."""
    folder: Path = Path()
    """Where card and network lie."""
    document: str = "card.json"
    """Name of the card's own file in there."""

    def __post_init__(self) -> None:
        for holds, broken in self._list_invariants():
            _check(holds, f"card '{self.id}': {broken}")

    def _list_invariants(self) -> list[tuple[bool, str]]:
        values, names = [c.value for c in self.classes], [(c.name, c.value) for c in self.classes]
        unknown = sorted(set(self.bands) - set(SENTINEL2_BANDS))
        return [
            (bool(self.id) and PurePath(self.id).name == self.id, "id must be a plain name"),
            (bool(self.levels) and set(self.levels) <= set(LEVELS), f"levels are {self.levels}; known are {LEVELS}"),
            (bool(self.bands) and not unknown, f"bands {unknown} are not among {', '.join(SENTINEL2_BANDS)}"),
            (len(set(self.bands)) == len(self.bands), "a band is named twice"),
            (bool(self.required) and self.required <= set(self.bands), "required bands must be among the bands"),
            (len(self.scaling) == len(self.bands), f"{len(self.scaling)} scalings for {len(self.bands)} bands"),
            (
                self._has_substitutes(),
                "substitutes must name two different bands of the card, neither of them required",
            ),
            (abs(self.fill) < MAX_SCALED_INPUT, f"fill must be finite and below {MAX_SCALED_INPUT:g}"),
            (self._fits_stride(self.window, self.local_window), "window must be a multiple of the stride"),
            (1 <= self.least_side <= self.window, "least_side must be from 1 to the window"),
            (self.local_window >= self.window, "local_window must be as large as window, or larger"),
            (self.window >= self.stride and 0 < 2 * self.overlap < self.window, "overlap must fit in the window"),
            (len(set(values)) == len(values), "a class value is given twice"),
            (("missing", MISSING_CODE) in names, f"class {MISSING_CODE} must be 'missing'"),
            (bool(self.output) and set(self.output) <= set(values), "output classes must be among the classes"),
            (len(set(self.output)) == len(self.output), "two output channels have the same class"),
            (self.activation in ACTIVATIONS, f"activation must be one of {', '.join(ACTIVATIONS)}"),
            (self.resampling in (None, *RESAMPLINGS), f"resampling must be one of {', '.join(RESAMPLINGS)}"),
            (self.mosaic is None or self.mosaic.step <= self.window, "the mosaic's step must fit in the window"),
            (
                PurePath(self.file).name == self.file and self.file.endswith(".onnx"),
                "file must be NAME.onnx in its folder",
            ),
            (all({*one.bands} <= {*self.bands} for one in self.accuracy), "accuracy must be of the card's own bands"),
            (_is_hex(self.sha256, 64), "file:checksum must be a sha256 multihash (1220 and 64 hex digits)"),
        ]

    def _fits_stride(self, *sides: int) -> bool:
        return self.stride >= 1 and all(side % self.stride == 0 for side in sides)

    def _has_substitutes(self) -> bool:
        return all({*pair} <= {*self.bands} - self.required and pair[0] != pair[1] for pair in self.substitutes)

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return len(self.bands) + self.level_plane

    @property
    def output_names(self) -> tuple[str, ...]:
        """Class name of each output channel."""
        return tuple(next(c.name for c in self.classes if c.value == value) for value in self.output)

    def result_bands(self, scores: bool = False) -> list[str]:
        """List the bands that the UDF returns: `mask`, and scores if asked for."""
        return ["mask", *(f"score_{name}" for name in self.output_names)] if scores else ["mask"]


def _is_hex(text: Any, digits: int) -> bool:
    return isinstance(text, str) and len(text) == digits and set(text.lower()) <= set("0123456789abcdef")


def _check(holds: bool, broken: str) -> None:
    if not holds:
        raise CardError(broken)
