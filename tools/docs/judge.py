"""Make docs/results/accuracy.json, the source of two pages: `make judge DATA=…`.

DATA: the folder of the files of `PARTS`, which are not part of the project, and of `weights/dl_l8s2_uv/`.
Peers that are not installed, or whose weights are not there, are listed.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from kappamask.conversion import convert, dl_l8s2_uv
from kappamask.evaluation.comparison import judge
from kappamask.files.atomic import atomic_write

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / "docs" / "results" / "accuracy.json"
ALL: Final = ("compact", "ukis-csmask", "s2cloudless", dl_l8s2_uv.NAME, "threshold")
DIGITS: Final = 6
"""Of every figure that is kept."""


class Part(NamedTuple):
    """A labelled file, what the first peer knows of it, and which peers mask it."""

    file: str
    dataset: str
    what: str
    known: str
    """What `compact` was shown of it."""
    trained_on: bool
    peers: tuple[str, ...] = ALL
    left_out: str = ""
    """Who is not asked, and why."""


PARTS: Final = (
    Part(
        "labelled_l1c_cumulus_6band.npz", "arrays", "Sentinel-2, farmland under cumulus, 512 x 512 px, 6 bands",
        "never trained on, but checkpoints were chosen by it", trained_on=False,
    ),
    Part(
        "labelled_l1c_pixels_13band.csv", "pixels",
        "Sentinel-2, single pixels of many scenes, 13 bands, each shown as 64 x 64 px of itself",
        "scenes that were set aside", trained_on=False, peers=("compact", "s2cloudless", dl_l8s2_uv.NAME, "threshold"),
        left_out="ukis-csmask is made for 256 px and more, and says so.",
    ),
    Part(
        "labelled_landsat5_6band.npz", "arrays", "Landsat 5, 512 x 512 px of 30 m, 6 bands",
        "never trained on, but it chose between checkpoints, and how much light a simulated shadow has lost",
        trained_on=False,
    ),
    Part(
        "labelled_landsat7_6band.npz", "arrays", "Landsat 7, 512 x 512 px of 30 m, 6 bands",
        "never trained on, but it chose between checkpoints, and how much light a simulated shadow has lost",
        trained_on=False,
    ),
)  # fmt: skip


def main(data: Path) -> None:
    """Judge and keep, with the commit of the code ("+": changed since)."""
    absent = [part.file for part in PARTS if not (data / part.file).is_file()]
    if absent:
        raise SystemExit(f"{data} lacks {', '.join(absent)}; name their folder: make judge DATA=FOLDER")
    kept = {"commit": _commit(), **judge_parts(data)}
    with atomic_write(KEPT) as draft:
        draft.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def judge_parts(data: Path, parts: Sequence[Part] = PARTS) -> dict[str, Any]:
    """What the peers are worth on each part, with hashes of the data."""
    head = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": f"kappamask-openeo {version('kappamask-openeo')}",
        "data": {part.file: hashlib.sha256((data / part.file).read_bytes()).hexdigest() for part in parts},
    }  # fmt: skip
    with TemporaryDirectory() as folder:
        cards = _convert_published(data, Path(folder))
        return head | {"sets": [_judge_part(data, part, cards) for part in parts]}


def _convert_published(data: Path, folder: Path) -> dict[str, list[str]]:
    """Convert the published weights in `data`: peer -> its cards, the better one first."""
    files = [data / "weights" / "dl_l8s2_uv" / name for name in reversed(dl_l8s2_uv.FILES.values())]
    cards = [convert(file, dl_l8s2_uv.NAME, dl_l8s2_uv.LEVEL, folder / file.stem) for file in files if file.is_file()]
    return {dl_l8s2_uv.NAME: [str(card.folder) for card in cards]} if cards else {}


def _judge_part(data: Path, part: Part, cards: Mapping[str, list[str]]) -> dict[str, Any]:
    split = "all" if part.dataset == "arrays" else "test"
    peers = [spec for name in part.peers for spec in cards.get(name, [name])]
    one = judge(f"{part.dataset}={data / part.file}", peers, split=split, report=_print_progress(part.file)).found
    facts = {key: getattr(part, key) for key in ("file", "what", "known", "trained_on", "left_out")}
    return facts | _round_floats(one)


def _print_progress(name: str) -> Any:
    def report(done: int, count: int) -> None:
        if done * 10 // count > (done - 1) * 10 // count:
            print(f"{name}: {done} of {count}", file=sys.stderr, flush=True)  # noqa: T201

    return report


def _round_floats(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: _round_floats(one) for key, one in value.items()}
    return [_round_floats(one) for one in value] if isinstance(value, list) else value


def _commit() -> str:
    words = [which("git") or "git", "describe", "--always", "--abbrev=40", "--dirty=+"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
