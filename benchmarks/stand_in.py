"""Networks whose weights are not here, with random ones in their places: a time does not depend on them."""

from __future__ import annotations

import sys
from pathlib import Path

from kappamask.evaluation.peers import WEIGHTS
from kappamask.models import CardError, load_card

TESTS = Path(__file__).resolve().parents[1] / "tests"
"""Where the layouts of the published files are written down."""


def stand_in(name: str, folder: Path) -> tuple[str, bool]:
    """The peer to run, and whether its weights are random because the real ones are not here."""
    if name not in WEIGHTS or _is_card(name):
        return name, False
    sys.path.insert(0, str(TESTS))
    import official
    import valencia

    from kappamask.conversion import convert

    kind, file = name.removeprefix("official-l1c-"), folder / f"{name}.hdf5"
    if kind == name:
        valencia.write(file, valencia.weights(6))
    else:
        official.write(file, kind, 13)
    convert(file, kind, "L1C", folder / name)
    return str(folder / name), True


def _is_card(name: str) -> bool:
    try:
        load_card(name)
    except CardError:
        return False
    return True
