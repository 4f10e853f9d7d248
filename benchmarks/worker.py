"""Time one competitor in a process of its own: `python worker.py NAME FOLDER`.

FOLDER holds array.npy; prints JSON.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

started = perf_counter()

import numpy as np  # noqa: E402
from competitors import COMPETITORS  # noqa: E402
from machine import memory_mb  # noqa: E402

#: Runs of which the least counts; a run that takes longer than this many seconds is not repeated.
REPEATS, LONG = 3, 15.0


def main(name: str, folder: Path) -> None:
    array = np.load(folder / "array.npy")
    run = COMPETITORS[name][0](folder)
    run(array[:, :64, :64])
    ready, idle, seconds = perf_counter() - started, memory_mb("VmRSS"), []
    while len(seconds) < REPEATS and sum(seconds) < LONG:
        began = perf_counter()
        run(array)
        seconds.append(perf_counter() - began)
    megapixels = array[0].size / 1e6
    found = {"seconds_per_megapixel": min(seconds) / megapixels, "runs": len(seconds), "start_seconds": ready}
    print(json.dumps(found | {"idle_mb": idle, "peak_mb": memory_mb("VmHWM")}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
