"""Render self-contained pages from templates, with images as data URIs."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.image import imsave
from numpy.typing import NDArray

from kappamask.files.atomic import atomic_write
from kappamask.udf.schemes import CLOUD, SEMI_TRANSPARENT, SHADOW

__all__ = [
    "OUTLINES",
    "SCALE",
    "Picture",
    "draw_outlines",
    "embed_png",
    "percent",
    "png",
    "score_colours",
    "write_html",
]

OUTLINES = {SHADOW: (61, 165, 255), SEMI_TRANSPARENT: (255, 176, 0), CLOUD: (255, 45, 120)}
"""Class -> red, green, blue of its outline: apart from each other, and from land, water and cloud."""
SCORES = "cividis"
"""Matplotlib's map that reads the same with any colour vision, and in grey (Nuñez et al. 2018)."""
SCALE = [to_hex(colormaps[SCORES](one)) for one in np.linspace(0, 1, 6)]
"""Colours of the scores 0, 0.2 … 1."""
UNKNOWN = "–"
"""What stands where there is no number."""


@dataclass(frozen=True)
class Picture:
    """An image, what it shows in words for those who do not see it, and what stands below it."""

    uri: str
    alt: str
    caption: str = ""
    width: int = 0
    height: int = 0


def png(pixels: NDArray[Any], alt: str, caption: str = "") -> Picture:
    """A picture of pixels (y, x, 3 or 4), uint8 or float 0 to 1."""
    buffer = BytesIO()
    imsave(buffer, pixels, format="png")
    return Picture(_uri(buffer.getvalue()), alt, caption, pixels.shape[1], pixels.shape[0])


def embed_png(path: Path, alt: str) -> Picture:
    """A PNG file as a picture."""
    return Picture(_uri(path.read_bytes()), alt)


def draw_outlines(
    colour: NDArray[np.float32], codes: NDArray[np.uint8], classes: Mapping[int, int]
) -> NDArray[np.float32]:
    """A picture (y, x, 3) with the outlines of a mask (y, x); `classes` maps its values to KappaMask's codes."""
    drawn = colour.copy()
    for value, code in classes.items():
        if code in OUTLINES:
            drawn[_edge(codes == value)] = np.array(OUTLINES[code]) / 255
    return drawn


def score_colours(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scores 0 to 1 (y, x) as uint8 (y, x, 4); NaN is transparent."""
    colours: NDArray[np.uint8] = colormaps[SCORES](np.nan_to_num(scores), bytes=True)
    colours[~np.isfinite(scores), 3] = 0
    return colours


def _edge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the area with one of the four neighbours outside it; the image's own border is no edge."""
    around = np.pad(inside, 1, mode="edge")
    return inside & ~(around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:])


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{b64encode(data).decode()}"


def write_html(path: str | Path, template: str, **facts: Any) -> Path:
    """Write the page that a template of this room makes of `facts`; SceneError if it cannot be written."""
    text = _templates().get_template(template).render(facts, version=version("kappamask-openeo"))
    with atomic_write(Path(path)) as draft:
        draft.write_text(text, encoding="utf-8")
    return Path(path)


@cache
def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("kappamask.reports"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {"percent": percent, "count": _count, "number": _number}
    return found


def percent(value: float | None) -> str:
    """A percentage to a tenth, but never 0 or 100 for what only comes near it; a dash for None and NaN."""
    if value is None or value != value:
        return UNKNOWN
    low, high = 0 < value < 0.05, 99.95 <= value < 100
    return "< 0.1 %" if low else "> 99.9 %" if high else f"{value:.1f} %"


def _count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"
