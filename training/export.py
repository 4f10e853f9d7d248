"""Checkpoint to ONNX, with the facts that a model card needs, all of them measured.

python -m kappamask.training.export --checkpoint RUN/best.pt --data DIR --tiles TILES --out FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from kappamask.training.network import CHANNELS, CLASSES, STRIDE, Compact, Scores, multiply_adds
from kappamask.training.surfaces import BACKGROUNDS, PIXELS
from kappamask.training.validate import LANDSAT, VALIDATION, sanity, validate

#: ONNX Runtime 1.16 reads IR 9 and opset 19 at most; these are older still.
OPSET, IR_VERSION = 17, 8
TOLERANCE: Final = 1e-4


def load_network(*checkpoints: Path) -> tuple[Compact, list[dict[str, Any]]]:
    """The mean of the checkpoints' averaged weights, and what each of them holds.

    Runs that started from one another lie in one valley, where the mean of weights generalises better than either
    (Wortsman et al. 2022, "Model soups"). Raises ValueError where no checkpoint is given.
    """
    if not checkpoints:
        raise ValueError("No checkpoint was given; at least one best.pt is needed.")
    saved: list[dict[str, Any]] = [torch.load(path, weights_only=True) for path in checkpoints]
    network = Compact()
    parts = [one["averaged"] for one in saved]
    network.load_state_dict(
        {
            name: torch.stack([part[name] for part in parts]).mean(dim=0) if first.dtype.is_floating_point else first
            for name, first in parts[0].items()
        }
    )
    return network.eval(), saved


def export(network: nn.Module, path: Path) -> float:
    """Write `network` with softmax as ONNX and return its largest difference from torch; ValueError from 1e-4 on."""
    beside = path.with_suffix(".part")
    axes = {0: "n", 2: "y", 3: "x"}
    # The successor of this exporter asks for onnxscript and for a newer opset than ONNX Runtime 1.16 reads.
    torch.onnx.export(
        Scores(network).eval(),
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
    gap = difference(network, beside)
    if not gap < TOLERANCE:
        raise ValueError(
            f"ONNX differs from torch by {gap:.2e}; less than {TOLERANCE} is needed. Export again from the checkpoint."
        )
    beside.rename(path)
    return gap


def difference(network: nn.Module, path: Path) -> float:
    """Largest difference of scores between torch and ONNX Runtime over several shapes of random input."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng, worst, scores = np.random.default_rng(0), 0.0, Scores(network).eval()
    for shape in ((1, CHANNELS, 128, 128), (2, CHANNELS, 16 * STRIDE, 4 * STRIDE), (1, CHANNELS, 512, 512)):
        image = rng.normal(0, 2, shape).astype(np.float32)
        with torch.no_grad():
            expected = scores(torch.from_numpy(image)).numpy()
        worst = max(worst, float(np.abs(session.run(["score"], {"image": image})[0] - expected).max()))
    return worst


def sha256(path: Path) -> str:
    """Hash of a file's bytes, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def facts(network: Compact, saved: list[dict[str, Any]], path: Path, data: Path, tiles: Path) -> dict[str, Any]:
    """What was measured of the network stored at `path` and of what made it."""
    count = len(list(tiles.glob("*.npy")))
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "gmac_per_512_tile": round(multiply_adds(network) / 1e9, 3),
        "stride": STRIDE,
        "classes": list(CLASSES),
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "sha256": sha256(path),
        "size_bytes": path.stat().st_size,
        "torch": torch.__version__,
        "runs": [{name: one[name] for name in ("step", "seconds", "origin", "history")} for one in saved],
        "simulated_tiles": count,
        "validation": {"file": VALIDATION} | validate(network, data),
        "training_data_figures": sanity(network, data),
        "data_sha256": {name: sha256(data / name) for name in (*LANDSAT, *BACKGROUNDS, PIXELS, VALIDATION)},
    }


def main() -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description="Export the best checkpoint of a run.")
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True, help="best.pt; or several, to average")
    parser.add_argument("--data", type=Path, required=True, help="folder of the real imagery")
    parser.add_argument("--tiles", type=Path, required=True, help="folder of the tiles that were trained on")
    parser.add_argument("--out", type=Path, required=True, help="folder for compact.onnx and facts.json")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    network, saved = load_network(*args.checkpoint)
    gap = export(network, args.out / "compact.onnx")
    report = facts(network, saved, args.out / "compact.onnx", args.data, args.tiles) | {"onnx_torch_difference": gap}
    beside = args.out / "facts.part"
    beside.write_text(json.dumps(report, indent=1) + "\n")
    beside.rename(args.out / "facts.json")
    sys.stdout.write(json.dumps({k: v for k, v in report.items() if k not in ("runs", "data_sha256")}, indent=1) + "\n")


if __name__ == "__main__":
    main()
