"""Skies and grounds in the memory of the device that trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kappamask.training.parts import LAYERS
from kappamask.training.sky import EDGE_PX
from kappamask.training.tiles import SIZE

#: Share of the free memory that parts may take.
MEMORY_SHARE: Final = 0.4


class Store:
    """Arrays of one shape in the device's memory, as many as there is room for."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
        self.memory, self.names = torch.empty(shape, dtype=dtype, device=device), set[str]()

    def new(self, folder: Path, pattern: str) -> list[Path]:
        """Files that have come and find room. Raises FileNotFoundError if there is none, and none has come before."""
        come = [path for path in sorted(folder.glob(pattern)) if path.name not in self.names]
        if not come and not self.names:
            raise FileNotFoundError(f"No {pattern} in {folder}; kappamask train --device cuda makes some.")
        return come[: len(self.memory) - len(self.names)]

    def add(self, path: Path, array: NDArray[Any]) -> None:
        """Keep `array`, which `path` holds."""
        self.memory[len(self.names)] = torch.from_numpy(array)
        self.names.add(path.name)

    def cut(self, count: int, width: int, height: int, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.int64]]:
        """Pieces (n, planes, height, width) of arrays drawn at random, and the arrays' numbers (n,)."""
        rows, columns = self.memory.shape[-2:]
        which = rng.integers(len(self.names), size=count)
        y, x = rng.integers(rows - height + 1, size=count), rng.integers(columns - width + 1, size=count)
        cut = [self.memory[i, :, b : b + height, a : a + width] for i, b, a in zip(which, y, x, strict=True)]
        return torch.stack(cut), which


def room_on(device: str) -> int:
    """Pairs of a ground and a sky that fit into the free memory of a CUDA device; each takes two bytes a value."""
    each = 2 * SIZE * (13 * SIZE + (2 * LAYERS + 1) * (SIZE + 2 * EDGE_PX))
    return int(MEMORY_SHARE * torch.cuda.mem_get_info(device)[0] / each)
