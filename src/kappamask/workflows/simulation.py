"""Check simulated tiles against published and real figures."""

from pathlib import Path

from kappamask.training.simulator.realism import (
    Check,
    check_histograms,
    check_moments,
    check_peer,
    check_shadows,
    read_labelled,
    read_tiles,
)
from kappamask.workflows.progress import print_line

__all__ = ["check_tiles"]

JUDGED, BY_PEER = 60, 12
"""Tiles that the checks look at, and that the peer, which is slow, is run on."""


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
