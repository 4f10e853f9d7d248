"""Keep TensorFlow 2.15's scores of the published DL_L8S2_UV weights: `uv_keras.py OUT.npz TESTS DATA`.

Run by `make goldens` where DATA, a folder of real imagery with `weights/dl_l8s2_uv/`, is there. The network is built
from the description that each file carries, with sides left open; nothing of it is written down here.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf
from tensorflow import keras

sys.path.insert(0, sys.argv[2])

import published


def build_network(path: Path) -> keras.Model:
    """Build the file's own network, for images of any sides."""
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])["config"]
    config["layers"][0]["config"]["batch_input_shape"][1:3] = [None, None]
    model = keras.Model.from_config(config)
    model.load_weights(path)
    return model


def main(out: Path, data: Path) -> None:
    arrays = {}
    for channels, path in published.find_weights(data).items():
        whole, opened = keras.models.load_model(path, compile=False), build_network(path)
        chip = published.read_images(data, channels)["real"][None, :, :32, :32].transpose(0, 2, 3, 1)
        assert np.abs(whole.predict(chip, verbose=0) - opened.predict(chip, verbose=0)).max() < 1e-6
        for name, image in published.read_images(data, channels).items():
            scores = opened.predict(image.transpose(1, 2, 0)[None], verbose=0)[0, ..., 0]
            arrays[f"{name}_{channels}"] = scores[published.STORED].astype(np.float32)
            print(path.name, name, image.shape, f"{scores.mean():.3f} cloud", flush=True)
    np.savez_compressed(out, notes=json.dumps({"tensorflow": tf.__version__}), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[3]))
