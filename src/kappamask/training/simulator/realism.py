"""Compare simulated tiles with real scenes: moments, histograms, shadows, another network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kappamask.training.simulator.materials import LANDSAT, VALIDATION, read_scene
from kappamask.training.simulator.paint import ONLY_B10
from kappamask.training.simulator.spectra import B02, B03, B04, B08, B11, B12, BANDS, MEAN, STD, FloatArray

__all__ = [
    "Check",
    "check_histograms",
    "check_moments",
    "check_peer",
    "check_shadows",
    "measure_shadows",
    "read_labelled",
    "read_tiles",
]

#: Bars: distance of a moment from the published one, as a share; dice of a peer for cloud and shadow.
MOMENT_BAR, CLOUD_BAR, SHADOW_BAR = 0.25, 0.80, 0.60
#: Pairs of bands whose joint histograms are compared, and its bins over reflectances 0 to 1.
PAIRS: Final = ((B02, B04), (B08, B11), (B03, B12))
BINS: Final = 24
#: Bands in which shadows are compared, and the side in pixels of the window whose clear land they are compared with.
DARK: Final = (B03, B08, B11)
AROUND_PX: Final = 101
SIX: Final = (B02, B03, B04, B08, B11, B12)


@dataclass(frozen=True)
class Check:
    """One comparison: what, the figure, its bar, and whether the bar is met."""

    what: str
    figure: float
    bar: str
    met: bool


def read_tiles(folder: Path, count: int) -> list[NDArray[np.uint16]]:
    """Read up to `count` tiles, evenly from all under `folder`.

    Raises FileNotFoundError if there is none.
    """
    paths = sorted(folder.glob("*.npy"))
    if not paths:
        raise FileNotFoundError(f"No tiles in {folder}; make some with kappamask simulate -o {folder}.")
    return [np.load(path) for path in paths[:: max(1, len(paths) // count)][:count]]


def read_labelled(folder: Path) -> list[tuple[FloatArray, NDArray[np.uint8]]]:
    """Read scene (13, y, x) and truth (y, x) of the labelled scenes under `folder`."""
    scenes = [read_scene(folder / name) for name in (VALIDATION, *LANDSAT)]
    return [(scene, truth) for scene, truth in scenes if truth is not None]


def check_moments(tiles: Sequence[NDArray[np.uint16]]) -> list[Check]:
    """Compare mean and standard deviation of each band with KappaZeta's published ones.

    KappaZeta's are of its labelled L1C scenes.
    """
    values = np.concatenate([t[:13, ::4, ::4].reshape(13, -1) for t in tiles], axis=1) / np.float32(1e4)
    return [
        _check_moment(f"{kind} of {band}", float(found[i]), float(published[i]))
        for kind, found, published in (("mean", values.mean(axis=1), MEAN), ("deviation", values.std(axis=1), STD))
        for i, band in enumerate(BANDS)
    ]


def _check_moment(what: str, found: float, published: float) -> Check:
    share = found / published - 1
    return Check(what, round(share, 3), f"{MOMENT_BAR:.0%} of {published:.4f} or nearer", abs(share) <= MOMENT_BAR)


def check_histograms(tiles: Sequence[NDArray[np.uint16]], scene: FloatArray, truth: NDArray[np.uint8]) -> list[Check]:
    """Measure how far the simulator covers a real scene's colours, by class.

    The measure is the share of the scene's pixels in bins where tiles have pixels of the same class.
    """
    painted = np.concatenate([t[:, ::3, ::3].reshape(14, -1) for t in tiles], axis=1)
    checks = []
    for name, codes in (("clear", (1,)), ("shadow", (2,)), ("cloud", (3, 4))):
        ours, theirs = np.isin(painted[13] % ONLY_B10, codes), np.isin(truth, codes)
        for a, b in PAIRS:
            known = _count_pairs(painted[a, ours] / 1e4, painted[b, ours] / 1e4) > 0
            real = _count_pairs(scene[a, theirs], scene[b, theirs])
            share = float(real[known].sum() / max(1.0, real.sum()))
            checks.append(Check(f"{name}: {BANDS[a]} and {BANDS[b]}", round(share, 4), "0.95 or more", share >= 0.95))
    return checks


def _count_pairs(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.histogram2d(a, b, bins=BINS, range=((0, 1), (0, 1)))[0])


def check_shadows(
    tiles: Sequence[NDArray[np.uint16]], real: Sequence[tuple[FloatArray, NDArray[np.uint8]]]
) -> list[Check]:
    """Compare the relative brightness of simulated shadows with that of real ones.

    Brightness is relative to clear land around the shadow; its median must lie in the range of labelled scenes.
    """
    painted = [(tile[:13] / np.float32(1e4), tile[13] % ONLY_B10) for tile in tiles]
    checks = []
    for band in DARK:
        found = float(np.median(np.concatenate([measure_shadows(scene[band], truth) for scene, truth in painted])))
        medians = [float(np.median(measure_shadows(scene[band], truth))) for scene, truth in real]
        low, high = min(medians) * (1 - MOMENT_BAR), max(medians) * (1 + MOMENT_BAR)
        bar = f"{low:.2f} to {high:.2f}: real scenes, {MOMENT_BAR:.0%} more or less"
        checks.append(Check(f"shadow keeps of {BANDS[band]}", round(found, 3), bar, low <= found <= high))
    return checks


def measure_shadows(band: FloatArray, truth: NDArray[Any]) -> NDArray[Any]:
    """Return each shadow pixel's reflectance (n,) relative to clear ones around it.

    Clear pixels within 50 pixels count; a shadow pixel that has none is left out.
    """
    clear = (truth == 1) & np.isfinite(band)
    near = ndimage.uniform_filter(clear.astype(np.float64), AROUND_PX)
    light = ndimage.uniform_filter(np.where(clear, band, 0.0), AROUND_PX) / np.maximum(near, 1e-6)
    judged = (truth == 2) & np.isfinite(band) & (near > 0.05) & (light > 0)
    return np.asarray(band[judged] / light[judged])


def check_peer(tiles: Sequence[NDArray[np.uint16]]) -> list[Check]:
    """Return the dice of ukis-csmask on the tiles, thick cloud as cloud.

    It is Apache-2.0, trained on real scenes; six bands, L1C.

    Thin cloud is not judged: that network has no class for it. Raises ModuleNotFoundError if it is not installed.
    """
    from ukis_csmask.mask import CSmask

    counts = np.zeros((3, 3))
    order = ["blue", "green", "red", "nir", "swir16", "swir22"]
    for tile in tiles:
        image = np.ascontiguousarray((tile[list(SIX)] / np.float32(1e4)).transpose(1, 2, 0))
        found = CSmask(img=image, band_order=order, nodata_value=0, product_level="l1c").csm[..., 0]
        truth = np.select([tile[13] == 4, tile[13] == 2], [1, 2], 0)
        judged = tile[13] % ONLY_B10 != 3
        counts += np.bincount(3 * truth[judged] + found[judged].astype(int), minlength=9).reshape(3, 3)
    dice = 2 * np.diag(counts) / np.maximum(1, counts.sum(axis=0) + counts.sum(axis=1))
    return [
        Check(f"ukis-csmask, dice of {name}", round(float(dice[i]), 3), f"above {bar}", bool(dice[i] > bar))
        for i, name, bar in ((1, "thick cloud", CLOUD_BAR), (2, "shadow", SHADOW_BAR))
    ]
