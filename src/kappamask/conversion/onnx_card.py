"""Write the card of any ONNX network, with defaults for unstated facts.

Needs ONNX Runtime only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kappamask.conversion.cards import TASK, build_item, describe_input, describe_output
from kappamask.files.atomic import atomic_write
from kappamask.models import CardError, ModelCard, load_card, parse_card, read_weights
from kappamask.models.card_document import DEFAULT_COLOR, DEFAULT_COLORS
from kappamask.models.catalog import suggest_nearest
from kappamask.models.schemes import CLASSES

__all__ = ["OnnxCardOptions", "write_onnx_card"]

WINDOW: Final = 512
"""Side of the square that a network without a size of its own is run on, px."""
OVERLAP: Final = 32
STRIDE: Final = 32
"""Five halvings, as most U-Nets have."""
MISSING: Final = CLASSES.index("missing")


@dataclass(frozen=True)
class OnnxCardOptions:
    """What the file of a network does not say; each has a default."""

    name: str = ""
    """Id and title; left out, the name of the file."""
    levels: Sequence[str] = ("L1C", "L2A")
    required: Sequence[str] = ()
    """Bands without which no mask is made; left out, all."""
    moments: Sequence[tuple[float, float]] = ()
    """Mean and standard deviation of each band, in reflectance; left out, reflectance is given as it is."""
    softmax: bool = False
    """Whether the network gives logits, which softmax makes scores of."""
    licence: str = "other"
    provenance: str = ""
    window: int | None = None
    overlap: int | None = None
    stride: int | None = None


def write_onnx_card(
    network: Path, bands: Sequence[str], classes: Sequence[str], card: Path, options: OnnxCardOptions | None = None
) -> ModelCard:
    """Write the card of the ONNX file `network`, and return it.

    card: path of the JSON file, in the folder of the network.
    bands: of each input channel, in order; a network with one channel more takes the level in it.
    classes: KappaMask's name of each output channel, or NAME=CODE for a class that KappaMask has not.
    Raises CardError if bands or classes do not fit the network, or the file cannot be read, and then writes nothing.
    """
    options = options or OnnxCardOptions()
    if card.resolve().parent != network.resolve().parent:
        raise CardError(f"A card lies next to its network: needed is a file in {network.resolve().parent}, not {card}.")
    codes = _parse_classes(classes)
    try:
        data = network.read_bytes()
    except OSError as error:
        raise CardError(f"{network} cannot be read ({error.strerror}); needed is an ONNX file.") from error
    source, result = _read_shapes(network)
    level_plane = _check_channels(network.name, bands, codes, source[1], result[1])
    properties = {
        "datetime": datetime.fromtimestamp(network.stat().st_mtime, UTC).isoformat(),
        "license": options.licence,
        "mlm:name": options.name or network.stem,
        **TASK,
        "mlm:input": [
            describe_input("Sentinel-2 reflectance", bands, _list_scalings(bands, options), len(bands) + level_plane)
        ],
        "mlm:output": [describe_output("score of each class", _list_classes(codes), len(codes))],
        "kappamask:levels": list(options.levels),
        "kappamask:required_bands": list(options.required or bands),
        "kappamask:fill": 0.0,
        "kappamask:level_plane": level_plane,
        **_choose_window(source, options),
        **({"kappamask:activation": "softmax"} if options.softmax else {}),
        "kappamask:output_values": list(codes.values()),
        "kappamask:provenance": options.provenance or f"not stated; card written from {network.name}",
    }
    document = build_item(options.name or network.stem, properties, data, network.name)
    parse_card(document, card.name)
    with atomic_write(card) as draft:
        draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    made = load_card(card)
    read_weights(made)
    return made


def _read_shapes(network: Path) -> tuple[list[Any], list[Any]]:
    """Return the shapes (n, channel, y, x) of input and output; free sizes are texts."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no base class of its own for a file that it cannot load
        raise CardError(f"{network.name} cannot be loaded as an ONNX network: {error}") from error
    sources, results = session.get_inputs(), session.get_outputs()
    if len(sources) != 1 or len(results) != 1 or {len(one.shape) for one in (*sources, *results)} != {4}:
        found = f"{len(sources)} inputs and {len(results)} outputs, {[one.shape for one in (*sources, *results)]}"
        raise CardError(f"{network.name} has {found}; needed is one of each, (n, channel, y, x).")
    return list(sources[0].shape), list(results[0].shape)


def _check_channels(name: str, bands: Sequence[str], codes: Mapping[str, int], inputs: Any, outputs: Any) -> bool:
    """Return whether the network takes the level in a channel after the bands."""
    if isinstance(inputs, int) and inputs not in (len(bands), len(bands) + 1):
        raise CardError(f"{name} has {inputs} input channels, and {len(bands)} bands were given ({', '.join(bands)}).")
    if isinstance(outputs, int) and outputs != len(codes):
        raise CardError(f"{name} has {outputs} output channels, and {len(codes)} classes were given.")
    return bool(inputs == len(bands) + 1)


def _parse_classes(texts: Sequence[str]) -> dict[str, int]:
    """Parse NAME or NAME=CODE of each output channel."""
    codes: dict[str, int] = {}
    for text in texts:
        name, _, code = text.partition("=")
        if not code and name not in CLASSES:
            hint = suggest_nearest(name, CLASSES)
            raise CardError(f"No class '{name}'{hint}: known are {', '.join(CLASSES)}; another one needs NAME=CODE.")
        if code and not code.isdecimal():
            raise CardError(f"The class '{text}' has no whole number as its code.")
        codes[name] = int(code) if code else CLASSES.index(name)
    if len(codes) < len(texts):
        raise CardError(f"A class is given twice: {', '.join(texts)}.")
    return codes


def _list_classes(codes: Mapping[str, int]) -> list[dict[str, Any]]:
    """List the classes of a mask: the network's, and missing."""
    every = dict(sorted(({"missing": MISSING} | dict(codes)).items(), key=lambda pair: pair[1]))
    return [
        {"value": code, "name": name, "color_hint": DEFAULT_COLORS.get(code, DEFAULT_COLOR)}
        for name, code in every.items()
    ]


def _list_scalings(bands: Sequence[str], options: OnnxCardOptions) -> list[dict[str, Any]]:
    if not options.moments:
        return [{"type": "scale", "value": 1.0} for _ in bands]
    if len(options.moments) != len(bands):
        raise CardError(f"{len(options.moments)} means were given for {len(bands)} bands.")
    return [{"type": "z-score", "mean": mean, "stddev": deviation} for mean, deviation in options.moments]


def _choose_window(source: Sequence[Any], options: OnnxCardOptions) -> dict[str, int]:
    """Choose window, overlap and stride; a network of one size has that window."""
    fixed = next((side for side in source[2:] if isinstance(side, int)), None)
    window = options.window or fixed or WINDOW
    stride = options.stride or (window if fixed else STRIDE)
    overlap = min(OVERLAP, window // 8) if options.overlap is None else options.overlap
    return {"kappamask:window": window, "kappamask:overlap": max(1, overlap), "kappamask:stride": stride}
