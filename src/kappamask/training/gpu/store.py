"""Hold arrays in the memory of a GPU."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kappamask.training.simulator.sky import EDGE_PX
from kappamask.training.simulator.tiles import LAYERS, SIZE

__all__ = ["MEMORY_SHARE", "TensorStore", "count_capacity"]

#: Share of the free memory that parts may take.
MEMORY_SHARE: Final = 0.4


class TensorStore:
    """Arrays of one shape in the device's memory, as many as fit."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
        self.memory, self.names = torch.empty(shape, dtype=dtype, device=device), set[str]()

    def new(self, folder: Path, pattern: str) -> list[Path]:
        """List new files as far as there is room.

        Raises FileNotFoundError if there is none, and none was stored before.
        """
        come = [path for path in sorted(folder.glob(pattern)) if path.name not in self.names]
        if not come and not self.names:
            raise FileNotFoundError(f"No {pattern} in {folder}; kappamask train --device cuda makes some.")
        return come[: len(self.memory) - len(self.names)]

    def add(self, path: Path, array: NDArray[Any]) -> None:
        """Store `array`, the content of `path`."""
        self.memory[len(self.names)] = torch.from_numpy(array)
        self.names.add(path.name)

    def cut(self, count: int, width: int, height: int, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.int64]]:
        """Crop pieces (n, planes, height, width) of random arrays; also return their numbers."""
        rows, columns = self.memory.shape[-2:]
        which = rng.integers(len(self.names), size=count)
        y, x = rng.integers(rows - height + 1, size=count), rng.integers(columns - width + 1, size=count)
        cut = [self.memory[i, :, b : b + height, a : a + width] for i, b, a in zip(which, y, x, strict=True)]
        return torch.stack(cut), which


def count_capacity(device: str) -> int:
    """Count the pairs of ground and sky that fit into a CUDA device's free memory.

    Each takes two bytes a value.
    """
    each = 2 * SIZE * (13 * SIZE + (2 * LAYERS + 1) * (SIZE + 2 * EDGE_PX))
    return int(MEMORY_SHARE * torch.cuda.mem_get_info(device)[0] / each)
