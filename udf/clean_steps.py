"""The steps by which one image of class codes is cleaned, each of which looks a known distance around it."""

from collections.abc import Callable
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from kappamask.models.cleaning import MARGIN_M, ROUNDING, Cleaning, doublings
from kappamask.models.schemes import class_codes
from kappamask.udf.classes import CLEAR, CLOUD, MISSING, SHADOW
from kappamask.udf.disc import grown
from kappamask.udf.objects import find_runs

__all__ = ["cleaned"]

Codes = NDArray[np.uint8]
Bools = NDArray[np.bool_]


def cleaned(codes: Codes, cleaning: Cleaning, pixel_m: float) -> Codes:
    """`codes` (y, x) after all steps of `cleaning`; see `kappamask.udf.clean` for what each does and in which order."""
    framed = np.pad(codes, 1, constant_values=MISSING)
    steps: tuple[Callable[[Codes, Cleaning, float], None], ...] = (_cast, _objects, _holes, _buffers)
    for step in steps:
        step(framed, cleaning, pixel_m)
    return framed[1:-1, 1:-1]


def _cast(codes: Codes, cleaning: Cleaning, pixel_m: float) -> None:
    """Shadow that no cloud casts becomes clear; what is missing may be cloud."""
    if not cleaning.shadow_length_m or not (codes == SHADOW).any():
        return
    length, source = cleaning.shadow_length_m / pixel_m, (codes != CLEAR) & (codes != SHADOW)
    shade = _wedge(source, length, cleaning.sun, MARGIN_M / pixel_m) if cleaning.sun else grown(source, length)
    np.putmask(codes, (codes == SHADOW) & ~shade, CLEAR)


def _wedge(source: Bools, length: float, sun: tuple[float, float], margin: float) -> Bools:
    """Where the shadow of `source` may fall with the sun at zenith and azimuth, up to `length` pixels away."""
    shade, (zenith, azimuth) = grown(source, margin), sun
    for step, radius in doublings(length, zenith):
        down, right = round(step * cos(radians(azimuth))), round(-step * sin(radians(azimuth)))
        shade |= _shifted(grown(shade, radius), down, right)
    return shade


def _shifted(image: Bools, down: int, right: int) -> Bools:
    """`image` moved; what comes in from outside is True."""
    moved = np.ones_like(image)
    height, width = image.shape
    if abs(down) < height and abs(right) < width:
        rows = slice(max(down, 0), height + min(down, 0))
        columns = slice(max(right, 0), width + min(right, 0))
        back = slice(rows.start - down, rows.stop - down), slice(columns.start - right, columns.stop - right)
        moved[rows, columns] = image[back]
    return moved


def _objects(codes: Codes, cleaning: Cleaning, pixel_m: float) -> None:
    """Connected cloud and shadow of too few pixels becomes clear."""
    least, _ = cleaning.least(pixel_m)
    if least > 1:
        runs = find_runs((codes >= SHADOW) & (codes <= CLOUD), diagonal=True)
        codes.ravel()[runs.pixels(runs.area() < least)] = CLEAR


def _holes(codes: Codes, cleaning: Cleaning, pixel_m: float) -> None:
    """Clear areas of too few pixels within cloud and shadow take the strongest class that touches them."""
    _, least = cleaning.least(pixel_m)
    if least > 1:
        runs = find_runs(codes == CLEAR, diagonal=False)
        touching = runs.most(_strongest_beside(codes).ravel())
        chosen = (runs.area() < least) & (touching < MISSING)
        codes.ravel()[runs.pixels(chosen)] = np.repeat(touching[chosen], (runs.stop - runs.start)[chosen])


def _strongest_beside(codes: Codes) -> Codes:
    """The highest code of each pixel's four neighbours, where all that is neither clear nor cloud counts as missing."""
    ranked = np.where((codes >= CLEAR) & (codes <= CLOUD), codes, np.uint8(MISSING))
    found, before, after = ranked.copy(), slice(None, -1), slice(1, None)
    for here, there in ((before, after), (after, before)):
        np.maximum(found[here], ranked[there], out=found[here])
        np.maximum(found[:, here], ranked[:, there], out=found[:, here])
    return found


def _buffers(codes: Codes, cleaning: Cleaning, pixel_m: float) -> None:
    """Each class grows over what is weaker than itself."""
    before = codes.copy()
    for name, metres in cleaning.buffers:
        (code,) = class_codes([name])
        near = grown(before == code, metres / pixel_m * (1 + ROUNDING))
        np.putmask(codes, near & (codes >= CLEAR) & (codes < code), code)
