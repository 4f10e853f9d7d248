"""Random weights in DL_L8S2_UV's published layout, and their scores by numpy and scipy."""

from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import correlate

BLOCKS = (("input", None, 32), ("pool1", 32, 64), ("pool2", 64, 128), ("up1", 128, 64), ("up2", 64, 32))
NORM = {"gamma": (0.5, 1.5), "beta": (-0.2, 0.2), "moving_mean": (-0.2, 0.2), "moving_variance": (0.5, 2.0)}
Weights = dict[str, dict[str, np.ndarray]]


def weights(channels: int, seed: int = 0) -> Weights:
    """Random weights of every layer by its name."""
    rng = np.random.default_rng(seed)
    kernel = lambda *shape: rng.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape).astype(np.float32)  # noqa: E731
    bias = lambda n: rng.uniform(-0.1, 0.1, n).astype(np.float32)  # noqa: E731
    eye = (np.eye(channels, dtype=np.float32) * 5)[None, None]
    out: Weights = {"normalization": {"kernel": eye, "bias": bias(channels) - 1}}
    for name, inputs, outputs in BLOCKS:
        for i, size in ((1, inputs or channels), (2, outputs)):
            parts = {"depthwise_kernel": rng.normal(0, 1 / 3, (3, 3, size, 1)).astype(np.float32)}
            parts |= {"pointwise_kernel": kernel(1, 1, size, outputs), "bias": bias(outputs)}
            out[f"{name}_conv_{i}"] = parts
            out[f"{name}_bn_{i}"] = {k: rng.uniform(*v, outputs).astype(np.float32) for k, v in NORM.items()}
    for i, (inputs, outputs) in ((1, (128, 64)), (2, (64, 32))):
        out[f"upconv{i}"] = {"kernel": rng.normal(0, 0.1, (2, 2, outputs, inputs)).astype(np.float32)}
        out[f"upconv{i}"]["bias"] = bias(outputs)
    return out | {"linear_model": {"kernel": kernel(1, 1, 32, 1), "bias": bias(1)}}


def write(path: Path, layers: Weights, *, suffix: str = "_2") -> Path:
    """Write a whole model as Keras 2 saves it.

    The places of weights have `suffix` where it is not the first of its process.
    """
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [n.encode() for n in ["input_3", *layers, "pooling_1"]]
        for name in ["input_3", *layers, "pooling_1"]:
            group, parts = root.create_group(name), layers.get(name, {})
            group.attrs["weight_names"] = [f"{name}{suffix}/{part}:0".encode() for part in parts]
            for part, array in parts.items():
                group[f"{name}{suffix}/{part}:0"] = array
    return path


def cloud(image: np.ndarray, w: Weights) -> np.ndarray:
    """Probability of cloud (y, x) of reflectance (band, y, x)."""
    x = _pointwise(image.astype(np.float64), w["normalization"]["kernel"], w["normalization"]["bias"])
    first = _block(x, w, "input")
    second = _block(_pool_pairs(first), w, "pool1")
    third = _block(_pool_pairs(second), w, "pool2")
    fourth = _block(np.concatenate([_upsample_pairs(third, w["upconv1"]), second]), w, "up1")
    last = _block(np.concatenate([_upsample_pairs(fourth, w["upconv2"]), first]), w, "up2")
    return 1 / (1 + np.exp(-_pointwise(last, w["linear_model"]["kernel"], w["linear_model"]["bias"])[0]))


def _pointwise(x, kernel, bias):
    return np.einsum("cyx,co->oyx", x, kernel[0, 0]) + bias[:, None, None]


def _block(x, w, name):
    for i in (1, 2):
        conv, norm = w[f"{name}_conv_{i}"], w[f"{name}_bn_{i}"]
        depth = conv["depthwise_kernel"][..., 0].transpose(2, 0, 1)
        spread = np.stack([correlate(plane, k, mode="constant") for plane, k in zip(x, depth, strict=True)])
        x = _pointwise(spread, conv["pointwise_kernel"], conv["bias"])
        gain = norm["gamma"] / np.sqrt(norm["moving_variance"] + 1e-3)
        x = (x - norm["moving_mean"][:, None, None]) * gain[:, None, None] + norm["beta"][:, None, None]
        x = np.maximum(x, 0)
    return x


def _pool_pairs(x):
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max(axis=(2, 4))


def _upsample_pairs(x, layer):
    four = np.einsum("iyx,aboi->oyaxb", x, layer["kernel"])
    return four.reshape(len(four), 2 * x.shape[1], 2 * x.shape[2]) + layer["bias"][:, None, None]
