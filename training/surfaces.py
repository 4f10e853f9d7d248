"""Cloud-free ground for training: real scenes, their structure in other colours, procedural fields of real spectra."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from kappamask.models import SceneError
from kappamask.training.clouds import fractal
from kappamask.training.spectra import (
    B02,
    B03,
    B04,
    B08,
    B09,
    B8A,
    B10,
    B11,
    BANDS,
    FloatArray,
    to_top,
    vapour,
)

#: Clear scenes: file of `dn` (y, x, band) and the level it is given in.
BACKGROUNDS: Final = {
    "background_l1c_germany_20170527.npz": "L1C",
    "background_l1c_saltlake_20171022.npz": "L1C",
    "background_l2a_wales_20210527.npz": "L2A",
    "background_l2a_canberra_20160101.npz": "L2A",
}
#: Reflectance in B02 above which a cloudy pixel shows the cloud's own colour, hardly the ground's.
THICK: Final = 0.45
PIXELS: Final = "labelled_l1c_pixels_13band.csv"
#: Labelled scenes that are never trained on unless told to: the clouds of their labels are not told apart.
VALIDATION: Final = "labelled_l1c_cumulus_6band.npz"
LANDSAT: Final = ("labelled_landsat5_6band.npz", "labelled_landsat7_6band.npz")
#: Bright, white or dark ground that is taken for cloud or shadow, and how often a palette is drawn from it.
THEMES: Final = {"scene": 0.34, "any": 0.14, "snow": 0.12, "bright": 0.14, "water": 0.16, "dark": 0.10}
#: Scenes of the pixel table whose number leaves this rest by three are set aside: the network is judged on them.
ASIDE: Final = 0


@dataclass(frozen=True)
class Ground:
    """Real material: TOA `scenes`, float32 (13, y, x); clear `spectra`, float32 (n, 13), and their `group` (n,).

    `clouds`, float32 (m, 13): spectra of thick clouds.
    """

    scenes: tuple[FloatArray, ...]
    spectra: FloatArray
    group: NDArray[np.int64]
    clouds: FloatArray


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels: TOA `spectra`, float32 (n, 13), whether `cloudy` (n,), and their scene's number `group` (n,)."""

    spectra: FloatArray
    cloudy: NDArray[np.bool_]
    group: NDArray[np.int64]


def check_data(folder: Path) -> None:
    """Raises SceneError if a file that the simulator draws from is not in `folder`."""
    lacking = [name for name in (*BACKGROUNDS, PIXELS) if not (folder / name).is_file()]
    if lacking:
        raise SceneError(f"{folder} lacks {', '.join(lacking)}: real scenes and pixels, see docs/training-rounds.md.")


def load_ground(folder: Path) -> Ground:
    """Read the backgrounds and the clear pixels under `folder`. Raises SceneError where one is absent."""
    check_data(folder)
    scenes = tuple(_read_scene(folder / name, level) for name, level in BACKGROUNDS.items())
    table = read_pixels(folder)
    clear, thick = ~table.cloudy, table.cloudy & (table.spectra[:, B02] > THICK)
    return Ground(scenes, table.spectra[clear], table.group[clear], table.spectra[thick])


def read_pixels(folder: Path, *, aside: bool = False) -> Pixels:
    """The labelled pixels under `folder` that are trained on; if `aside`, all those of the scenes set aside."""
    table = np.genfromtxt(folder / PIXELS, delimiter=",", skip_header=1, dtype=np.float32)
    spectra, cloudy, group = table[:, :13], table[:, 13] > 0, table[:, 14].astype(np.int64)
    doubtful = ~cloudy & (_shaded(spectra) | _veiled(spectra))
    keep = group % 3 == ASIDE if aside else (group % 3 != ASIDE) & ~doubtful
    return Pixels(spectra[keep], cloudy[keep], group[keep])


def _shaded(spectra: FloatArray) -> NDArray[Any]:
    """True where a pixel (n, 13) looks like shaded plants: the sample's clear class holds shadows too."""
    return (spectra[:, B8A] < 0.14) & (spectra[:, B8A] > 1.1 * spectra[:, B04])


def _veiled(spectra: FloatArray) -> NDArray[Any]:
    """True where land without snow (n, 13) is bright in B10: cirrus above it, or a wrong label; snow to 0.03 only."""
    green, infrared = spectra[:, B03], spectra[:, B11]
    snow = (green - infrared > 0.3 * (green + infrared)) & (green > 0.15)
    return np.where(snow, spectra[:, B10] > 0.03, spectra[:, B10] > 0.004)


def read_scene(path: Path) -> tuple[FloatArray, NDArray[np.uint8] | None]:
    """Reflectance (13, y, x), NaN where absent, and truth (y, x) or None of an archive of `dn`, `bands`, `gt_kappa`."""
    with np.load(path) as archive:
        dn, truth = archive["dn"], archive.get("gt_kappa")
        names = [str(b) for b in archive["bands"]]
    scene = np.full((len(BANDS), *dn.shape[:2]), np.nan, np.float32)
    for i, name in enumerate(names):
        scene[BANDS.index(name)] = np.where(dn[..., i] == 0, np.nan, dn[..., i] / np.float32(1e4))
    return scene, truth


def _read_scene(path: Path, level: str) -> FloatArray:
    with np.load(path) as archive:
        found = {str(b): archive["dn"][..., i] / np.float32(1e4) for i, b in enumerate(archive["bands"])}
    scene = np.stack([found.get(b, np.full_like(found["B02"], np.nan)) for b in BANDS]).astype(np.float32)
    return complete(scene if level == "L1C" else to_top(complete(scene, surface=True), 32.0, 0.1, 1.2))


def complete(scene: FloatArray, *, surface: bool = False) -> FloatArray:
    """Fill absent (all NaN) B01, B09 and B10 of `scene` (13, y, x) from their neighbours' physics."""
    out = scene.copy()
    if np.isnan(out[0]).all():
        out[0] = np.maximum(out[B02] * 0.9, 0.001) if surface else 1.15 * out[B02] - 0.05 * out[B04]
    if np.isnan(out[B09]).all():
        out[B09] = out[B8A] if surface else out[B8A] * vapour(1.2, 0.0, 35.0)[B09]
    if np.isnan(out[B10]).all():
        out[B10] = out[B11] if surface else 0.0012 + out[B11] * vapour(1.2, 0.0, 35.0)[B10]
    return out


def draw_ground(ground: Ground, size: int, seed: int) -> FloatArray:
    """A clear TOA tile, float32 (13, size, size): 30 % real, 35 % real structure in other colours, 35 % procedural."""
    rng = np.random.default_rng(seed)
    kind = rng.random()
    if kind < 0.30:
        return np.maximum(_crop(ground, size, rng), 1e-4)
    tile = _recolour(ground, size, rng) if kind < 0.65 else _procedural(ground, size, rng)
    if kind >= 0.30 and rng.random() < 0.3:
        tile = tile * _hills(size, rng)
    if rng.random() < 0.4:
        tile = _scatter_roofs(tile, ground, rng)
    if rng.random() < 0.1:
        tile = _glint(tile, rng)
    return np.clip(tile, 1e-4, 1.2).astype(np.float32)


def _crop(ground: Ground, size: int, rng: np.random.Generator) -> FloatArray:
    """A piece of a real scene at 0.6 to 1.6 times its scale, turned and flipped."""
    scene = ground.scenes[int(rng.integers(len(ground.scenes)))]
    side = int(min(size * rng.uniform(0.6, 1.6), *scene.shape[1:]))
    y, x = (int(rng.integers(n - side + 1)) for n in scene.shape[1:])
    index = np.minimum((np.arange(size) * side / size).astype(int), side - 1)
    piece = scene[:, y : y + side, x : x + side][:, index][:, :, index]
    return np.rot90(piece, int(rng.integers(4)), (1, 2))[:, :, :: int(rng.choice((-1, 1)))].copy()


def _palette(ground: Ground, count: int, rng: np.random.Generator) -> FloatArray:
    """`count` clear spectra that belong together: one scene's, one theme's, or anybody's; float32 (count, 13)."""
    s = ground.spectra
    theme = str(rng.choice(list(THEMES), p=list(THEMES.values())))
    ndsi = (s[:, B03] - s[:, B11]) / (s[:, B03] + s[:, B11] + 1e-6)
    chosen = {
        "scene": ground.group == rng.choice(np.unique(ground.group)),
        "any": s[:, B02] < 0.4,
        "snow": (s[:, B02] > 0.2) & (ndsi > 0.3),
        "bright": (s[:, B04] > 0.22) & (ndsi < 0.3),
        "water": (s[:, B08] < 0.12) & (s[:, B11] < 0.08),
        "dark": (s[:, B08] < 0.16) & (s[:, B11] < 0.16) & (s[:, B02] < 0.15),
    }[theme]
    pool = np.flatnonzero(chosen) if chosen.sum() >= 5 else np.arange(len(s))
    picked, others = s[rng.choice(pool, count)], s[rng.choice(np.flatnonzero(s[:, B02] < 0.4), count)]
    strangers = rng.random(count) < (0.0 if theme in ("scene", "any") else rng.uniform(0, 0.6))
    return np.asarray(np.where(strangers[:, None], others, picked))


def _recolour(ground: Ground, size: int, rng: np.random.Generator) -> FloatArray:
    """Structure of a real scene with other lands' spectra; what varies within a class stays."""
    piece = _crop(ground, size, rng)
    traits = np.log(np.maximum(piece[[B02, B04, B08, B11]], 0.01)).reshape(4, -1).T
    count = int(rng.integers(4, 13))
    centres = traits[rng.choice(len(traits), count)]
    which = cKDTree(centres).query(traits)[1].reshape(size, size)
    order = np.argsort(np.argsort(centres.sum(axis=1)))
    palette = _palette(ground, count, rng)
    if rng.random() < 0.6:
        palette = palette[np.argsort(palette.sum(axis=1))][order]
    bright = piece[[B03, B04, B08, B11]].mean(axis=0)
    mean = ndimage.mean(bright, which, np.arange(count))[which]
    inner = np.clip(bright / np.maximum(mean, 0.01), 0.6, 1.6) ** np.float32(rng.uniform(0.3, 1.0))
    return np.asarray(_lay(which, palette, rng) * inner)


def _procedural(ground: Ground, size: int, rng: np.random.Generator) -> FloatArray:
    """Fields (warped Voronoi cells) or patches (levels of a fractal field) of a palette, a river through some."""
    count = int(rng.integers(4, 16))
    if rng.random() < 0.6:
        seeds = rng.uniform(0, size, (int(np.exp(rng.uniform(*np.log((8, 900))))), 2))
        warp = np.float32(rng.choice((0.0, 4.0, 20.0)))
        grid = np.mgrid[:size, :size].astype(np.float32) + warp * np.stack(
            [fractal((size, size), 3, 60, rng) for _ in "yx"]
        )
        cell = cKDTree(seeds).query(grid.reshape(2, -1).T)[1].reshape(size, size)
        which = rng.integers(0, count, len(seeds))[cell]
    else:
        field = fractal((size, size), float(rng.uniform(2.2, 3.8)), float(np.exp(rng.uniform(*np.log((20, 400))))), rng)
        which = np.digitize(field, np.sort(rng.normal(0, 1, count - 1)))
    if rng.random() < 0.3:
        river = np.abs(fractal((size, size), 3.6, 200, rng)) < rng.uniform(0.005, 0.08)
        which = np.where(river, int(rng.integers(count)), which)
    return _lay(which, _palette(ground, count, rng), rng)


def _lay(which: NDArray[Any], palette: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Spectra laid where `which` (y, x) says, mixed at their borders, with grain; float32 (13, y, x)."""
    tile = palette[which].transpose(2, 0, 1)
    tile = ndimage.gaussian_filter(tile, (0, *[float(rng.uniform(0.3, 1.2))] * 2))
    shape = (which.shape[0], which.shape[1])
    grain = rng.uniform(0, 0.12) * fractal(shape, float(rng.uniform(0.5, 3.0)), 40, rng)
    rough = 1 + rng.uniform(0, 2, len(palette))[which] * grain
    hue = np.float32(rng.uniform(0, 0.05)) * fractal(shape, 2.5, 80, rng) * np.linspace(-1, 1, 13)[:, None, None]
    return np.asarray(tile * np.clip(rough, 0.5, 1.8) * np.exp(hue), np.float32)


def _glint(tile: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Sun on water: a grey, patchy light on whatever is dark in B11, with B09 and B10 held back by vapour."""
    shape = (tile.shape[1], tile.shape[2])
    light = np.exp(rng.uniform(0.2, 1.0) * fractal(shape, float(rng.uniform(1.5, 3.5)), 60, rng))
    light *= np.float32(np.exp(rng.uniform(*np.log((0.01, 0.15))))) * (tile[B11] < 0.06)
    share = vapour(2.0, 0.0, 35.0) * np.linspace(1.0, rng.uniform(0.7, 1.1), len(BANDS))
    return np.asarray(tile + light * share[:, None, None], np.float32)


def _hills(size: int, rng: np.random.Generator) -> FloatArray:
    """Light on hills (size, size): slopes away from the sun are dark, and clear all the same."""
    slope_y, slope_x = np.gradient(
        fractal((size, size), float(rng.uniform(3.2, 4.2)), float(np.exp(rng.uniform(*np.log((40, 300))))), rng)
    )
    angle = rng.uniform(0, 2 * np.pi)
    facing = slope_y * np.sin(angle) + slope_x * np.cos(angle)
    return np.asarray(np.clip(1 + rng.uniform(0.1, 0.35) * facing / facing.std(), 0.3, 1.5), np.float32)


def _scatter_roofs(tile: FloatArray, ground: Ground, rng: np.random.Generator) -> FloatArray:
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
