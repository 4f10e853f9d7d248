"""Bright, fine-grained things that people build, and that are taken for clouds: towns, roofs, greenhouses, quarries."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from kappamask.training.clouds import fractal
from kappamask.training.material import Ground
from kappamask.training.spectra import B02, B10, BANDS, FloatArray

#: Different lots before they repeat, and the share of them that is built on.
LOTS: Final = (97, 89)
BUILT: Final = 0.8


def town(tile: FloatArray, ground: Ground, rng: np.random.Generator) -> FloatArray:
    """Towns on a share of the tile (13, y, x): plots with roofs and yards of a few colours, and streets."""
    size, plot = tile.shape[1], float(np.exp(rng.uniform(np.log(2), np.log(8))))
    across, along = _plots(size, plot, rng)
    cell = (across.astype(int) % LOTS[0], along.astype(int) % LOTS[1])
    palette = _roofs(ground, 12, rng)
    lots = rng.choice(len(palette), LOTS, p=rng.dirichlet(np.full(len(palette), 0.7)))
    street = np.minimum(across % rng.integers(3, 9), along % rng.integers(3, 9)) * plot < 1.0
    asphalt = np.float32(rng.uniform(0.06, 0.2))
    colours = np.where(street[..., None], asphalt, palette[lots[cell]]).transpose(2, 0, 1)
    colours[B10] = tile[B10]
    inside = fractal((size, size), 4.5, 80, rng) > rng.uniform(-0.5, 1.5)
    share = np.float32(rng.uniform(0.3, 0.95)) * inside * (rng.random(LOTS) < BUILT)[cell]
    share = ndimage.gaussian_filter(share.astype(np.float32), float(rng.uniform(0.3, 0.8)))
    return np.asarray(tile + share * (colours - tile), np.float32)


def _plots(size: int, plot: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Two coordinates (size, size) in plots of `plot` px, turned and slightly bent."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:size, :size] + rng.uniform(-1, 1, (2, 1, 1)) + fractal((size, size), 6.0, 150, rng) * plot
    cosine, sine = np.float32(np.cos(angle) / plot), np.float32(np.sin(angle) / plot)
    return x * cosine + y * sine, y * cosine - x * sine


def _roofs(ground: Ground, count: int, rng: np.random.Generator) -> FloatArray:
    """`count` colours (count, 13) of a town: grey to white with a slope over the bands, and real ground."""
    light = np.exp(rng.uniform(np.log(0.06), np.log(0.45), (count, 1)))
    slope = np.linspace(-1, 1, len(BANDS)) * rng.normal(0.1, 0.35, (count, 1))
    real = ground.spectra[rng.choice(np.flatnonzero(ground.spectra[:, B02] < 0.4), count)]
    return np.asarray(np.where(rng.random((count, 1)) < 0.4, real, light * np.exp(slope)), np.float32)


def scatter_roofs(tile: FloatArray, ground: Ground, rng: np.random.Generator) -> FloatArray:
    """Small bright rectangles, alone and in towns: roofs, greenhouses and quarries are clear however white."""
    size = tile.shape[1]
    centre, spread = rng.uniform(0, size, 2), float(rng.uniform(20, size))
    bright = ground.spectra[(ground.spectra[:, B02] > 0.15)]
    for _ in range(int(np.exp(rng.uniform(*np.log((3, 400)))))):
        y, x = rng.normal(centre, spread).astype(int)
        h, w = (int(n) for n in rng.integers(1, 9 if rng.random() < 0.9 else 40, 2))
        if 0 <= y < size - h and 0 <= x < size - w:
            white = np.float32(rng.uniform(0.2, 0.7)) * np.linspace(rng.uniform(0.8, 1.1), rng.uniform(0.6, 1.1), 13)
            colour = white if rng.random() < 0.6 else bright[rng.integers(len(bright))]
            tile[:, y : y + h, x : x + w] = np.where(np.arange(13) == B10, tile[:, y, x], colour)[:, None, None]
    return tile
