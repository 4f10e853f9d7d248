"""One ONNX Runtime session per process and network; scaled windows in, class scores out."""

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kappamask.models import ModelCard, WeightsError, read_weights

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["run", "session"]

_opening = threading.Lock()


def run(card: ModelCard, image: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
    """Scores (class, y, x) of `image` (channel, y, x), whose sides are multiples of `card.stride`.

    `threads` is what ONNX Runtime may use: 0 all cores, 1 in a back-end worker.
    """
    with _opening:
        runner = session(card, threads)
    try:
        scores = np.asarray(runner.run(None, {runner.get_inputs()[0].name: image[np.newaxis]})[0], dtype=np.float32)
    except Exception as error:
        raise WeightsError(f"{card.file} failed on an image of {image.shape}: {error}") from error
    expected = (1, len(card.output), *image.shape[1:])
    if scores.shape != expected:
        raise WeightsError(f"{card.file} gives scores {scores.shape}; its card promises {expected} (n, class, y, x).")
    if not np.isfinite(scores).all():
        raise WeightsError(f"{card.file} gives scores that are no numbers: network or card is wrong.")
    return _softmax(scores[0]) if card.activation == "softmax" else np.asarray(scores[0])


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), dtype=np.float32)


@lru_cache(maxsize=4)
def session(card: ModelCard, threads: int) -> "onnxruntime.InferenceSession":
    """The session of a card, opened once. Raises WeightsError if ONNX Runtime refuses the network.

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
        opened = onnxruntime.InferenceSession(read_weights(card), options, providers=["CPUExecutionProvider"])
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(f"ONNX Runtime {onnxruntime.__version__} cannot open {card.file}: {error}") from error
    _check_input(card, [source.shape for source in opened.get_inputs()])
    return opened


def _check_input(card: ModelCard, shapes: list[list[int | str]]) -> None:
    if len(shapes) != 1:
        raise WeightsError(f"{card.file} takes {len(shapes)} inputs; needed is one (n, channel, y, x).")
    shape = shapes[0]
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != card.channels):
        raise WeightsError(f"{card.file} takes input {shape}; its card has {card.channels} channels.")
