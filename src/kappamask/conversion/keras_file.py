"""Read the weights of a Keras 2 file, in the order of its layers.

`save_weights` or a whole model.

Files name their layers `conv2d`, `conv2d_1`, … by kind; the numbers begin anywhere if other networks were built in the
same process before, and files list layers in one of two orders. So kind and rank alone identify a layer.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from kappamask.models.errors import ConversionError

__all__ = [
    "Layer",
    "read_layers",
]

Array = NDArray[np.float32]
LARGEST: Final = 2**30
"""Bytes of all weights together; the official U-Net has 124 million."""


@dataclass(frozen=True)
class Layer:
    """One layer: its name in the file, and its weights by short names.

    `kernel`, `bias`, `gamma`, …
    """

    name: str
    weights: dict[str, Array]


def read_layers(path: Path) -> dict[str, list[Layer]]:
    """Read the layers with weights of the file at `path`, by kind.

    `conv2d` and so on, in the order of their numbers.

    Raises ConversionError if it is no HDF5 file, is cut off, holds no Keras weights, refers to other files, or declares
    more than `LARGEST` bytes.
    """
    if not path.is_file():
        raise ConversionError(f"No file {path}.")
    try:
        with h5py.File(path, "r") as file:
            return _sort_layers(path, file.get("model_weights", file))
    except ConversionError:
        raise
    except Exception as error:  # parsers of damaged bytes raise all kinds
        raise ConversionError(f"{path.name} cannot be read as HDF5: {error}.") from error


def _sort_layers(path: Path, root: Any) -> dict[str, list[Layer]]:
    names = list(_read_texts(root, "layer_names"))
    if not names:
        raise ConversionError(f"{path.name} holds no Keras weights: it has no layer_names.")
    kinds: dict[str, list[tuple[int, Layer]]] = defaultdict(list)
    room = LARGEST
    for name in names:
        places = list(_read_texts(root[name], "weight_names"))
        room -= sum(_measure_size(path, root[name], place) for place in places)
        if room < 0:
            raise ConversionError(f"{path.name} declares more than {LARGEST} bytes of weights: no KappaMask network.")
        if places:
            kind, number = _parse_kind(name)
            kinds[kind].append((number, Layer(name, _read_weights(path, root[name], places))))
    return {kind: [layer for _, layer in sorted(found, key=lambda pair: pair[0])] for kind, found in kinds.items()}


def _read_texts(node: Any, key: str) -> Iterator[str]:
    """Read an attribute that lists names.

    Keras cuts a long one into `key0`, `key1`, …
    """
    whole = (
        [key] if key in node.attrs else sorted((a for a in node.attrs if re.fullmatch(key + r"\d+", a)), key=_last_part)
    )
    for part in whole:
        for text in node.attrs[part]:
            yield text.decode() if isinstance(text, bytes) else str(text)


def _last_part(name: str) -> int:
    return int(re.sub(r"\D", "", name))


def _parse_kind(name: str) -> tuple[str, int]:
    """Parse kind and number: `conv2d_23` is number 23 of conv2d, the first has none."""
    found = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
    assert found
    return found[1], int(found[2] or 0)


def _measure_size(path: Path, group: Any, place: str) -> int:
    """Return the bytes that reading a dataset takes.

    Raises ConversionError where it does not lie in the file itself.
    """
    link = group.get(place, getlink=True)
    node = group.get(place)
    if not isinstance(link, h5py.HardLink) or not isinstance(node, h5py.Dataset) or node.is_virtual or node.external:
        raise ConversionError(f"{path.name}: {place} does not lie in the file itself.")
    if node.dtype.kind != "f":
        raise ConversionError(f"{path.name}: {place} holds {node.dtype}; numbers are needed.")
    return int(prod(node.shape)) * 4


def _read_weights(path: Path, group: Any, places: list[str]) -> dict[str, Array]:
    found = {place.rpartition("/")[2].partition(":")[0]: np.asarray(group[place][()], np.float32) for place in places}
    if not all(np.isfinite(array).all() for array in found.values()):
        raise ConversionError(f"{path.name}: {group.name} holds weights that are no numbers.")
    return found
