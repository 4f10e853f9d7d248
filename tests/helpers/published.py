"""Find the published weights of DL_L8S2_UV, and the images that TensorFlow has scored with them.

Of Python's packages only numpy is needed, for the environment with TensorFlow has no more.
"""

from pathlib import Path

import numpy as np
import official

FILES = {4: "landsatbiomeRGBI6.hdf5", 6: "landsatbiomeRGBISWIR7.hdf5"}
SCENE = "labelled_l1c_cumulus_6band.npz"
"""Its bands are those of the network of six bands, in order."""
SIDE, CORNER = 96, (256, 256)
STORED = np.s_[::2, ::2]
"""Of each image every second row and column is kept."""


def find_weights(data: Path) -> dict[int, Path]:
    """Map channels to the files that lie in `data`."""
    found = {channels: data / "weights" / "dl_l8s2_uv" / name for channels, name in FILES.items()}
    return {channels: path for channels, path in found.items() if path.is_file()}


def read_images(data: Path, channels: int) -> dict[str, np.ndarray]:
    """Read reflectance (band, y, x): noise from a seed, and a real scene's corner.

    The corner holds cloud, cloud shadow and clear ground, none of them less than a fifth.
    """
    with np.load(data / SCENE) as file:
        y, x = CORNER
        real = file["dn"][y : y + SIDE, x : x + SIDE, :channels].transpose(2, 0, 1) / 10_000
    return {"noise": official.image(channels, SIDE), "real": real.astype(np.float32)}
