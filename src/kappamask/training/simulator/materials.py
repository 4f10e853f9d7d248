"""Read the clear scenes and labelled pixels that the simulator builds on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets.arrays import read_clear
from kappamask.models import SceneError
from kappamask.training.simulator.spectra import (
    B02,
    B03,
    B04,
    B09,
    B8A,
    B10,
    B11,
    BANDS,
    FloatArray,
    to_top,
    transmit_through_vapour,
)

__all__ = [
    "ASIDE",
    "BACKGROUNDS",
    "LANDSAT",
    "PIXELS",
    "VALIDATION",
    "Ground",
    "Pixels",
    "check_data",
    "fill_absent_bands",
    "load_ground",
    "read_clear_scenes",
    "read_pixels",
    "read_scene",
]

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
#: Labelled scenes that are never trained on by default; their labels do not separate the kinds of cloud.
VALIDATION: Final = "labelled_l1c_cumulus_6band.npz"
LANDSAT: Final = ("labelled_landsat5_6band.npz", "labelled_landsat7_6band.npz")
#: Side in pixels that a clear scene is brought to, so that tiles can be cut from it without being enlarged.
LEAST_PX: Final = 512
#: Scenes of the pixel table whose number leaves this rest by three are set aside: the network is judged on them.
ASIDE: Final = 0


@dataclass(frozen=True)
class Ground:
    """Real clear scenes and spectra to build grounds from.

    TOA `scenes`, float32 (13, y, x); clear `spectra`, float32 (n, 13), and their `group` (n,).

    `clouds`, float32 (m, 13): spectra of thick clouds.
    """

    scenes: tuple[FloatArray, ...]
    spectra: FloatArray
    group: NDArray[np.int64]
    clouds: FloatArray


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels of several scenes.

    TOA `spectra`, float32 (n, 13), whether `cloudy` (n,), and their scene's number `group` (n,).
    """

    spectra: FloatArray
    cloudy: NDArray[np.bool_]
    group: NDArray[np.int64]


def check_data(folder: Path) -> None:
    """Raise SceneError if a file that the simulator needs is not in `folder`."""
    lacking = [name for name in (*BACKGROUNDS, PIXELS) if not (folder / name).is_file()]
    if lacking:
        raise SceneError(
            f"{folder} lacks {', '.join(lacking)}: real scenes and pixels. In a checkout, "
            f"python benchmarks/real_scenes.py sources {folder} names the source of each scene, and "
            "docs/training-rounds.md that of the pixels."
        )


def load_ground(folder: Path, more: Path | None = None) -> Ground:
    """Read the backgrounds and clear pixels under `folder`, and clear scenes under `more`.

    more: archives as `datasets.arrays` describes, without labels. Raises SceneError where a file is absent.
    """
    check_data(folder)
    scenes = tuple(_read_background(folder / name, level) for name, level in BACKGROUNDS.items())
    if more is not None:
        # The user's own scenes are many and mostly similar: the four large ones count twice.
        scenes = (*scenes, *scenes, *read_clear_scenes(more))
    table = read_pixels(folder)
    clear, thick = ~table.cloudy, table.cloudy & (table.spectra[:, B02] > THICK)
    return Ground(scenes, table.spectra[clear], table.group[clear], table.spectra[thick])


def read_clear_scenes(folder: Path) -> tuple[FloatArray, ...]:
    """Read clear scenes of the user's own as TOA reflectance (13, y, x).

    Small ones are repeated mirrored to `LEAST_PX`.

    Raises SceneError if the folder holds no archive, or one of them cannot be read.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise SceneError(f"{folder} holds no .npz; clear scenes with dn (y, x, band) and bands are needed.")
    patches = [read_clear(path) for path in paths]
    return tuple(_mirror_scene(_to_complete_top(_fill_holes(p.stack(BANDS)), p.level)) for p in patches)


def read_pixels(folder: Path, *, aside: bool = False) -> Pixels:
    """Read the labelled pixels under `folder` that are trained on.

    aside: read those of the scenes held out for testing instead.
    """
    table = np.genfromtxt(folder / PIXELS, delimiter=",", skip_header=1, dtype=np.float32)
    spectra, cloudy, group = table[:, :13], table[:, 13] > 0, table[:, 14].astype(np.int64)
    doubtful = ~cloudy & (_find_shaded(spectra) | _find_cirrus(spectra))
    keep = group % 3 == ASIDE if aside else (group % 3 != ASIDE) & ~doubtful
    return Pixels(spectra[keep], cloudy[keep], group[keep])


def _find_shaded(spectra: FloatArray) -> NDArray[Any]:
    """Find pixels (n, 13) that look like shaded plants.

    The sample's clear class holds shadows too.
    """
    return (spectra[:, B8A] < 0.14) & (spectra[:, B8A] > 1.1 * spectra[:, B04])


def _find_cirrus(spectra: FloatArray) -> NDArray[Any]:
    """Find pixels (n, 13) that are too bright in B10 for clear land.

    There is cirrus above, or the label is wrong; snow may reach 0.03.
    """
    green, infrared = spectra[:, B03], spectra[:, B11]
    snow = (green - infrared > 0.3 * (green + infrared)) & (green > 0.15)
    return np.where(snow, spectra[:, B10] > 0.03, spectra[:, B10] > 0.004)


def read_scene(path: Path) -> tuple[FloatArray, NDArray[np.uint8] | None]:
    """Read reflectance (13, y, x), NaN where absent, and truth (y, x) or None.

    path: an archive of `dn`, `bands` and `gt_kappa`.
    """
    with np.load(path) as archive:
        dn, truth = archive["dn"], archive.get("gt_kappa")
        names = [str(b) for b in archive["bands"]]
    scene = np.full((len(BANDS), *dn.shape[:2]), np.nan, np.float32)
    for i, name in enumerate(names):
        scene[BANDS.index(name)] = np.where(dn[..., i] == 0, np.nan, dn[..., i] / np.float32(1e4))
    return scene, truth


def _read_background(path: Path, level: str) -> FloatArray:
    with np.load(path) as archive:
        found = {str(b): archive["dn"][..., i] / np.float32(1e4) for i, b in enumerate(archive["bands"])}
    scene = np.stack([found.get(b, np.full_like(found["B02"], np.nan)) for b in BANDS]).astype(np.float32)
    return _to_complete_top(scene, level)


def _to_complete_top(scene: FloatArray, level: str) -> FloatArray:
    return fill_absent_bands(
        scene if level == "L1C" else to_top(fill_absent_bands(scene, surface=True), 32.0, 0.1, 1.2)
    )


def _fill_holes(scene: FloatArray) -> FloatArray:
    """Give pixels without a number the least reflectance, in bands that are there.

    They are 0 in an archive of dark water.
    """
    there = np.isfinite(scene).any(axis=(1, 2), keepdims=True)
    return np.where(there & np.isnan(scene), np.float32(1e-4), scene)


def _mirror_scene(scene: FloatArray) -> FloatArray:
    """Repeat `scene` mirrored until both sides have `LEAST_PX`."""
    for axis in (1, 2):
        while scene.shape[axis] < LEAST_PX:
            scene = np.concatenate([scene, np.flip(scene, axis)], axis=axis)
    return scene


def fill_absent_bands(scene: FloatArray, *, surface: bool = False) -> FloatArray:
    """Derive absent (all NaN) B01, B09 and B10 of `scene` from other bands.

    scene: reflectance (13, y, x).
    """
    out = scene.copy()
    if np.isnan(out[0]).all():
        out[0] = np.maximum(out[B02] * 0.9, 0.001) if surface else 1.15 * out[B02] - 0.05 * out[B04]
    if np.isnan(out[B09]).all():
        out[B09] = out[B8A] if surface else out[B8A] * transmit_through_vapour(1.2, 0.0, 35.0)[B09]
    if np.isnan(out[B10]).all():
        out[B10] = out[B11] if surface else 0.0012 + out[B11] * transmit_through_vapour(1.2, 0.0, 35.0)[B10]
    return out
