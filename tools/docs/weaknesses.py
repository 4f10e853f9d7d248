"""Make the part of docs/weaknesses.md that is measured: `python tools/docs/weaknesses.py [COMPARISON.json DATA...]`.

With arguments, the comparison is first kept as docs/results/strata.json, with the commit and the hashes of the data.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from shutil import which

from kappamask.reports.weaknesses import replaced

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "results" / "strata.json"
PAGE = ROOT / "docs" / "weaknesses.md"


def keep(comparison: Path, data: list[Path]) -> None:
    """Write down what was found, and on what."""
    git = [which("git") or "git", "describe", "--always", "--abbrev=40", "--dirty=+"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in data}
    found = {"commit": commit.strip(), "data": hashes, **json.loads(comparison.read_text(encoding="utf-8"))}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """See above."""
    if arguments:
        keep(Path(arguments[0]), [*map(Path, arguments[1:])])
    found = json.loads(KEPT.read_text(encoding="utf-8"))
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
