"""Export a checkpoint to ONNX, with the measured facts of its model card."""

import copy
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
from kappamask.files.atomic import atomic_write
from kappamask.files.download import hash_file
from kappamask.models import WeightsError
from kappamask.training.architectures import Scores, build_network, count_multiply_adds
from kappamask.training.calibration import calibrate
from kappamask.training.compact import CHANNELS, CLASSES
from kappamask.training.model_card import NOBODY, Owner, write_card
from kappamask.training.simulator.materials import BACKGROUNDS, LANDSAT, PIXELS, VALIDATION, load_ground
from kappamask.training.state import get_architecture, read_checkpoint
from kappamask.training.validate import score_backgrounds, score_by_bands, score_by_kind, validate
from kappamask.training.weights import (
    average_weights,
    fold_batch_norm,
    fold_gain,
    load_pretrained,
    round_weights,
    shift_class_odds,
)

__all__ = [
    "ReleaseOptions",
    "collect_facts",
    "export_onnx",
    "find_commit",
    "load_network",
    "measure_difference",
    "summarise_runs",
    "write_release",
]

#: ONNX Runtime 1.16 reads IR 9 and opset 19 at most; these are older still.
OPSET, IR_VERSION = 17, 8
TOLERANCE: Final = 1e-4


def load_network(*checkpoints: Path) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Average the weights of checkpoints; return the network and what each file holds.

    Each entry has its `share` in the average.

    A checkpoint that is named twice counts twice; a released network (ONNX) may be among them. Raises ValueError where
    no checkpoint is given, WeightsError for a file that is none, or of two architectures.
    """
    if not checkpoints:
        raise ValueError("No checkpoint was given; at least one best.pt is needed.")
    opened = {path: _open_network(path) for path in dict.fromkeys(checkpoints)}
    made = {get_architecture(saved) for _, saved in opened.values()}
    if len(made) > 1:
        raise WeightsError(f"Checkpoints of {' and '.join(sorted(made))} have no mean; give those of one architecture.")
    shares = {path: checkpoints.count(path) / len(checkpoints) for path in opened}
    network = average_weights([fold_batch_norm(opened[path][0]) for path in opened], list(shares.values()))
    return network, [saved | {"share": shares[path]} for path, (_, saved) in opened.items()]


def _open_network(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read the network of a checkpoint or ONNX file and its training record."""
    if path.suffix == ".onnx":
        network = build_network("compact")
        load_pretrained(network, path, torch.zeros(1, CHANNELS, 64, 64))
        return network, {"step": 0, "seconds": 0.0, "origin": {"onnx_sha256": hash_file(path)}, "history": []}
    saved = read_checkpoint(path)
    network = build_network(get_architecture(saved))
    network.load_state_dict(saved["averaged"])
    return network, saved


def export_onnx(network: nn.Module, path: Path, temperature: float = 1.0) -> float:
    """Write `network` with softmax as ONNX; return its largest difference from torch.

    Raises ValueError if that is 1e-4 or more.
    """
    axes = {0: "n", 2: "y", 3: "x"}
    scores = Scores(fold_gain(copy.deepcopy(network)), temperature).eval()
    with atomic_write(path) as draft:
        # The successor of this exporter asks for onnxscript and for a newer opset than ONNX Runtime 1.16 reads.
        torch.onnx.export(
            scores,
            (torch.zeros(1, CHANNELS, 64, 64),),
            str(draft),
            input_names=["image"],
            output_names=["score"],
            dynamic_axes={"image": axes, "score": axes},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(draft)
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, draft)
        gap = measure_difference(scores, draft, cast("int", network.stride))
        if not gap < TOLERANCE:
            raise ValueError(
                f"ONNX differs from torch by {gap:.2e}; less than {TOLERANCE} is needed. "
                "Export again from the checkpoint."
            )
    return gap


def measure_difference(scores: nn.Module, path: Path, stride: int) -> float:
    """Return the largest difference of scores between torch and ONNX Runtime.

    Taken over several shapes of random input.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng, worst = np.random.default_rng(0), 0.0
    for shape in ((1, CHANNELS, 128, 128), (2, CHANNELS, 16 * stride, 4 * stride), (1, CHANNELS, 512, 512)):
        image = rng.normal(0, 2, shape).astype(np.float32)
        with torch.no_grad():
            expected = scores(torch.from_numpy(image)).numpy()
        worst = max(worst, float(np.abs(session.run(["score"], {"image": image})[0] - expected).max()))
    return worst


@dataclass(frozen=True)
class ReleaseOptions:
    """Name, owner and card settings of an exported network."""

    name: str
    """Id of the network and name of its files."""
    date: str
    """YYYY-MM-DD of the training."""
    owner: Owner = NOBODY
    odds: Mapping[str, float] = field(default_factory=dict)
    """What `shift_class_odds` multiplies, by class; a released network among the checkpoints has its own already."""
    labelled: Path | None = None
    """Labelled scenes whose validation part the card has scores of, by what the scenes show."""


def write_release(
    checkpoints: list[Path], data: Path, tiles: Path, folder: Path, wanted: ReleaseOptions
) -> dict[str, Any]:
    """Write a network and its card to `folder`; return the training facts.

    Raises ValueError if the ONNX differs from the checkpoint.
    """
    name = wanted.name
    network, saved = load_network(*checkpoints)
    round_weights(shift_class_odds(network, wanted.odds))
    calibration = calibrate(network, data, load_ground(data))
    folder.mkdir(parents=True, exist_ok=True)
    gap = export_onnx(network, folder / f"{name}.onnx", calibration["temperature"])
    report = collect_facts(network, saved, folder / f"{name}.onnx", data, tiles)
    report |= {"odds": dict(wanted.odds), "calibration": calibration, "onnx_torch_difference": gap}
    report |= {"accuracy": score_by_bands(network, data)}
    if wanted.labelled:
        report["scenes"] = score_by_kind(network, open_dataset("arrays", wanted.labelled).part("validation"))
    write_card(folder / f"{name}.onnx", report, folder, wanted.date, name, wanted.owner)
    return report


def collect_facts(
    network: nn.Module, saved: list[dict[str, Any]], path: Path, data: Path, tiles: Path
) -> dict[str, Any]:
    """Measure the network stored at `path` and describe its training."""
    trained = summarise_runs(saved)
    return {
        "architecture": get_architecture(saved[0]),
        "parameters": sum(p.numel() for p in network.parameters()),
        "gmac_per_512_tile": round(count_multiply_adds(network) / 1e9, 3),
        "stride": cast("int", network.stride),
        "classes": list(CLASSES),
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "sha256": hash_file(path),
        "size_bytes": path.stat().st_size,
        "torch": torch.__version__,
        "commit": find_commit(),
        "hours": round(sum(one["seconds"] for one in trained) / 3600, 2),
        "runs": trained,
        "simulated_tiles": len(list(tiles.rglob("*.npy"))),
        "validation": {"file": VALIDATION, "landsat": list(LANDSAT)} | validate(network, data),
        "training_data_figures": score_backgrounds(network, data),
        "data_sha256": {name: hash_file(data / name) for name in (*LANDSAT, *BACKGROUNDS, PIXELS, VALIDATION)},
    }


def summarise_runs(saved: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the record of each run in an average of checkpoints.

    Facts of its last checkpoint, the share of all of them, and their steps.
    """
    of_run: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(saved, key=lambda one: int(one["step"])):
        of_run.setdefault(json.dumps(one["origin"], sort_keys=True), []).append(one)
    return [
        {name: parts[-1][name] for name in ("step", "seconds", "origin", "history")}
        | {"share": sum(part["share"] for part in parts), "steps": [part["step"] for part in parts]}
        for parts in of_run.values()
    ]


def find_commit() -> str | None:
    """Return the commit of this code's checkout, with "+" if it was changed.

    None outside of a checkout.
    """
    here = Path(__file__).resolve().parent
    found = subprocess.run(  # noqa: S603  a fixed command
        ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+"],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.strip() or None
