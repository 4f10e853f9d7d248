"""Time the official networks in TensorFlow and converted: `python speed.py PYTHON TESTS`.

PYTHON is the interpreter of the environment with TensorFlow. Each engine runs in a process of its own, one thread, in
turns, on one tile of 512 px; the least of all runs counts.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

SIDE, ROUNDS, RUNS = 512, 3, 3
CHANNELS = 13
#: How many times as fast as TensorFlow each is to be.
BARS = {"unet": 2.0, "deeplabv3plus": 1.4}
ENGINES = ("tensorflow", "kappamask")


def tensorflow(architecture, _):
    """The network in Keras, as km_predict asks it."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from official_keras import build_network

    model = build_network(architecture, CHANNELS, SIDE, None)
    return lambda image: model.predict_on_batch(image.transpose(1, 2, 0)[None])[0].transpose(2, 0, 1)


def kappamask(architecture, folder):
    """The converted network, as every door runs it."""
    from kappamask.conversion import convert
    from kappamask.udf import inference

    card = convert(folder / f"{architecture}.hdf5", architecture, "L1C", folder / architecture)
    inference.open_session(card, 1)
    return lambda image: inference.run_network(card, image[None], 1)[0]


def work(engine, architecture, folder):
    """Run one engine; its scores go to FOLDER, its figures to stdout."""
    import official

    run, image, seconds = globals()[engine](architecture, folder), official.image(CHANNELS, SIDE), []
    run(image)
    for _ in range(RUNS):
        began = perf_counter()
        scores = run(image)
        seconds.append(perf_counter() - began)
    np.save(folder / f"{engine}-{architecture}.npy", scores)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
    print(json.dumps({"seconds": min(seconds), "peak_mb": peak}))


def main(python, tests):
    sys.path.insert(0, tests)
    import official

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for architecture, bar in BARS.items():
            official.write(folder / f"{architecture}.hdf5", architecture, CHANNELS)
            found = {engine: [] for engine in ENGINES}
            for _ in range(ROUNDS):
                for engine, interpreter in zip(ENGINES, (python, sys.executable), strict=True):
                    command = [interpreter, __file__, "--work", engine, architecture, name, tests]
                    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
                    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)  # noqa: S603  ours
                    found[engine].append(json.loads(done.stdout.splitlines()[-1]))
            scores = [np.load(folder / f"{engine}-{architecture}.npy") for engine in ENGINES]
            least = {engine: min(one["seconds"] for one in runs) for engine, runs in found.items()}
            peak = {engine: max(one["peak_mb"] for one in runs) for engine, runs in found.items()}
            ratio, gap = least["tensorflow"] / least["kappamask"], np.abs(scores[0] - scores[1]).max()
            print(
                f"{architecture:<14}TensorFlow {least['tensorflow']:.2f} s, {peak['tensorflow']:.0f} MB; converted "
                f"{least['kappamask']:.2f} s, {peak['kappamask']:.0f} MB: {ratio:.2f} times as fast (bar {bar}), "
                f"largest difference {gap:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        sys.path.insert(0, sys.argv[5])
        work(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        main(sys.argv[1], str(Path(sys.argv[2]).resolve()))
