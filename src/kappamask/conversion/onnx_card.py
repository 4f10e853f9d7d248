"""Write the card of any ONNX network, with defaults for unstated facts.

Needs ONNX Runtime only.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kappamask.conversion.cards import TASK, build_item, describe_input, describe_output
from kappamask.files.atomic import atomic_write
from kappamask.models import CardError, ModelCard, load_card, parse_card, read_weights
from kappamask.models.card import SENTINEL2_BANDS
from kappamask.models.card_document import DEFAULT_COLOR, DEFAULT_COLORS
from kappamask.models.catalog import suggest_nearest
from kappamask.models.hints import option
from kappamask.models.schemes import CLASSES

__all__ = ["OnnxCardOptions", "find_card_faults", "write_onnx_card"]

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
    Raises CardError with all that is missing or does not fit the network, and then writes nothing.
    """
    options = options or OnnxCardOptions()
    if faults := find_card_faults(network, bands, classes, card, options):
        raise CardError(" ".join(faults))
    codes = dict(map(_parse_class, classes))
    data = network.read_bytes()
    source, _ = _read_shapes(network)
    level_plane = bool(source[1] == len(bands) + 1)
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


def find_card_faults(
    network: Path, bands: Sequence[str], classes: Sequence[str], card: Path, options: OnnxCardOptions
) -> list[str]:
    """List what `write_onnx_card` would refuse, so that one message can name it all."""
    faults = [*_find_class_faults(classes), *_find_band_faults(bands, options)]
    if card.resolve().parent != network.resolve().parent:
        faults.append(f"A card lies next to its network: needed is a file in {network.resolve().parent}, not {card}.")
    try:
        source, result = _read_shapes(network)
    except CardError as error:
        return [*faults, str(error)]
    return [*faults, *_find_channel_faults(network.name, bands, classes, source[1], result[1])]


def _read_shapes(network: Path) -> tuple[list[Any], list[Any]]:
    """Return the shapes (n, channel, y, x) of input and output; free sizes are texts."""
    import onnxruntime

    try:
        network.read_bytes()
    except OSError as error:
        raise CardError(f"{network} cannot be read ({error.strerror}); needed is an ONNX file.") from error
    try:
        session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no base class of its own for a file that it cannot load
        raise CardError(f"{network.name} cannot be loaded as an ONNX network: {error}") from error
    sources, results = session.get_inputs(), session.get_outputs()
    if len(sources) != 1 or len(results) != 1 or {len(one.shape) for one in (*sources, *results)} != {4}:
        found = f"{len(sources)} inputs and {len(results)} outputs, {[one.shape for one in (*sources, *results)]}"
        raise CardError(f"{network.name} has {found}; needed is one of each, (n, channel, y, x).")
    return list(sources[0].shape), list(results[0].shape)


def _find_channel_faults(
    name: str, bands: Sequence[str], classes: Sequence[str], inputs: Any, outputs: Any
) -> Iterator[str]:
    """Compare the numbers of channels.

    A network with one channel more than bands takes the level in it.
    """
    if isinstance(inputs, int) and inputs not in (len(bands), len(bands) + 1):
        given = f", and {len(bands)} bands were given ({', '.join(bands)})" if bands else ""
        yield f"{name} has {inputs} input channels{given}."
    if isinstance(outputs, int) and outputs != len(classes):
        given = f", and {len(classes)} classes were given ({', '.join(classes)})" if classes else ""
        yield f"{name} has {outputs} output channels{given}."


def _find_band_faults(bands: Sequence[str], options: OnnxCardOptions) -> Iterator[str]:
    if not bands:
        yield f"No bands: {option('bands')} names the band of each input channel, in order, as B02,B03,B04."
    if unknown := [name for name in (*bands, *options.required) if name not in SENTINEL2_BANDS]:
        yield f"No bands of Sentinel-2: {', '.join(unknown)}; known are {', '.join(SENTINEL2_BANDS)}."
    if bands and (absent := [name for name in options.required if name not in bands]):
        yield f"Required bands that the network does not take: {', '.join(absent)}."
    if options.moments and len(options.moments) != len(bands):
        yield f"{len(options.moments)} means were given for {len(bands)} bands."


def _find_class_faults(classes: Sequence[str]) -> Iterator[str]:
    if not classes:
        yield f"No classes: {option('classes')} names the class of each output channel, in order, as clear,cloud."
    names = [text.partition("=")[0] for text in classes]
    if unknown := [text for text in classes if "=" not in text and text not in CLASSES]:
        found = " ".join(f"No class '{name}'{suggest_nearest(name, CLASSES) or '.'}" for name in unknown)
        yield f"{found} Known are {', '.join(CLASSES)}; another one needs NAME=CODE."
    for text in classes:
        if "=" in text and not text.partition("=")[2].isdecimal():
            yield f"The class '{text}' has no whole number as its code."
    if len({*names}) < len(names):
        yield f"A class is given twice: {', '.join(classes)}."


def _parse_class(text: str) -> tuple[str, int]:
    """Parse NAME or NAME=CODE, which must be right."""
    name, _, code = text.partition("=")
    return name, int(code) if code else CLASSES.index(name)


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
    return [{"type": "z-score", "mean": mean, "stddev": deviation} for mean, deviation in options.moments]


def _choose_window(source: Sequence[Any], options: OnnxCardOptions) -> dict[str, int]:
    """Choose window, overlap and stride; a network of one size has that window."""
    fixed = next((side for side in source[2:] if isinstance(side, int)), None)
    window = options.window or fixed or WINDOW
    stride = options.stride or (window if fixed else STRIDE)
    overlap = min(OVERLAP, window // 8) if options.overlap is None else options.overlap
    return {"kappamask:window": window, "kappamask:overlap": max(1, overlap), "kappamask:stride": stride}
