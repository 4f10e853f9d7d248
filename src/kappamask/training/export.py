"""Checkpoint to ONNX, with the facts that a model card needs, all of them measured."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from kappamask.datasets import open_dataset
from kappamask.models import WeightsError
from kappamask.training.architectures import CHANNELS, CLASSES, Scores, build, multiply_adds
from kappamask.training.model_card import NOBODY, Owner, write_card
from kappamask.training.simulator.materials import BACKGROUNDS, LANDSAT, PIXELS, VALIDATION, load_ground
from kappamask.training.state import architecture_of, read_checkpoint
from kappamask.training.validate import by_bands, calibrate, sanity, score_by_kind, validate
from kappamask.training.weights import folded, mean, shift_odds, take_weights

#: ONNX Runtime 1.16 reads IR 9 and opset 19 at most; these are older still.
OPSET, IR_VERSION = 17, 8
TOLERANCE: Final = 1e-4


def load_network(*checkpoints: Path) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The mean of the checkpoints' averaged weights, ready for use, and what each of them holds with its `share` in it.

    A checkpoint that is named twice counts twice; a released network (ONNX) may be among them. Raises ValueError where
    no checkpoint is given, WeightsError for a file that is none, or of two architectures.
    """
    if not checkpoints:
        raise ValueError("No checkpoint was given; at least one best.pt is needed.")
    opened = {path: _open(path) for path in dict.fromkeys(checkpoints)}
    made = {architecture_of(saved) for _, saved in opened.values()}
    if len(made) > 1:
        raise WeightsError(f"Checkpoints of {' and '.join(sorted(made))} have no mean; give those of one architecture.")
    shares = {path: checkpoints.count(path) / len(checkpoints) for path in opened}
    network = mean([folded(opened[path][0]) for path in opened], list(shares.values()))
    return network, [saved | {"share": shares[path]} for path, (_, saved) in opened.items()]


def _open(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a checkpoint or of a released ONNX file, and what is known of how it was trained."""
    if path.suffix == ".onnx":
        network = build("compact")
        take_weights(network, path, torch.zeros(1, CHANNELS, 64, 64))
        return network, {"step": 0, "seconds": 0.0, "origin": {"onnx_sha256": sha256(path)}, "history": []}
    saved = read_checkpoint(path)
    network = build(architecture_of(saved))
    network.load_state_dict(saved["averaged"])
    return network, saved


def export(network: nn.Module, path: Path, temperature: float = 1.0) -> float:
    """Write `network` with its scores as ONNX and return its largest difference from torch; ValueError from 1e-4 on."""
    beside = path.with_suffix(".part")
    axes = {0: "n", 2: "y", 3: "x"}
    # The successor of this exporter asks for onnxscript and for a newer opset than ONNX Runtime 1.16 reads.
    torch.onnx.export(
        Scores(network, temperature).eval(),
        (torch.zeros(1, CHANNELS, 64, 64),),
        str(beside),
        input_names=["image"],
        output_names=["score"],
        dynamic_axes={"image": axes, "score": axes},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(beside)
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, beside)
    gap = difference(Scores(network, temperature).eval(), beside, cast("int", network.stride))
    if not gap < TOLERANCE:
        raise ValueError(
            f"ONNX differs from torch by {gap:.2e}; less than {TOLERANCE} is needed. Export again from the checkpoint."
        )
    beside.rename(path)
    return gap


def difference(scores: nn.Module, path: Path, stride: int) -> float:
    """Largest difference of scores between torch and ONNX Runtime over several shapes of random input."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng, worst = np.random.default_rng(0), 0.0
    for shape in ((1, CHANNELS, 128, 128), (2, CHANNELS, 16 * stride, 4 * stride), (1, CHANNELS, 512, 512)):
        image = rng.normal(0, 2, shape).astype(np.float32)
        with torch.no_grad():
            expected = scores(torch.from_numpy(image)).numpy()
        worst = max(worst, float(np.abs(session.run(["score"], {"image": image})[0] - expected).max()))
    return worst


def sha256(path: Path) -> str:
    """Hash of a file's bytes, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Release:
    """What an exported network is called, whose it is, and what its card is to say."""

    name: str
    """Id of the network and name of its files."""
    date: str
    """YYYY-MM-DD of the training."""
    owner: Owner = NOBODY
    odds: Mapping[str, float] = field(default_factory=dict)
    """What `shift_odds` multiplies, by class; a released network among the checkpoints has its own already."""
    labelled: Path | None = None
    """Labelled scenes whose validation part the card has scores of, by what the scenes show."""


def release(checkpoints: list[Path], data: Path, tiles: Path, folder: Path, wanted: Release) -> dict[str, Any]:
    """Put a network and its card into `folder`; return the training facts that the card holds.

    Raises ValueError if the ONNX differs from the checkpoint.
    """
    name = wanted.name
    network, saved = load_network(*checkpoints)
    shift_odds(network, wanted.odds)
    calibration = calibrate(network, data, load_ground(data))
    folder.mkdir(parents=True, exist_ok=True)
    gap = export(network, folder / f"{name}.onnx", calibration["temperature"])
    report = facts(network, saved, folder / f"{name}.onnx", data, tiles)
    report |= {"odds": dict(wanted.odds), "calibration": calibration, "onnx_torch_difference": gap}
    report |= {"accuracy": by_bands(network, data)}
    if wanted.labelled:
        report["scenes"] = score_by_kind(network, open_dataset("arrays", wanted.labelled).part("validation"))
    write_card(folder / f"{name}.onnx", report, folder, wanted.date, name, wanted.owner)
    return report


def facts(network: nn.Module, saved: list[dict[str, Any]], path: Path, data: Path, tiles: Path) -> dict[str, Any]:
    """What was measured of the network stored at `path` and of what made it."""
    trained = runs(saved)
    return {
        "architecture": architecture_of(saved[0]),
        "parameters": sum(p.numel() for p in network.parameters()),
        "gmac_per_512_tile": round(multiply_adds(network) / 1e9, 3),
        "stride": cast("int", network.stride),
        "classes": list(CLASSES),
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "sha256": sha256(path),
        "size_bytes": path.stat().st_size,
        "torch": torch.__version__,
        "commit": commit(),
        "hours": round(sum(one["seconds"] for one in trained) / 3600, 2),
        "runs": trained,
        "simulated_tiles": len(list(tiles.rglob("*.npy"))),
        "validation": {"file": VALIDATION, "landsat": list(LANDSAT)} | validate(network, data),
        "training_data_figures": sanity(network, data),
        "data_sha256": {name: sha256(data / name) for name in (*LANDSAT, *BACKGROUNDS, PIXELS, VALIDATION)},
    }


def runs(saved: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each run gave to a mean: facts of its last checkpoint, the share of all of them, and their steps."""
    of_run: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(saved, key=lambda one: int(one["step"])):
        of_run.setdefault(json.dumps(one["origin"], sort_keys=True), []).append(one)
    return [
        {name: parts[-1][name] for name in ("step", "seconds", "origin", "history")}
        | {"share": sum(part["share"] for part in parts), "steps": [part["step"] for part in parts]}
        for parts in of_run.values()
    ]


def commit() -> str | None:
    """The commit of the checkout that this code lies in, with "+" if it was changed since; None outside of one."""
    here = Path(__file__).resolve().parent
    told = subprocess.run(  # noqa: S603  a fixed command
        ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+"],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return told.stdout.strip() or None
