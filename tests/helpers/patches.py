"""Small labelled patches, in memory and as arrays on disk."""

from pathlib import Path

import numpy as np

from kappamask.datasets import Patch

SIX = ("B02", "B03", "B04", "B08", "B11", "B12")


def patch(name: str = "a", truth: np.ndarray | None = None, red: np.ndarray | None = None, **facts: object) -> Patch:
    """Paint dark ground (shadow), ground and cloud of 0.5 from top to bottom, as labelled."""
    truth = np.repeat([2, 1, 4], 16)[:, None] * np.ones(48, np.uint8) if truth is None else truth
    level = np.select([truth == 2, truth == 4], [0.02, 0.5], 0.15).astype(np.float32)
    bands = np.stack([level] * len(SIX))
    if red is not None:
        bands[2] = red
    given = {"group": name, "split": "test", "level": "L1C", "pixel_m": 10.0, "bands": SIX, "merges_thin": True}
    return Patch(name=name, reflectance=bands, truth=truth.astype(np.uint8), **{**given, **facts})


def write_patches(folder: Path, count: int = 3) -> Path:
    """Arrays on disk in which one of three scenes is harder than the others."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        one = patch()
        dn = np.round(one.reflectance.transpose(1, 2, 0) * 10_000).astype(np.uint16)
        dn[40:, : 16 * i] = 1500
        np.savez(folder / f"labelled_l1c_{i}.npz", dn=dn, bands=np.array(SIX), gt_kappa=one.truth)
    return folder
