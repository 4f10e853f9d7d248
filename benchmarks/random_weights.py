"""Build networks with random weights where the real ones are not available.

A time does not depend on them.

Which layers there are, and their shapes, is what the converter itself asks for; they are written as Keras would, and
converted as anybody's file is.
"""

from __future__ import annotations

from collections import Counter
from math import prod, sqrt
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from kappamask.conversion import convert, dl_l8s2_uv
from kappamask.conversion.cards import OFFICIAL
from kappamask.conversion.official_networks import ARCHITECTURES
from kappamask.conversion.onnx_graph import Graph
from kappamask.evaluation.peers import WEIGHTS
from kappamask.models import CardError, load_card

UV_CHANNELS: Final = 6
"""Of the better of the two networks DL_L8S2_UV."""
ONES: Final = ("gamma", "moving_variance")
Weights = dict[str, NDArray[np.float32]]


class RandomWeightReader:
    """Give random weights of the shapes that are asked for, and remember them."""

    def __init__(self) -> None:
        self.layers: dict[str, Weights] = {}
        self.numbers: Counter[str] = Counter()
        self.random = np.random.default_rng(0)

    def next_layer(self, kind: str, **shapes: tuple[int, ...]) -> Weights:
        """Return random weights, as `conversion.onnx_graph.WeightReader` returns a file's."""
        number = self.numbers[kind]
        self.numbers[kind] += 1
        weights = {part: self._draw_kernels(part, shape) for part, shape in shapes.items()}
        self.layers[f"{kind}_{number}" if number else kind] = weights
        return weights

    def _draw_kernels(self, part: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Draw kernels that keep the signal's size, because numbers near 0 are slow."""
        if len(shape) == 1:
            return np.full(shape, part in ONES, np.float32)
        inputs = prod(shape[:2]) * (1 if part == "depthwise_kernel" else shape[2])
        return self.random.standard_normal(shape, np.float32) * np.float32(sqrt(2 / inputs))


def resolve_peer(name: str, folder: Path, *, plain: bool = False) -> tuple[str, bool]:
    """Return the peer to run, and whether its weights are random.

    plain: without Winograd's convolutions, whose products `macs` does not count.
    """
    if name not in WEIGHTS or _is_card(name):
        return name, False
    kind, level = (dl_l8s2_uv.NAME, dl_l8s2_uv.LEVEL) if name == dl_l8s2_uv.NAME else _parse_official(name)
    channels = UV_CHANNELS if kind == dl_l8s2_uv.NAME else len(OFFICIAL[kind, level].bands)
    asked: Any = RandomWeightReader()
    ARCHITECTURES[kind].add_network(Graph(), asked, channels)
    file = folder / f"{name}.hdf5"
    _write(file, asked.layers)
    convert(file, kind, level, folder / name, plain=plain)
    file.unlink()
    return str(folder / name), True


def _parse_official(name: str) -> tuple[str, str]:
    """Architecture and level of `official-LEVEL-ARCHITECTURE`."""
    _, level, kind = name.split("-")
    return kind, level.upper()


def _write(path: Path, layers: dict[str, Weights]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{part}:0".encode() for part in weights]
            for part, array in weights.items():
                group[f"{name}/{part}:0"] = array


def _is_card(name: str) -> bool:
    try:
        load_card(name)
    except CardError:
        return False
    return True
