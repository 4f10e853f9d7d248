"""Make the KappaMask paper's table of times: one whole product, all peers, CPU.

One machine, one run.

`python benchmarks/times.py PRODUCT -o docs/results/times.json`, PRODUCT as `kappamask mask` takes it; `product.py`
writes one. Inference is timed on digital numbers in memory, reading apart, each in a process of its own, medians of
several runs; also over smaller squares of the product. A network whose weights are not here is timed with random ones:
its arithmetic is the same. A peer that would not fit into memory runs over blocks, and the result says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf, isfinite
from pathlib import Path
from statistics import median
from typing import Any, Final

from arguments import make_parser
from machine import commit, describe_machine, free_mb
from product import measure_cost
from random_weights import resolve_peer
from reading import describe_product, read_whole, time_reading
from run import matmul_gflops

from kappamask.evaluation.peers import WEIGHTS
from kappamask.evaluation.tools import S2CLOUDLESS, UKIS
from kappamask.files.atomic import atomic_write
from kappamask.models import load_card

HERE: Final = Path(__file__).resolve().parent
PEERS: Final = (
    "compact", "official-l1c-unet", "official-l1c-deeplabv3plus", "ukis-csmask", "s2cloudless", "dl-l8s2-uv",
    "threshold",
)  # fmt: skip
SIDES: Final = (1000, 2000, 4000, 8000, 10980)
"""Of the squares that are masked, up to the product's own: 1, 4, 16, 64 and 120.6 Mpx."""
TOOLS: Final = {"ukis-csmask": tuple(UKIS), "s2cloudless": S2CLOUDLESS, "threshold": ("B04",)}
"""Bands of the peers that are no networks of ours."""
ROOM: Final = 0.8
"""Share of the free memory that a peer may be expected to take."""


@dataclass(frozen=True)
class TimingOptions:
    """How often, how long and how large to time."""

    repeat: int = 3
    """Runs of each, of which the median counts."""
    patience: float = 1800.0
    """Seconds after which no further run begins."""
    largest: int = SIDES[-1]
    """Largest side of a square, px."""
    longest: float = inf
    """Seconds that a size may be expected to take."""

    @property
    def sides(self) -> list[int]:
        """Sides of the squares to time, px."""
        return [side for side in SIDES if side <= self.largest]


def main(product: Path, output: Path | None, peers: Sequence[str], options: TimingOptions) -> None:
    """Time `peers` on `product`; write JSON to `output`, or print it."""
    for name in {*peers} - {*TOOLS} - {*WEIGHTS}:
        load_card(name)  # report an unknown one now, not after hours
    document: dict[str, Any] = {
        "commit": commit(), "date": datetime.now(UTC).date().isoformat(), "machine": describe_machine(),
        "matmul_gflops": round(matmul_gflops()), "product": describe_product(product), "repeat": options.repeat,
        "patience": options.patience, "longest": options.longest if isfinite(options.longest) else None,
        "rows": [], "reading": [],
    }  # fmt: skip
    sides = options.sides
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bands = read_whole(product, folder / "array.npy", sides[-1])
        for row in make_rows(folder, bands, peers, options):
            document["rows"].append(row)
            save(document, output)
    ran = [row for row in document["rows"] if row["sizes"]]
    document["reading"] = [*time_reading(product, ran, sides[-1], options.repeat)]
    if sides[-1] == SIDES[-1]:
        document["command"] = time_command(product, options.repeat)
    save(document, output)
    if not output:
        print(json.dumps(document, indent=1, ensure_ascii=False))


def save(document: dict[str, Any], output: Path | None) -> None:
    """Also after each peer, for the whole takes hours."""
    if output:
        with atomic_write(output) as draft:
            draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def make_rows(folder: Path, bands: list[str], peers: Sequence[str], options: TimingOptions) -> Iterator[dict[str, Any]]:
    """Yield each peer's bands and its times by size, or why it has none."""
    for name in peers:
        peer, random = resolve_peer(name, folder)
        used = [band for band in _list_bands(peer) if band in bands]
        asked = {"array": str(folder / "array.npy"), "index": [bands.index(band) for band in used], "bands": used}
        asked |= {"peer": peer, "repeat": options.repeat, "patience": options.patience}
        row: dict[str, Any] = {"peer": name, **_describe_network(peer, random=random), "bands": used, "sizes": []}
        for side in options.sides:
            if too_long := explain_skip(row["sizes"], side, options.longest):
                row["failed"] = too_long
                break
            found = run_timed(asked | {"side": side, "block": choose_block(row["sizes"], side)})
            if isinstance(found, str):
                row["failed"] = found
                break
            row["sizes"].append(found)
            print_line(name, found)
        yield row


def explain_skip(before: list[dict[str, Any]], side: int, longest: float) -> str | None:
    """Explain why a square of `side` px is not run, or return None.

    By the smaller one it would take more than `longest` seconds.
    """
    guess = before[-1]["median"] * side**2 / before[-1]["side"] ** 2 if before else 0.0
    if guess <= longest:
        return None
    return f"{side**2 / 1e6:.0f} Mpx would take about {guess:.0f} s, by the smaller ones; {longest:.0f} s were allowed."


def print_line(name: str, found: dict[str, Any]) -> None:
    """A line about one size, on stderr."""
    blocks = "  in blocks" if found["block"] else ""
    line = f"{name:<28}{found['mpx']:>7.1f} Mpx{found['median']:>9.2f} s{found['peak_mb']:>7} MB{blocks}"
    print(line, file=sys.stderr, flush=True)


def run_timed(asked: dict[str, Any]) -> dict[str, Any] | str:
    """Return times and memory of one peer over one size, or its last message."""
    done = subprocess.run(  # noqa: S603  our own code
        [sys.executable, "timed.py", json.dumps(asked)], check=False, capture_output=True, text=True, cwd=HERE
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"It ended with {done.returncode}."])[-1]
        return said.partition("Error: ")[2] or said
    found = json.loads(done.stdout.splitlines()[-1])
    side, block = asked["side"], asked["block"]
    return {"side": side, "mpx": side**2 / 1e6, "block": block, "median": median(found["seconds"]), **found}


def choose_block(before: list[dict[str, Any]], side: int) -> int | None:
    """Return None if a square of `side` px fits into memory.

    By what smaller ones took; else the largest side that did fit.
    """
    if not before:
        return None
    last = before[-1]
    if last["block"]:
        return int(last["block"])
    return None if last["peak_mb"] * side**2 / last["side"] ** 2 < ROOM * free_mb() else int(last["side"])


def _list_bands(peer: str) -> tuple[str, ...]:
    return TOOLS[peer] if peer in TOOLS else load_card(peer).bands


def _describe_network(peer: str, *, random: bool) -> dict[str, Any]:
    """Describe the network, so that its times are not confused with those of another."""
    if peer in TOOLS:
        return {"random_weights": False}
    return {"random_weights": random, "sha256": load_card(peer).sha256}


def time_command(product: Path, repeat: int) -> dict[str, Any]:
    """Time the whole of `kappamask mask`, from files to a file.

    Reading and inference run at the same time.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "kappamask.cli", "mask", str(product), "-o", f"{folder}/mask.tif"]
        words += ["--level", "L1C", "--radiometry", "dn_harmonized", "--overwrite"]
        runs = [measure_cost(words) for _ in range(repeat)]
    seconds = [round(one.wall, 3) for one in runs]
    return {"seconds": seconds, "median": median(seconds), "peak_mb": round(max(one.peak_mb for one in runs))}


if __name__ == "__main__":
    given = make_parser(__doc__)
    given.add_argument("product", type=Path, metavar="PRODUCT")
    given.add_argument("-o", "--output", type=Path, help="JSON file; printed if left out")
    given.add_argument("--peers", default=",".join(PEERS), help="with commas; %(default)s")
    given.add_argument("--repeat", type=int, default=3, help="runs of each, of which the median counts; %(default)s")
    given.add_argument("--patience", type=float, default=1800, help="seconds after which no further run begins")
    given.add_argument("--largest", type=int, default=SIDES[-1], help="largest side, px; %(default)s")
    given.add_argument("--longest", type=float, default=inf, help="seconds that a size may be expected to take")
    words = given.parse_args()
    options = TimingOptions(words.repeat, words.patience, words.largest, words.longest)
    main(words.product, words.output, words.peers.split(","), options)
