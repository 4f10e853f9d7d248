"""Plan of a training run (`Plan`), its state (`State`) and its loss (`compute_loss`)."""

import copy
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kappamask.files.atomic import atomic_write
from kappamask.files.download import hash_file
from kappamask.models import WeightsError
from kappamask.training.architectures import build_network
from kappamask.training.batches import SIDES, Batch, Batches, Sides
from kappamask.training.compact import CHANNELS
from kappamask.training.weights import load_pretrained

__all__ = [
    "Plan",
    "State",
    "check_start",
    "compute_loss",
    "create_state",
    "get_architecture",
    "read_checkpoint",
]


@dataclass(frozen=True)
class Plan:
    """Settings of a run; `steps` (if given) or `minutes` end it, whichever comes first."""

    data: Path
    tiles: Path
    out: Path
    minutes: float = 60.0
    steps: int | None = None
    seed: int = 1
    batch: int = 12
    rate: float = 3e-3
    architecture: str = "compact"
    device: str = "cpu"
    averaging: float = 0.997
    validate_minutes: float = 3.0
    start: Path | None = None
    datasets: tuple[tuple[str, Path], ...] = ()
    real_share: float = 0.5
    sides: Sides = SIDES
    bfloat16: bool = False
    grounds: Path | None = None


@dataclass
class State:
    """What changes during a run and is saved with it."""

    network: nn.Module
    averaged: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)
    trained_now: bool = False
    """Whether this process has made a step; not saved."""

    def save(self, path: Path) -> None:
        """Write the state atomically.

        Raises SceneError if `path` cannot be written.
        """
        parts = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        rest = {"step": self.step, "seconds": self.seconds, "best": self.best, "history": self.history}
        rest |= {"origin": self.origin}
        with atomic_write(path) as draft:
            torch.save(parts | rest, draft)

    def load(self, path: Path, architecture: str = "compact") -> None:
        """Restore everything from a file of `save`.

        Raises ValueError if it holds another architecture.
        """
        saved = _read_for_architecture(path, architecture)
        for name in ("network", "averaged", "optimiser"):
            getattr(self, name).load_state_dict(saved[name])
        self.step, self.seconds, self.best = saved["step"], saved["seconds"], saved["best"]
        self.history, self.origin = saved["history"], saved["origin"]


def create_state(plan: Plan, source: Batches | None = None) -> State:
    """Create a state with new weights, or restore the run found in `plan.out`.

    New weights are drawn from the seed, or are those of `plan.start`.

    A start from an ONNX file looks at a batch of `source`.
    """
    torch.manual_seed(plan.seed)
    network = build_network(plan.architecture).to(plan.device)
    for weight in network.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    origin: dict[str, Any] = {"seed": plan.seed, "architecture": plan.architecture}
    origin |= {"datasets": [name for name, _ in plan.datasets]}
    if plan.start:
        origin["started_from"] = _load_start(network, plan, plan.start, source)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=0.01)
    state = State(network, copy.deepcopy(network), optimiser, origin=origin)
    if (plan.out / "last.pt").exists():
        state.load(plan.out / "last.pt", plan.architecture)
    return state


def check_start(plan: Plan) -> None:
    """Raise the errors of `create_state` before tiles are made.

    That is for the architecture, the start and a run in `plan.out`.
    """
    network = build_network(plan.architecture)
    for path in (plan.start, plan.out / "last.pt"):
        if path and path.suffix == ".onnx":
            load_pretrained(network, path, torch.zeros(1, CHANNELS, 64, 64))
        elif path and (path == plan.start or path.exists()):
            _read_for_architecture(path, plan.architecture)


def _load_start(network: nn.Module, plan: Plan, path: Path, source: Batches | None) -> dict[str, Any]:
    """Load the weights of a checkpoint or ONNX file; return its training record."""
    if path.suffix == ".onnx":
        assert source is not None
        load_pretrained(network, path, source.batch(plan.seed, 0, plan.batch).to_device(plan.device).image)
        return {"onnx_sha256": hash_file(path)}
    start = _read_for_architecture(path, plan.architecture)
    network.load_state_dict(start["averaged"])
    return {name: start[name] for name in ("origin", "step", "seconds", "history")}


def _read_for_architecture(path: Path, architecture: str) -> dict[str, Any]:
    saved = read_checkpoint(path)
    made = get_architecture(saved)
    if made != architecture:
        raise ValueError(f"{path} holds {made}, not {architecture}: name that architecture, or another folder.")
    return saved


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a file that `State.save` wrote.

    Raises WeightsError if it is something else, or incomplete.
    """
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, LookupError, EOFError, ValueError) as error:
        raise WeightsError(f"{path} is no checkpoint of kappamask train, or is cut off; best.pt is needed.") from error
    return saved


def get_architecture(saved: dict[str, Any]) -> str:
    """Return the architecture of a checkpoint; the first ones did not say, and are compact."""
    return str(saved.get("origin", {}).get("architecture", "compact"))


def compute_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return the cross-entropy over allowed classes plus the region dice loss.

    The dice is that of clear, shadow and any cloud.

    Classes have equal weights: shadow 2 or 3 times drew it over clear land (rounds 12 and 16), so did semi-transparent
    cloud. A pixel is part of a dice where its set says whether it is of that class.
    """
    logs = torch.log_softmax(logits, dim=1)
    bits = 2 ** torch.arange(logits.shape[1], device=logits.device)
    allowed = (batch.sets[:, None] & bits[None, :, None, None]) > 0
    judged = allowed.any(dim=1) & ~allowed.all(dim=1)
    chosen = torch.logsumexp(logs.masked_fill(~allowed, -1e4), dim=1)
    entropy = -(chosen * judged).sum() / judged.sum().clamp(min=1)
    scores = logs.exp()
    overlaps = [_compute_dice(scores[:, part].sum(dim=1), allowed, judged, part) for part in ([0], [1], [2, 3])]
    return entropy + 0.5 * (1 - torch.stack(overlaps).mean())


def _compute_dice(score: Tensor, allowed: Tensor, judged: Tensor, part: list[int]) -> Tensor:
    """Return the dice of `score` (n, y, x) with pixels certain to be in `part`.

    Pixels that may be in it or not are left out.
    """
    within = allowed[:, part].any(dim=1)
    others = [i for i in range(allowed.shape[1]) if i not in part]
    inside = judged & within & ~allowed[:, others].any(dim=1)
    known = inside | (judged & ~within)
    return 2 * (score * inside).sum() / ((score * known).sum() + inside.sum() + 1.0)
