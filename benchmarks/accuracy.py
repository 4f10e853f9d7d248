"""Measure the compact network through `cloud_mask`: `python accuracy.py DATA [MODEL]`.

DATA: the folder of real scenes and pixels that docs/training-rounds.md describes. No figure is of an image that the
network was trained on, except for the clear backgrounds. Peers are asked where they are installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from arguments import make_parser
from competitors import ukis
from numpy.typing import NDArray

from kappamask.datasets import Patch, open_dataset
from kappamask.evaluation.scene_kinds import SUBSETS
from kappamask.models import SENTINEL2_BANDS
from kappamask.training.simulator.materials import (
    BACKGROUNDS,
    LANDSAT,
    VALIDATION,
    load_ground,
    read_pixels,
    read_scene,
)
from kappamask.training.simulator.paint import paint_clouds
from kappamask.training.simulator.tiles import KERNELS, blur_to_native
from kappamask.udf import cloud_mask

BANDS: Final = SENTINEL2_BANDS[:13]
CLEAR, SHADOW = 1, 2
Codes = NDArray[np.uint8]
Row = tuple[str, str, str]


def classify_scene(scene: NDArray[np.float32], level: str, bands: tuple[str, ...], model: str) -> Codes:
    """Classify reflectance (13, y, x) with only `bands` given; classes (y, x)."""
    kept = [band for band in bands if np.isfinite(scene[BANDS.index(band)]).any()]
    values = scene[[BANDS.index(band) for band in kept]]
    cube = xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": kept})
    return np.asarray(cloud_mask(cube, level=level, radiometry="reflectance", model=model).values)


def compute_scores(found: Codes, truth: Codes) -> dict[str, float]:
    """Return the dice of clear, shadow and cloud, and the balanced accuracy.

    Cloud of either kind; balanced accuracy of the latter two.
    """
    known = truth > 0
    a, b = np.minimum(found[known], 3), np.minimum(truth[known], 3)
    out = {}
    for code, name in ((1, "clear"), (2, "shadow"), (3, "cloud")):
        out[name] = float(2 * ((a == code) & (b == code)).sum() / max(1, (a == code).sum() + (b == code).sum()))
        out[f"{name} balanced"] = float(((a == code)[b == code].mean() + (a != code)[b != code].mean()) / 2)
    return out


def score_labelled(data: Path, model: str) -> Iterator[Row]:
    """Score the network and ukis-csmask on the labelled scenes."""
    for name in (VALIDATION, *LANDSAT):
        patch = open_dataset("arrays", data / name)[0]
        for subset in ("6", "4", "3"):
            found = compute_scores(classify_scene(patch.stack(BANDS), "L1C", SUBSETS[subset], model), patch.truth)
            yield name, f"{subset} bands", format_scores(found)
        yield name, "ukis-csmask", format_scores(compute_scores(classify_by_ukis(patch), patch.truth))


def classify_by_ukis(patch: Patch) -> Codes:
    """Classify by ukis-csmask, in our codes."""
    found = ukis(Path())((np.nan_to_num(patch.stack(BANDS)) * 1e4).astype(np.uint16))[..., 0]
    return np.select([found == 1, found == 2], [4, 2], 1).astype(np.uint8)


def format_scores(found: Mapping[str, float]) -> str:
    """Format the figures in the order of the classes."""
    return "  ".join(f"{name} {value:.3f}" for name, value in found.items() if name != "clear balanced")


def score_clear_ground(data: Path, model: str) -> Iterator[Row]:
    """Measure false alarms on each clear background with every subset of bands."""
    for name, level in BACKGROUNDS.items():
        scene = read_scene(data / name)[0]
        shares = {
            key: float((classify_scene(scene, level, bands, model) != CLEAR).mean()) for key, bands in SUBSETS.items()
        }
        yield name, "false alarms", "  ".join(f"{key} {share:.2%}" for key, share in shares.items())


def score_single_pixels(data: Path, model: str) -> Iterator[Row]:
    """Score the held-out pixels, each as a chip of 64 px; s2cloudless on the same."""
    table = read_pixels(data, aside=True)
    ours = np.array([_make_chip(row, model) > SHADOW for row in table.spectra])
    yield "pixel table", "compact", _score_pixels(ours, table.cloudy)
    array = (table.spectra.T[:, None] * 1e4).astype(np.uint16)
    yield "pixel table", "s2cloudless", _score_pixels(_run_s2cloudless(array)[0] > 0, table.cloudy)


def _make_chip(row: NDArray[np.float32], model: str) -> int:
    chip = np.broadcast_to(row[:, None, None], (len(BANDS), 64, 64))
    return int(classify_scene(chip, "L1C", BANDS, model)[32, 32])


def _run_s2cloudless(array: NDArray[np.uint16]) -> NDArray[Any]:
    """Run s2cloudless without its averaging over neighbours, which here are unrelated."""
    from s2cloudless import S2PixelCloudDetector

    detector = S2PixelCloudDetector(threshold=0.4, average_over=0, dilation_size=0, all_bands=True)
    return np.asarray(detector.get_cloud_masks((array / np.float32(1e4)).transpose(1, 2, 0)[None])[0])


def _score_pixels(found: NDArray[np.bool_], cloudy: NDArray[np.bool_]) -> str:
    cloud, other = float(found[cloudy].mean()), float((~found)[~cloudy].mean())
    return f"cloud {cloud:.3f}  not cloud {other:.3f}  balanced {(cloud + other) / 2:.3f}  of {len(cloudy)}"


def score_whole_chips(data: Path, model: str) -> Iterator[Row]:
    """Score chips that are all cloud or all clear, at 64 and 512 px.

    The worst of them, and the mean.
    """
    for side in (64, 512):
        for name, codes, coverage in (("all cloud", (3, 4), 1.0), ("all clear", (1,), 0.0)):
            right = [
                np.isin(classify_scene(chip, "L1C", BANDS, model), codes).mean()
                for chip in _cut_chips(data, side, coverage)
            ]
            yield f"chip {side} px", name, f"mean {np.mean(right):.2%}  worst {min(right):.2%}  of {len(right)}"


def _cut_chips(data: Path, side: int, coverage: float) -> Iterator[NDArray[np.float32]]:
    """Cut the clear scenes, under painted closed cloud if `coverage` is 1."""
    ground = load_ground(data)
    for seed in range(24):
        rng = np.random.default_rng(seed)
        scene = ground.scenes[seed % len(ground.scenes)]
        y, x = (int(rng.integers(max(1, n - side))) for n in scene.shape[1:])
        yield paint_clouds(scene[:, y : y + side, x : x + side], seed, coverage=coverage, spectra=ground.clouds)[0]


@cache
def _paint_overcast(data: Path) -> NDArray[np.float32]:
    return paint_clouds(load_ground(data).scenes[0], 5, coverage=0.4)[0]


def compare_kernels(data: Path, model: str) -> Iterator[Row]:
    """Measure the share of pixels whose class changes with the resampling kernel.

    The kernel that brought the 20 and 60 m bands to 10 m.
    """
    found = {
        name: classify_scene(blur_to_native(_paint_overcast(data), 10.0, name), "L1C", BANDS, model) for name in KERNELS
    }
    shares = {name: float((codes != found["bilinear"]).mean()) for name, codes in found.items()}
    yield "kernel", "changed from bilinear", "  ".join(f"{name} {share:.2%}" for name, share in shares.items())


def main(data: Path, model: str = "compact") -> None:
    for part in (score_labelled, score_clear_ground, compare_kernels, score_whole_chips, score_single_pixels):
        try:
            for what, who, figures in part(data, model):
                print(f"{what:<38} {who:<22} {figures}", flush=True)
        except ModuleNotFoundError as error:
            print(f"{part.__name__}: not complete, because {error.name} is not installed")


if __name__ == "__main__":
    arguments = make_parser(__doc__)
    arguments.add_argument("data", type=Path, help="folder of real scenes and pixels")
    arguments.add_argument("model", nargs="?", default="compact", help="id or card of the network; default %(default)s")
    main(**vars(arguments.parse_args()))
