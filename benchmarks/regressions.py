"""Time this tree against the commit before it, and against a stored baseline.

`python benchmarks/regressions.py [--against REVISION] [--rounds N] [--store]`. A step that takes more than 10 % longer
than at REVISION (left out, HEAD where files are changed, else the commit before it) is printed as a regression.
The baseline (`baseline.json`) holds each step's time in products of two matrices of 3072 x 3072 numbers, which can be
compared between machines; `--store` writes it again, on a clean commit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import which
from typing import Any, Final

import numpy as np
from arguments import make_parser
from machine import commit, describe_machine
from product import PIECE, write_bands
from run import matmul_seconds

from kappamask.files.atomic import atomic_write

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
BASELINE: Final = HERE / "baseline.json"
ROUNDS: Final = 5
LIMIT: Final = 1.10
"""Ratio of times above which a step is a regression."""
DIGITS: Final = 3
Times = dict[str, float]


def prepare(folder: Path) -> None:
    """Write real pixels under painted clouds, as an array and as JPEG 2000."""
    from kappamask.models import SENTINEL2_BANDS
    from kappamask.workflows.demo import paint

    array = paint(folder / "scene", 8).cube.values[:, :PIECE, :PIECE]
    np.save(folder / "array.npy", array)
    (folder / "bands.json").write_text(json.dumps(list(SENTINEL2_BANDS[:13])), encoding="utf-8")
    write_bands(folder / "product", array, side=2 * PIECE)


@contextmanager
def check_out(revision: str) -> Iterator[Path]:
    """Check out `revision` into a temporary folder for the block."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        run_git("worktree", "add", "--detach", "--quiet", str(tree), revision)
        try:
            yield tree
        finally:
            run_git("worktree", "remove", "--force", str(tree))


def run_git(*words: str) -> str:
    """Return what git prints; SystemExit with its message where it fails."""
    done = subprocess.run(  # noqa: S603  fixed commands and a revision that git checks
        [which("git") or "git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr.strip() or f"git {words[0]} ended with {done.returncode}")
    return done.stdout.strip()


def time_tree(tree: Path, folder: Path) -> Times:
    """Return the seconds of each step in a new process that imports kappamask from `tree`."""
    done = subprocess.run(  # noqa: S603  our own code
        [sys.executable, str(HERE / "steps.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": str(tree / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{tree}: {done.stderr.strip() or done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def time_in_turns(before: Path, folder: Path, rounds: int) -> tuple[Times, Times]:
    """Return the least seconds of each step, before and now, of runs that take turns."""
    old: Times = {}
    new: Times = {}
    for turn in range(rounds):
        trees = [(before, old), (ROOT, new)]
        for tree, least in trees if turn % 2 == 0 else reversed(trees):
            for name, seconds in time_tree(tree, folder).items():
                least[name] = min(seconds, least.get(name, seconds))
    return old, new


def compare_times(old: Times, new: Times, unit: float, stored: Times) -> list[dict[str, Any]]:
    """Return a row for each step, with its ratios.

    Seconds, ratio to `old`, products of matrices, and the ratio of these to `stored`.
    """
    rows = []
    for name, seconds in new.items():
        row: dict[str, Any] = {"step": name, "seconds": seconds, "products": seconds / unit}
        row["against_commit"] = seconds / old[name] if name in old else None
        row["against_baseline"] = seconds / unit / stored[name] if name in stored else None
        rows.append(row)
    return rows


def find_regressions(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line for each step that takes over 10 % longer than before."""
    return [
        f"{row['step']}: {row['against_commit'] - 1:.0%} longer"
        for row in rows if row["against_commit"] is not None and row["against_commit"] > LIMIT
    ]  # fmt: skip


def print_rows(rows: list[dict[str, Any]], revision: str) -> None:
    """Print the table and what became slower."""
    print(f"{'step':<30}{'seconds':>9}{'/ ' + revision[:8]:>12}{'products':>10}{'/ baseline':>12}")
    for row in rows:
        ratios = [f"{row[key]:.2f}" if row[key] else "-" for key in ("against_commit", "against_baseline")]
        print(f"{row['step']:<30}{row['seconds']:>9.3f}{ratios[0]:>12}{row['products']:>10.2f}{ratios[1]:>12}")
    slower = find_regressions(rows)
    print(f"Regressions against {revision[:8]}: " + ("; ".join(slower) if slower else "none over 10 %"))


def read_baseline() -> Times:
    """Return the stored times in products of matrices, by step."""
    return json.loads(BASELINE.read_text(encoding="utf-8"))["products"] if BASELINE.exists() else {}


def store_baseline(rows: list[dict[str, Any]], unit: float) -> None:
    """Write the times of `rows`, with commit and machine."""
    products = {row["step"]: round(row["products"], DIGITS) for row in rows}
    facts = {"commit": commit(), "made": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe_machine()}
    with atomic_write(BASELINE) as draft:
        kept = facts | {"matmul_seconds": round(unit, DIGITS), "products": products}
        draft.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def main(against: str | None, rounds: int, *, store: bool) -> None:
    changed = run_git("status", "--porcelain", "--untracked-files=no") != ""
    if store and changed:
        raise SystemExit("Files are changed: commit first, for the baseline names the commit.")
    revision = run_git("rev-parse", "--verify", against or ("HEAD" if changed else "HEAD~1"))
    with tempfile.TemporaryDirectory() as name, check_out(revision) as before:
        prepare(Path(name))
        unit = matmul_seconds()
        old, new = time_in_turns(before, Path(name), rounds)
    rows = compare_times(old, new, unit, read_baseline())
    print_rows(rows, revision)
    if store:
        store_baseline(rows, unit)


if __name__ == "__main__":
    arguments = make_parser(__doc__)
    arguments.add_argument("--against", help="revision to compare with")
    arguments.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each tree")
    arguments.add_argument("--store", action="store_true", help="write the baseline")
    given = arguments.parse_args()
    main(given.against, given.rounds, store=given.store)
