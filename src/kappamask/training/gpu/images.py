"""Shift, blur, resample, rotate and crop whole batches of images on the GPU."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kappamask.training.augmentation import FILL, NODATA_SHARE
from kappamask.training.batches import Batch
from kappamask.training.simulator.sky import EDGE_PX
from kappamask.training.simulator.spectra import MEAN, NATIVE_M
from kappamask.training.simulator.tiles import KERNELS

__all__ = [
    "blur",
    "create_generator",
    "drop_nodata_corners",
    "resample_to_native",
    "shift_bands",
    "to_device_of",
    "to_planes",
    "turn_each",
    "zoom",
]

#: PyTorch has no Lanczos kernel; where the table of kernels names it, the cubic one stands in.
MODES: Final = {"nearest": "nearest", "bilinear": "bilinear", "cubic": "bicubic", "sinc": "bicubic"}


def shift_bands(plane: Tensor, rows: Any) -> Tensor:
    """Shift `plane` (n, y + 48, x) by `rows` (n, 13), once per band.

    Returns (n, 13, y, x).
    """
    count, height = len(plane), plane.shape[1] - 2 * EDGE_PX
    index = to_device_of(rows, plane).long()[..., None] + EDGE_PX + torch.arange(height, device=plane.device)
    return plane[torch.arange(count, device=plane.device)[:, None, None], index]


def blur(plane: Tensor, sigma: float) -> Tensor:
    """Blur `plane` (n, y, x) by a Gaussian of `sigma` px, cut at four deviations."""
    reach = int(4 * sigma + 0.5)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=plane.device) / sigma) ** 2)
    kernel = (line / line.sum())[None, None, None]
    wide = functional.pad(plane[:, None], (reach,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(wide, kernel), kernel.transpose(2, 3))[:, 0]


def resample_to_native(scene: Tensor, pixel_m: Sequence[float], rng: np.random.Generator) -> Tensor:
    """Resample as `resample.blur_to_native` does, with a kernel for each sample."""
    kinds = [(size, str(rng.choice(list(KERNELS)))) for size in pixel_m]
    out = scene.clone()
    for size, kernel in sorted(set(kinds)):
        which = torch.tensor([i for i, kind in enumerate(kinds) if kind == (size, kernel)], device=scene.device)
        for step in {round(native / size) for native in NATIVE_M} - {0, 1}:
            bands = torch.tensor([b for b, native in enumerate(NATIVE_M) if round(native / size) == step])
            index = which[:, None], bands.to(scene.device)[None]
            out[index] = _average_and_enlarge(scene[index], step, MODES[kernel])
    return out.clip(min=1e-4)


def _average_and_enlarge(image: Tensor, step: int, mode: str) -> Tensor:
    height, width = image.shape[-2:]
    whole = functional.pad(image, (0, -width % step, 0, -height % step), mode="replicate")
    coarse = functional.avg_pool2d(whole, step)
    corners = {} if mode == "nearest" else {"align_corners": False}
    return functional.interpolate(coarse, scale_factor=float(step), mode=mode, **corners)[..., :height, :width]


def turn_each(wholes: Sequence[Tensor], rng: np.random.Generator) -> list[Tensor]:
    """Rotate and flip each sample at random, as `augmentation.rotate` does with one."""
    ways, turned = rng.integers(8, size=len(wholes[0])), [whole.clone() for whole in wholes]
    for way in range(1, 8):
        which = torch.from_numpy(np.flatnonzero(ways == way)).to(wholes[0].device)
        for whole in turned:
            part = torch.rot90(whole[which], way % 4, (-2, -1))
            whole[which] = part.flip(-1) if way >= 4 else part
    return turned


def zoom(image: Tensor, truth: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Resize both to `size` pixels.

    The image by means or bilinearly, the truth to the nearest pixel.
    """
    side = image.shape[-1]
    if side == size:
        return image, truth
    index = ((torch.arange(size, device=truth.device) + 0.5) * side / size).long()
    mode = "area" if side > size else "bilinear"
    return functional.interpolate(image, (size, size), mode=mode), truth[:, index][:, :, index]


def drop_nodata_corners(batch: Batch, rng: np.random.Generator) -> Batch:
    """Fill one side of a slanted line in some samples; it is not judged."""
    size, count = batch.image.shape[-1], len(batch.image)
    angle, offset = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.0, 0.45, count)
    offset[rng.random(count) >= NODATA_SHARE] = 2.0
    line = np.stack([np.cos(angle), np.sin(angle), offset]).astype(np.float32)
    cosine, sine, limit = torch.from_numpy(line).to(batch.image.device)[:, :, None, None]
    grid = torch.arange(size, device=batch.image.device) / size - 0.5
    lost = grid[:, None] * cosine + grid * sine > limit
    bands = torch.arange(batch.image.shape[1], device=lost.device) < len(MEAN)
    image = torch.where(lost[:, None] & bands[:, None, None], float(FILL), batch.image)
    return Batch(image, torch.where(lost, 0, batch.sets))


def create_generator(device: torch.device, rng: np.random.Generator) -> torch.Generator:
    """Create a random generator on `device`, seeded from `rng`."""
    return torch.Generator(device).manual_seed(int(rng.integers(2**62)))


def to_device_of(array: Any, like: Tensor) -> Tensor:
    """Copy `array` to the device of `like`."""
    return torch.from_numpy(np.asarray(array)).to(like.device)


def to_planes(array: Any, like: Tensor) -> Tensor:
    """Copy numbers (n, bands) as float32 (n, bands, 1, 1) to the device of `like`."""
    return to_device_of(np.asarray(array, np.float32), like)[:, :, None, None]
