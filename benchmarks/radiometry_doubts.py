"""Count doubts about the offset that real images raise: `python benchmarks/radiometry_doubts.py LABELLED`.

LABELLED is the folder that `real_scenes.py label` writes; all of its images are harmonised. A doubt about an image as
it is is false; one about the same plus 1000 (the offset left in) or less 1000 (taken away twice) is right. Prints the
table of docs/design/0003-radiometry.md: of how many pieces, false doubts, and right ones of either kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from arguments import make_parser

from kappamask.datasets import Patch, open_dataset
from kappamask.evaluation.scene_kinds import SUBSETS
from kappamask.models import RadiometryError
from kappamask.udf.pixel_statistics import MIN_PIXELS, compute_statistics
from kappamask.udf.radiometry import Decision, check_radiometry

SAID: Final = Decision("dn_harmonized", "processing baseline 03.01", by_metadata=True)
PIECES: Final = (None, 256, 96)
"""Sides in pixels into which images are cut; None: whole."""
OFFSET: Final = 1000
DN: Final = 1e4


def cut(numbers: np.ndarray, side: int | None) -> Iterator[np.ndarray]:
    """Yield whole squares (band, y, x) of `side` px, or the image."""
    if side is None:
        yield numbers
        return
    height, width = (length // side for length in numbers.shape[1:])
    for row, column in product(range(height), range(width)):
        yield numbers[:, row * side : (row + 1) * side, column * side : (column + 1) * side]


def raises_doubt(numbers: np.ndarray, bands: tuple[str, ...], level: str) -> bool:
    """Tell whether numbers (band, y, x), said to be harmonised, raise an error."""
    flat = numbers.reshape(len(numbers), -1)
    seen = replace(compute_statistics(flat, bands, np.isfinite(flat).all(axis=0)), level=level)
    try:
        check_radiometry(SAID, seen)
    except RadiometryError:
        return True
    return False


def count_doubts(patch: Patch, wanted: tuple[str, ...], side: int | None) -> Counter[str]:
    """Count the pieces of an image, and those that raise a doubt."""
    bands = tuple(band for band in wanted if band in patch.bands and np.isfinite(patch.stack([band])).any())
    counted: Counter[str] = Counter()
    if len(bands) < min(len(wanted), 10):
        return counted
    for piece in cut(np.rint(patch.stack(bands) * DN), side):
        if np.isfinite(piece).all(axis=0).sum() >= MIN_PIXELS:
            counted["pieces"] += 1
            counted["false"] += raises_doubt(piece, bands, patch.level)
            counted["left in"] += raises_doubt(piece + OFFSET, bands, patch.level)
            counted["twice"] += raises_doubt(piece - OFFSET, bands, patch.level)
    return counted


def main(folder: Path) -> None:
    """Print the table, Markdown."""
    patches = [patch for part in ("train", "validation") for patch in open_dataset("arrays", folder).part(part)]
    print("| bands | " + " | ".join("whole images" if side is None else f"{side} px pieces" for side in PIECES) + " |")
    print("|---|" + "---|" * len(PIECES))
    for name in ("13", "6", "4", "3"):
        cells = []
        for side in PIECES:
            total = sum((count_doubts(patch, SUBSETS[name], side) for patch in patches), Counter())
            cells.append(f"{total['pieces']}: {total['false']}; {total['left in']}, {total['twice']}")
        print(f"| {'10 to 13' if name == '13' else ' '.join(SUBSETS[name])} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    options = make_parser(__doc__)
    options.add_argument("folder", type=Path, metavar="LABELLED")
    main(options.parse_args().folder)
