"""Run the network with ONNX Runtime on a device, and choose classes."""

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kappamask.models import DeviceError, ModelCard, WeightsError, read_weights
from kappamask.models.hints import option
from kappamask.udf.preprocess import InputSpec

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "DEVICES",
    "WINDOWS_PER_RUN",
    "check_device",
    "classify",
    "explain_unusable",
    "find_provider",
    "list_devices",
    "open_session",
    "ordered_results",
    "run_network",
    "split_threads",
]

_session_lock = threading.Lock()
Scores = NDArray[np.float32]
Result = TypeVar("Result")
DEVICES: Final = ("cpu", "cuda", "openvino", "auto")
"""Values of `MaskOptions.device`."""
WINDOWS_PER_RUN: Final = {"cuda": 8}
"""Windows of one size that a device gets at a time, where it is not one: a GPU is busy with many, a core with one."""


def run_network(card: ModelCard, images: NDArray[np.float32], threads: int, device: str = "cpu") -> Scores:
    """Score `images` (n, channel, y, x), whose sides are multiples of `card.stride`.

    Returns float32 (n, class, y, x).

    threads: what ONNX Runtime may use: 0 all cores, 1 in a back-end worker.
    device: as `kappamask.udf.inference.check_device` returns it.
    """
    with _session_lock:
        runner = open_session(card, threads, device)
    source = runner.get_inputs()[0]
    parts = np.split(images, len(images)) if source.shape[0] == 1 else [images]
    try:
        found = [np.asarray(runner.run(None, {source.name: part})[0], np.float32) for part in parts]
    except Exception as error:
        raise WeightsError(f"{card.file} failed on images of {images.shape}: {error}") from error
    scores = found[0] if len(found) == 1 else np.concatenate(found)
    expected = (len(images), len(card.output), *images.shape[2:])
    if scores.shape != expected:
        raise WeightsError(f"{card.file} gives scores {scores.shape}; its card promises {expected} (n, class, y, x).")
    if not np.isfinite(scores).all():
        raise WeightsError(f"{card.file} gives scores that are no numbers: network or card is wrong.")
    return _softmax(scores) if card.activation == "softmax" else scores


def _softmax(logits: Scores) -> Scores:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


@lru_cache(maxsize=4)
def open_session(card: ModelCard, threads: int, device: str = "cpu") -> "onnxruntime.InferenceSession":
    """Open the session of a card, once.

    Raises WeightsError if ONNX Runtime refuses the network, DeviceError if the device's provider does not start.

    Threads do not spin while they wait (on a shared machine that costs 15 % of the CPU), and with one
    thread no pool is made, whose stacks would count against a worker's RLIMIT_AS.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        opened = onnxruntime.InferenceSession(read_weights(card), options, providers=[find_provider(device, threads)])
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(f"ONNX Runtime {onnxruntime.__version__} cannot open {card.file}: {error}") from error
    if (used := opened.get_providers())[0] != find_provider(device, threads)[0]:
        raise DeviceError(explain_unusable(device, used))
    _check_input(card, [source.shape for source in opened.get_inputs()])
    return opened


def _check_input(card: ModelCard, shapes: list[list[int | str]]) -> None:
    if len(shapes) != 1:
        raise WeightsError(f"{card.file} takes {len(shapes)} inputs; needed is one (n, channel, y, x).")
    shape = shapes[0]
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != card.channels):
        raise WeightsError(f"{card.file} takes input {shape}; its card has {card.channels} channels.")


def classify(scores: NDArray[np.float32], spec: InputSpec) -> NDArray[np.uint8]:
    """Choose the class (y, x) from `scores` (class, y, x).

    It is the index of the highest score, unless `spec` has thresholds. A class with a threshold is taken where its
    score reaches it; of several, the one with the largest ratio of score to threshold. Where none does, the highest
    score among the classes without threshold counts; if all have one, the class nearest to its own.
    """
    if not spec.thresholds:
        return _argmax(scores)
    given = dict(spec.thresholds)
    limits = np.array([given.get(name, np.nan) for name in spec.card.output_names], dtype=np.float32)
    limits = limits[:, np.newaxis, np.newaxis]
    ratio = scores / limits
    reached = np.where(ratio >= 1, 1 + ratio, ratio - 2)
    return _argmax(np.where(np.isnan(limits), scores, reached))


def _argmax(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return `scores.argmax(axis=0)`, faster, for scores without NaN."""
    index, top = np.zeros(scores.shape[1:], dtype=np.uint8), scores[0].copy()
    for number, plane in enumerate(scores[1:], 1):
        index[plane > top] = number
        np.maximum(top, plane, out=top)
    return index


def split_threads(threads: int, windows: int) -> tuple[int, int]:
    """Split threads between parallel windows: their number, and the threads of each.

    `threads` is 0 for all cores.

    Two windows share an even number of cores: while one reads or blends, which takes one core, the other convolves.
    Over 9 Mpx in memory, `compact` took 2.9 s so and 3.3 s one at a time, on two cores, and 0.5 GB more.
    """
    cores = threads or _count_cores()
    return (1, threads) if windows == 1 or cores % 2 else (2, cores // 2)


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_results(jobs: Iterable[Callable[[], Result]], parallel: int) -> Generator[Result]:
    """Yield the results of `jobs` in their order.

    As many run at a time as `parallel` says, and one waits. What a job raises comes in its place.

    Jobs are drawn in the caller's thread; with one at a time they are done there too. Closing drops those that wait.
    """
    if parallel == 1:
        yield from (job() for job in jobs)
        return
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(parallel, "kappamask-window") as pool:
        try:
            for job in jobs:
                running.append(pool.submit(job))
                if len(running) > parallel:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Provider(NamedTuple):
    """An execution provider of ONNX Runtime."""

    name: str
    package: str
    """Distribution of ONNX Runtime that has it; it takes the place of `onnxruntime`."""


PROVIDERS: Final = {
    "cuda": _Provider("CUDAExecutionProvider", "onnxruntime-gpu"),
    "openvino": _Provider("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}
"""Device -> provider; "auto" takes the first that is installed, else the CPU."""


def check_device(device: str) -> str:
    """Return the device that is meant: "auto" is the first whose provider is installed.

    Raises DeviceError for another word, or where ONNX Runtime has no provider for the device.
    """
    if device not in DEVICES:
        raise DeviceError(f"{option('device', device)} is unknown: known are {', '.join(DEVICES)}.")
    if device == "cpu":
        return device
    if device == "auto":
        return list_devices()[0]
    installed = _list_providers()
    if PROVIDERS[device].name not in installed:
        raise DeviceError(_explain_absent(device, installed))
    return device


def list_devices() -> list[str]:
    """List the devices for which ONNX Runtime has a provider, the fastest first."""
    installed = _list_providers()
    return [*(name for name, provider in PROVIDERS.items() if provider.name in installed), "cpu"]


def find_provider(device: str, threads: int) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of the provider of a device that `check_device` returned.

    All compute in float32, without the shorter formats that a device may use by itself: classes then agree.
    """
    if device == "cuda":
        return PROVIDERS[device].name, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    if device == "openvino":
        settings = {"INFERENCE_PRECISION_HINT": "f32"} | ({"INFERENCE_NUM_THREADS": str(threads)} if threads else {})
        return PROVIDERS[device].name, {"device_type": "CPU", "load_config": json.dumps({"CPU": settings})}
    return "CPUExecutionProvider", {}


def explain_unusable(device: str, used: list[str]) -> str:
    """Say that a provider is installed but does not start."""
    return (
        f"{PROVIDERS[device].name} is installed but did not start (ONNX Runtime would use {', '.join(used)}); "
        f"its driver or libraries are missing or of another version. {option('device', 'cpu')} needs neither."
    )


def _explain_absent(device: str, installed: list[str]) -> str:
    package = PROVIDERS[device].package
    return (
        f"{option('device', device)} needs {PROVIDERS[device].name}; this ONNX Runtime has {', '.join(installed)}. "
        f"Install it in place of the one that is there: pip uninstall -y onnxruntime {package} && pip install {package}"
    )


def _list_providers() -> list[str]:
    import onnxruntime

    return [str(name) for name in onnxruntime.get_available_providers()]
