"""Small made-up files for the simulator and the trainer, in their exact layout."""

from pathlib import Path

import numpy as np

from kappamask.training.simulator.materials import BACKGROUNDS, LANDSAT, PIXELS, VALIDATION
from kappamask.training.simulator.paint import paint_clouds
from kappamask.training.simulator.spectra import BANDS

LAND = np.array([0.14, 0.11, 0.09, 0.07, 0.10, 0.22, 0.26, 0.27, 0.28, 0.09, 0.0012, 0.18, 0.10], np.float32)
SIX = ("B02", "B03", "B04", "B08", "B11", "B12")
GROUPS = 9


def write_data(folder: Path, side: int = 96) -> Path:
    """Backgrounds and labelled scenes of `side` px, and a table of pixels; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, (name, level) in enumerate(BACKGROUNDS.items()):
        bands = [b for b in BANDS if b != "B10" or level == "L1C"]
        save(folder / name, field(side, i), bands)
    for seed, name in enumerate((*LANDSAT, VALIDATION)):
        scene, truth = paint_clouds(field(side, seed), seed, coverage=0.4)
        save(folder / name, scene, SIX, gt_kappa=np.where(truth == 3, 4, truth).astype(np.uint8))
    clear = [[*LAND * (0.6 + group / 9), 0, group] for group in range(GROUPS)]
    cloudy = [[*[0.7] * 13, 1, group] for group in range(GROUPS)]
    np.savetxt(folder / PIXELS, clear + cloudy, delimiter=",", header="pixels")
    return folder


def field(side: int, seed: int) -> np.ndarray:
    """Clear land (13, side, side) in patches of 16 px, brighter and darker."""
    bright = np.random.default_rng(seed).uniform(0.6, 1.5, (side // 16 + 1, side // 16 + 1)).astype(np.float32)
    return LAND[:, None, None] * np.kron(bright, np.ones((16, 16), np.float32))[:side, :side]


def save(path: Path, scene: np.ndarray, bands, **more: np.ndarray) -> None:
    dn = (scene[[BANDS.index(b) for b in bands]] * 10000).round().astype(np.uint16)
    np.savez(path, dn=dn.transpose(1, 2, 0), bands=np.array(bands), **more)
