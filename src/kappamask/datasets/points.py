"""Single labelled pixels: each a chip of nothing but itself, of which the middle is judged."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from kappamask.datasets.patch import Patch

__all__ = ["SIDE", "chip"]

SIDE: Final = 64
"""Pixels of a chip: the smallest that networks of six levels take. It has no neighbours, no texture and no shadow's
cloud, so what looks at these is judged by colour alone."""


def chip(
    name: str, group: str, split: str, spectrum: ArrayLike, code: int, bands: Sequence[str], *,
    merged: bool, tells_shadow: bool = False, tags: Mapping[str, bool] | None = None,
) -> Patch:  # fmt: skip
    """A patch (band, 64, 64) of one spectrum, reflectance (band,), whose truth is `code` in the middle and 0 around."""
    plane = np.asarray(spectrum, np.float32)[:, None, None]
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[SIDE // 2, SIDE // 2] = code
    whole = np.broadcast_to(plane, (len(bands), SIDE, SIDE)).copy()
    return Patch(name, group, split, "L1C", None, tuple(bands), whole, truth, merged, tells_shadow, tags or {})
