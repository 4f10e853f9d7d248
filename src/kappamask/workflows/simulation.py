"""Draw simulated tiles, and check them against published and real figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.files.atomic import atomic_write
from kappamask.models.schemes import CLASSES
from kappamask.scenes.encoding import words
from kappamask.scenes.writers.class_colours import COLOURS
from kappamask.training.simulator.paint import ONLY_B10
from kappamask.training.simulator.realism import (
    Check,
    check_histograms,
    check_moments,
    check_peer,
    check_shadows,
    read_labelled,
    read_tiles,
)
from kappamask.training.simulator.spectra import B02, B03, B04, B08, B10, B11
from kappamask.workflows.progress import print_line

__all__ = [
    "check_tiles",
    "draw_gallery",
]

JUDGED, BY_PEER = 60, 12
"""Tiles that the checks look at, and that the peer, which is slow, is run on."""
#: Red, green, blue of the two views, and the reflectance that is shown as full.
VIEWS: Final = (
    ("natural colours", (B04, B03, B02), None),
    ("B11, B08, B10", (B11, B08, B10), (0.5, 0.6, 0.03)),
)
ACROSS: Final = 4
CODES: Final = (1, 2, 3, 4, 0)


def check_tiles(data: Path, tiles: Path) -> list[Check]:
    """Compare simulated tiles with published and real figures; without ukis-csmask all but its check.

    data: folder of the real scenes and pixels; tiles: folder of the tiles.
    """
    judged, real = read_tiles(tiles, JUDGED), read_labelled(data)
    checks = [
        *check_moments(judged),
        *(one for scene in real for one in check_histograms(judged, *scene)),
        *check_shadows(judged, real),
    ]
    try:
        return checks + check_peer(read_tiles(tiles, BY_PEER))
    except ModuleNotFoundError as error:
        print_line(f"kappamask: the peer was not asked: no module {error.name} (pip install ukis-csmask).")
        return checks


def draw_gallery(tiles: Sequence[NDArray[np.uint16]], path: Path) -> None:
    """Write a PNG of `tiles` (14, y, x), three views of each side by side.

    Raises SceneError if it cannot be written.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = -(-len(tiles) // ACROSS)
    figure = Figure(figsize=(3 * 1.6 * ACROSS, 1.7 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, 3 * ACROSS, squeeze=False).ravel()
    for axis in axes[: 3 * len(tiles)]:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(color="0.7", linewidth=0.5)  # white cloud ends there on a white page
    for axis in axes[3 * len(tiles) :]:
        axis.axis("off")
    colours = ListedColormap([f"#{colour}" for _, colour in sorted(COLOURS.items())])
    for i, tile in enumerate(tiles):
        for j, (title, bands, full) in enumerate(VIEWS):
            axes[3 * i + j].imshow(_to_colours(tile, bands, full))
            axes[3 * i + j].set_title(title, fontsize=7)
        axes[3 * i + 2].imshow(
            tile[13] % ONLY_B10, vmin=0, vmax=len(COLOURS) - 1, cmap=colours, interpolation="nearest"
        )
        axes[3 * i + 2].set_title("truth", fontsize=7)
    shown = [
        Patch(facecolor=f"#{COLOURS[code]}", edgecolor="0.5", label=words(CLASSES[code]) if code else "not judged")
        for code in CODES
    ]
    figure.legend(handles=shown, loc="outside lower center", ncols=len(shown), frameon=False)
    with atomic_write(path) as draft:
        figure.savefig(draft, dpi=110, format="png")


def _to_colours(tile: NDArray[np.uint16], bands: tuple[int, ...], full: tuple[float, ...] | None) -> NDArray[Any]:
    """Return the colours (y, x, 3) of three bands.

    full: reflectance shown as white; left out, the 97th percentile of the picture.
    """
    light = tile[list(bands)].transpose(1, 2, 0) / np.float32(1e4)
    top = np.array(full or max(0.2, float(np.percentile(light, 97))), np.float32)
    return np.clip(light / top, 0, 1) ** np.float32(0.7)
