"""Measure where the time of `mask_scene` goes: `python benchmarks/time_shares.py PRODUCT [RESOLUTION]`.

PRODUCT: a folder that `product.py` writes, or any scene. Steps are timed in CPU seconds of the thread that takes them;
the network has one, the decoder has threads of its own, which are what is left. Prints a Markdown table.
"""

from __future__ import annotations

import resource
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any, Final

from arguments import make_parser

from kappamask import mask_scene, scenes
from kappamask.udf import predict, stream
from kappamask.workflows.progress import no_progress

STEPS: Final[tuple[tuple[str, Any, str], ...]] = (
    ("decode and interpolate the bands", stream, "compute_block"),
    ("find missing pixels", predict, "find_valid"),
    ("scale to the network's input", predict, "to_tensor"),
    ("run the network", predict.inference, "run_network"),
    ("choose the class", predict, "classify"),
    ("sample pixels, check the radiometry", predict, "subsample"),
    ("sample pixels, check the radiometry", predict, "pixel_statistics"),
    ("write the mask", scenes, "write_mask"),
)
"""What a step is called, and the function that takes it, where it is called from."""


class Shares:
    """CPU seconds by step, added up over threads."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._lock = threading.Lock()

    def watch(self, step: str, holder: Any, name: str) -> None:
        """Replace a function by one that is timed."""
        function: Callable[..., Any] = getattr(holder, name)

        @wraps(function)
        def time_call(*args: Any, **options: Any) -> Any:
            began = thread_time()
            try:
                return function(*args, **options)
            finally:
                self.add(step, thread_time() - began)

        setattr(holder, name, time_call)

    def add(self, step: str, seconds: float) -> None:
        """Add CPU seconds to a step."""
        with self._lock:
            self.seconds[step] += seconds


def main(product: Path, metres: int) -> None:
    """Mask the product once, and print the table."""
    shares = Shares()
    for step, holder, name in STEPS:
        shares.watch(step, holder, name)
    start = process_time()
    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        options = {"level": "L1C", "radiometry": "dn_harmonized", "resolution": metres, "threads": 1}
        mask_scene(product, Path(folder) / "mask.tif", progress=no_progress, **options)
        wall = perf_counter() - began
    total = process_time()
    shares.seconds["start Python and load libraries"] = start
    shares.seconds["decoder's own threads, blending, the rest"] = total - sum(shares.seconds.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{wall:.1f} s of wall time, {total:.1f} s of CPU time, {total / wall:.2f} cores, {peak:.0f} MB\n")
    print("| step | CPU s | share |\n|---|--:|--:|")
    for step, seconds in shares.seconds.most_common():
        print(f"| {step} | {seconds:.1f} | {seconds / total:.0%} |")


if __name__ == "__main__":
    options = make_parser(__doc__)
    options.add_argument("product", type=Path)
    options.add_argument("resolution", type=int, nargs="?", default=10, help="metres; %(default)s")
    given = options.parse_args()
    main(given.product, given.resolution)
