"""Draw cloud-free grounds: real scenes, recoloured structure, procedural fields, bright towns."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from kappamask.training.simulator.clouds import draw_fractal
from kappamask.training.simulator.materials import Ground
from kappamask.training.simulator.spectra import (
    B02,
    B03,
    B04,
    B08,
    B10,
    B11,
    BANDS,
    FloatArray,
    transmit_through_vapour,
)

__all__ = [
    "build_towns",
    "draw_ground",
    "scatter_roofs",
]

#: Different lots before they repeat, and the share of them that is built on.
LOTS: Final = (97, 89)
BUILT: Final = 0.8
#: Bright, white or dark ground that is taken for cloud or shadow, and how often a palette is drawn from it.
THEMES: Final = {
    "scene": 0.20, "any": 0.08, "green": 0.16, "crops": 0.18, "snow": 0.06, "bright": 0.10, "water": 0.12, "dark": 0.10,
}  # fmt: skip
TOWNS: Final = 0.25  # share of the tiles that have some
#: Largest deviation of the logarithm of a field's brightness: one crop, wet or dry, is no shadow next to the other.
UNEVEN: Final = 0.35


def build_towns(tile: FloatArray, ground: Ground, rng: np.random.Generator) -> FloatArray:
    """Build towns on a share of the tile (13, y, x).

    Plots with roofs and yards of a few colours, and streets.
    """
    size, plot = tile.shape[1], float(np.exp(rng.uniform(np.log(2), np.log(8))))
    across, along = _draw_plots(size, plot, rng)
    cell = (across.astype(int) % LOTS[0], along.astype(int) % LOTS[1])
    palette = _draw_roofs(ground, 12, rng)
    lots = rng.choice(len(palette), LOTS, p=rng.dirichlet(np.full(len(palette), 0.7)))
    street = np.minimum(across % rng.integers(3, 9), along % rng.integers(3, 9)) * plot < 1.0
    asphalt = np.float32(rng.uniform(0.06, 0.2))
    colours = np.where(street[..., None], asphalt, palette[lots[cell]]).transpose(2, 0, 1)
    colours[B10] = tile[B10]
    inside = draw_fractal((size, size), 4.5, 80, rng) > rng.uniform(-0.5, 1.5)
    share = np.float32(rng.uniform(0.3, 0.95)) * inside * (rng.random(LOTS) < BUILT)[cell]
    share = ndimage.gaussian_filter(share.astype(np.float32), float(rng.uniform(0.3, 0.8)))
    return np.asarray(tile + share * (colours - tile), np.float32)


def _draw_plots(size: int, plot: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw two coordinates (size, size) in plots of `plot` px, rotated and slightly bent."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:size, :size] + rng.uniform(-1, 1, (2, 1, 1)) + draw_fractal((size, size), 6.0, 150, rng) * plot
    cosine, sine = np.float32(np.cos(angle) / plot), np.float32(np.sin(angle) / plot)
    return x * cosine + y * sine, y * cosine - x * sine


def _draw_roofs(ground: Ground, count: int, rng: np.random.Generator) -> FloatArray:
    """Draw `count` colours (count, 13) of a town.

    Grey to white with a slope over the bands, and real ground.
    """
    light = np.exp(rng.uniform(np.log(0.06), np.log(0.45), (count, 1)))
    slope = np.linspace(-1, 1, len(BANDS)) * rng.normal(0.1, 0.35, (count, 1))
    real = ground.spectra[rng.choice(np.flatnonzero(ground.spectra[:, B02] < 0.4), count)]
    return np.asarray(np.where(rng.random((count, 1)) < 0.4, real, light * np.exp(slope)), np.float32)


def scatter_roofs(tile: FloatArray, ground: Ground, rng: np.random.Generator) -> FloatArray:
    """Scatter small bright rectangles, alone and in towns.

    Roofs, greenhouses and quarries are clear however white.
    """
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


def draw_ground(ground: Ground, size: int, seed: int) -> FloatArray:
    """Draw a clear TOA tile, float32 (13, size, size).

    30 % are real, 35 % real structure in other colours, 35 % procedural.
    """
    rng = np.random.default_rng(seed)
    kind = rng.random()
    if kind < 0.30:
        tile = _crop_scene(ground, size, rng)
        return np.maximum(build_towns(tile, ground, rng) if rng.random() < 0.5 * TOWNS else tile, 1e-4)
    tile = _recolour_scene(ground, size, rng) if kind < 0.65 else _draw_procedural(ground, size, rng)
    if rng.random() < 0.3:
        tile = tile * _draw_hills(size, rng)
    return np.clip(_add_details(tile, ground, rng), 1e-4, 1.2).astype(np.float32)


def _add_details(tile: FloatArray, ground: Ground, rng: np.random.Generator) -> FloatArray:
    """Add towns, scattered roofs and glint, each to some tiles."""
    if rng.random() < TOWNS:
        tile = build_towns(tile, ground, rng)
    if rng.random() < 0.35:
        tile = scatter_roofs(tile, ground, rng)
    return _add_glint(tile, rng) if rng.random() < 0.1 else tile


def _crop_scene(ground: Ground, size: int, rng: np.random.Generator) -> FloatArray:
    """Crop a real scene at 0.6 to 1.6 times its scale, rotated and flipped."""
    scene = ground.scenes[int(rng.integers(len(ground.scenes)))]
    side = int(min(size * rng.uniform(0.6, 1.6), *scene.shape[1:]))
    y, x = (int(rng.integers(n - side + 1)) for n in scene.shape[1:])
    index = np.minimum((np.arange(size) * side / size).astype(int), side - 1)
    piece = scene[:, y : y + side, x : x + side][:, index][:, :, index]
    return np.rot90(piece, int(rng.integers(4)), (1, 2))[:, :, :: int(rng.choice((-1, 1)))].copy()


def _draw_palette(ground: Ground, count: int, rng: np.random.Generator) -> FloatArray:
    """Draw `count` clear spectra that belong together, float32 (count, 13).

    From one scene, from one theme, or from all.
    """
    s = ground.spectra
    theme = str(rng.choice(list(THEMES), p=list(THEMES.values())))
    ndsi = (s[:, B03] - s[:, B11]) / (s[:, B03] + s[:, B11] + 1e-6)
    chosen = {
        "scene": ground.group == rng.choice(np.unique(ground.group)),
        "any": s[:, B02] < 0.4,
        "green": _find_plants(s),
        "crops": _find_plants(s) | _find_soil(s),
        "snow": (s[:, B02] > 0.2) & (ndsi > 0.3),
        "bright": (s[:, B04] > 0.22) & (ndsi < 0.3),
        "water": (s[:, B08] < 0.12) & (s[:, B11] < 0.08),
        "dark": (s[:, B08] < 0.16) & (s[:, B11] < 0.16) & (s[:, B02] < 0.15),
    }[theme]
    pool = np.flatnonzero(chosen) if chosen.sum() >= 5 else np.arange(len(s))
    picked, others = s[rng.choice(pool, count)], s[rng.choice(np.flatnonzero(s[:, B02] < 0.4), count)]
    foreign = rng.random(count) < (0.0 if theme in ("scene", "any") else rng.uniform(0, 0.6))
    bright = np.exp(rng.uniform(0, UNEVEN) * rng.standard_normal((count, 1)))
    return np.asarray(np.where(foreign[:, None], others, picked) * bright, np.float32)


def _find_plants(s: FloatArray) -> NDArray[Any]:
    """Find plants among spectra (n, 13)."""
    return (s[:, B08] > 2 * s[:, B04]) & (s[:, B02] < 0.14)


def _find_soil(s: FloatArray) -> NDArray[Any]:
    """Find bare fields among spectra (n, 13).

    Redder than green, with little of what plants show in B08.
    """
    return (s[:, B04] > s[:, B03]) & (s[:, B04] > 0.1) & (s[:, B04] < 0.25) & (s[:, B08] < 1.5 * s[:, B04])


def _recolour_scene(ground: Ground, size: int, rng: np.random.Generator) -> FloatArray:
    """Give a real scene's structure other lands' spectra; variation within classes stays."""
    piece = _crop_scene(ground, size, rng)
    traits = np.log(np.maximum(piece[[B02, B04, B08, B11]], 0.01)).reshape(4, -1).T
    count = int(rng.integers(4, 13))
    centres = traits[rng.choice(len(traits), count)]
    which = cKDTree(centres).query(traits)[1].reshape(size, size)
    order = np.argsort(np.argsort(centres.sum(axis=1)))
    palette = _draw_palette(ground, count, rng)
    if rng.random() < 0.6:
        palette = palette[np.argsort(palette.sum(axis=1))][order]
    bright = piece[[B03, B04, B08, B11]].mean(axis=0)
    mean = ndimage.mean(bright, which, np.arange(count))[which]
    inner = np.clip(bright / np.maximum(mean, 0.01), 0.6, 1.6) ** np.float32(rng.uniform(0.3, 1.0))
    return np.asarray(_lay_spectra(which, palette, rng) * inner)


def _draw_procedural(ground: Ground, size: int, rng: np.random.Generator) -> FloatArray:
    """Draw fields or patches of a palette, some with a river.

    Fields are warped Voronoi cells, patches levels of a fractal field.
    """
    count = int(rng.integers(4, 16))
    if rng.random() < 0.6:
        seeds = rng.uniform(0, size, (int(np.exp(rng.uniform(*np.log((8, 900))))), 2))
        warp = np.float32(rng.choice((0.0, 4.0, 20.0)))
        grid = np.mgrid[:size, :size].astype(np.float32) + warp * np.stack(
            [draw_fractal((size, size), 3, 60, rng) for _ in "yx"]
        )
        cell = cKDTree(seeds).query(grid.reshape(2, -1).T)[1].reshape(size, size)
        which = rng.integers(0, count, len(seeds))[cell]
    else:
        field = draw_fractal(
            (size, size), float(rng.uniform(2.2, 3.8)), float(np.exp(rng.uniform(*np.log((20, 400))))), rng
        )
        which = np.digitize(field, np.sort(rng.normal(0, 1, count - 1)))
    if rng.random() < 0.3:
        river = np.abs(draw_fractal((size, size), 3.6, 200, rng)) < rng.uniform(0.005, 0.08)
        which = np.where(river, int(rng.integers(count)), which)
    return _lay_spectra(which, _draw_palette(ground, count, rng), rng)


def _lay_spectra(which: NDArray[Any], palette: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Fill the regions `which` (y, x) with spectra, mixed at borders, with grain.

    Returns float32 (13, y, x).
    """
    tile = palette[which].transpose(2, 0, 1)
    tile = ndimage.gaussian_filter(tile, (0, *[float(rng.uniform(0.3, 1.2))] * 2))
    shape = (which.shape[0], which.shape[1])
    grain = rng.uniform(0, 0.12) * draw_fractal(shape, float(rng.uniform(0.5, 3.0)), 40, rng)
    rough = 1 + rng.uniform(0, 2, len(palette))[which] * grain
    hue = np.float32(rng.uniform(0, 0.05)) * draw_fractal(shape, 2.5, 80, rng) * np.linspace(-1, 1, 13)[:, None, None]
    return np.asarray(tile * np.clip(rough, 0.5, 1.8) * np.exp(hue), np.float32)


def _add_glint(tile: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Add sun glint: grey, patchy light on whatever is dark in B11.

    B09 and B10 are reduced by vapour.
    """
    shape = (tile.shape[1], tile.shape[2])
    light = np.exp(rng.uniform(0.2, 1.0) * draw_fractal(shape, float(rng.uniform(1.5, 3.5)), 60, rng))
    light *= np.float32(np.exp(rng.uniform(*np.log((0.01, 0.15))))) * (tile[B11] < 0.06)
    share = transmit_through_vapour(2.0, 0.0, 35.0) * np.linspace(1.0, rng.uniform(0.7, 1.1), len(BANDS))
    return np.asarray(tile + light * share[:, None, None], np.float32)


def _draw_hills(size: int, rng: np.random.Generator) -> FloatArray:
    """Draw the light on hills (size, size).

    Slopes away from the sun are dark, and clear all the same.
    """
    slope_y, slope_x = np.gradient(
        draw_fractal((size, size), float(rng.uniform(3.2, 4.2)), float(np.exp(rng.uniform(*np.log((40, 300))))), rng)
    )
    angle = rng.uniform(0, 2 * np.pi)
    facing = slope_y * np.sin(angle) + slope_x * np.cos(angle)
    return np.asarray(np.clip(1 + rng.uniform(0.1, 0.35) * facing / facing.std(), 0.3, 1.5), np.float32)
