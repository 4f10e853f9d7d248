"""Random weights of the official architectures, in the layouts that Keras 2 writes.

It needs numpy and h5py only.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

UNET = (64, 128, 256, 512, 1024)
SEPARABLE = [(64, 128), (128, 128), (128, 256), (256, 256), (256, 728), (728, 728)]
SEPARABLE += [(728, 728)] * 25 + [(728, 1024)]
RANGES = {"gamma": (0.6, 1.4), "moving_variance": (1.5, 3.0)}
Shapes = dict[str, dict[str, tuple[int, ...]]]


def shapes(architecture: str, channels: int) -> Shapes:
    """List the layers in the order in which Keras makes them, with their weights' shapes."""
    return _unet(channels) if architecture == "unet" else _deeplab(channels)


def _convolution(size: int, inputs: int, outputs: int, *, bias: bool) -> dict[str, tuple[int, ...]]:
    return {"kernel": (size, size, inputs, outputs)} | ({"bias": (outputs,)} if bias else {})


def _unet(channels: int) -> Shapes:
    found, before = [], channels
    for filters in UNET:
        found += [(3, before, filters), (3, filters, filters)]
        before = filters
    for filters in UNET[-2::-1]:
        found += [(2, 2 * filters, filters), (3, 2 * filters, filters), (3, filters, filters)]
    found += [(3, 64, 2), (1, 2, 6)]
    return {_name("conv2d", i): _convolution(*layer, bias=True) for i, layer in enumerate(found)}


def _deeplab(channels: int) -> Shapes:
    """List the layers whose weights are saved.

    Number 5 of the convolutions and 37 to 39 of the normalisations end the extractor and are never saved.
    """
    plain = [(3, channels, 32), (3, 32, 64), (1, 64, 128), (1, 128, 256), (1, 256, 728), None, (1, 1024, 256)]
    plain += [(1, 1024, 256), (3, 1024, 256), (3, 1024, 256), (3, 1024, 256), (1, 1280, 256), (1, 256, 48)]
    plain += [(3, 304, 256), (3, 256, 256), (1, 256, 6)]
    kept = [(i, layer) for i, layer in enumerate(plain) if layer is not None]
    out = {_name("conv2d", i): _convolution(*layer, bias=i in (6, 15)) for i, layer in kept}
    for i, (inputs, outputs) in enumerate(SEPARABLE):
        kernels = {"depthwise_kernel": (3, 3, inputs, 1), "pointwise_kernel": (1, 1, inputs, outputs)}
        out[_name("separable_conv2d", i)] = kernels
    for i, width in enumerate(_normalisation_widths()):
        if width:
            parts = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (width,))
            out[_name("batch_normalization", i)] = parts
    return out


def _normalisation_widths() -> list[int]:
    entry = [32, 64, 128, 128, 128, 256, 256, 256, 728, 728, 728]
    return [*entry, *[728] * 24, 728, 1024, 0, 0, 0, 256, 256, 256, 256, 256, 256, 48, 256, 256]


def _name(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def weights(architecture: str, channels: int, seed: int = 0) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each layer's weights: kernels that keep the signal's size, normalisations that do something."""
    rng = np.random.default_rng(seed)
    for layer, parts in shapes(architecture, channels).items():
        yield layer, {part: _draw_weights(part, shape, rng) for part, shape in parts.items()}


def _draw_weights(part: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if part in RANGES:
        return rng.uniform(*RANGES[part], shape).astype(np.float32)
    if len(shape) == 1:
        return rng.normal(0, 0.1, shape).astype(np.float32)
    depthwise = part == "depthwise_kernel"
    kernel = rng.standard_normal(shape, np.float32)
    # With a mean of 0 a filter answers to what changes, so that every class wins somewhere.
    kernel -= 0 if depthwise or shape[2] < 8 else kernel.mean(axis=(0, 1, 2))
    fan_in = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
    return (kernel * np.float32(np.sqrt(1.6 / fan_in))).astype(np.float32)


def write(
    path: Path, architecture: str, channels: int, *, seed: int = 0, first: int = 0, whole: bool = False,
    reverse: bool = False, texts: type = bytes, change: Mapping[str, dict[str, np.ndarray]] | None = None,
) -> Path:  # fmt: skip
    """Write an HDF5 file as `save_weights` does, or `whole` as `save` does.

    first: what the numbers of the layers begin with. reverse: the other order of layers. change: weights to replace.
    """
    drawn = weights(architecture, channels, seed)
    layers = {_shift_number(name, first): parts for name, parts in drawn} | dict(change or {})
    names = ["input", *layers, "dropout"]
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        listed = names[::-1] if reverse else names
        root.attrs["layer_names"] = [n.encode() for n in listed] if texts is bytes else listed
        root.attrs["backend"], root.attrs["keras_version"] = "tensorflow", "2.15.0"
        for name in names:
            parts = layers.get(name, {})
            group = root.create_group(name)
            places = [f"{name}/{part}:0" for part in parts]
            group.attrs["weight_names"] = [p.encode() for p in places] if texts is bytes else places
            for place, array in zip(places, parts.values(), strict=True):
                group[place] = array
    return path


def _shift_number(name: str, first: int) -> str:
    kind, _, number = name.rpartition("_")
    kind, number = (kind, int(number)) if number.isdigit() else (name, 0)
    return _name(kind, number + first)


def image(channels: int, side: int, seed: int = 1) -> np.ndarray:
    """Scaled input (channels, side, side), smooth and rough, from 0 to about 1.2."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((channels, side // 16, side // 16), np.float32)
    fine = rng.random((channels, side, side), np.float32)
    return np.kron(coarse, np.ones((16, 16), np.float32)) * np.float32(0.9) + fine * np.float32(0.3)
