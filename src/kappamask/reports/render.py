"""Render self-contained pages from templates, with images as data URIs."""

from base64 import b64encode
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
from kappamask.scenes.writers.captions import UNKNOWN, ScaleBar, format_percent
from kappamask.scenes.writers.class_colours import find_picture_colour

__all__ = [
    "SCALE",
    "Picture",
    "embed_png",
    "encode_png",
    "format_percent",
    "score_colours",
    "write_html",
]

SCORES = "cividis"
"""Matplotlib's map that reads the same with any colour vision, and in grey (Nuñez et al. 2018)."""
SCALE = [to_hex(colormaps[SCORES](one)) for one in np.linspace(0, 1, 6)]
"""Colours of the scores 0, 0.2 … 1."""


@dataclass(frozen=True)
class Picture:
    """An image with its alternative text, its caption, and what is drawn on it."""

    uri: str
    alt: str
    caption: str = ""
    width: int = 0
    height: int = 0
    bar: ScaleBar | None = None
    north: bool = False
    """Whether an arrow in the picture says that north is up."""


def encode_png(pixels: NDArray[Any], alt: str, caption: str = "") -> Picture:
    """Encode pixels (y, x, 3 or 4), uint8 or float 0 to 1, as PNG."""
    buffer = BytesIO()
    imsave(buffer, pixels, format="png")
    return Picture(_make_data_uri(buffer.getvalue()), alt, caption, pixels.shape[1], pixels.shape[0])


def embed_png(path: Path, alt: str) -> Picture:
    """Embed a PNG file as a picture."""
    return Picture(_make_data_uri(path.read_bytes()), alt)


def score_colours(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour scores 0 to 1 (y, x): uint8 (y, x, 4); NaN is transparent."""
    colours: NDArray[np.uint8] = colormaps[SCORES](np.nan_to_num(scores), bytes=True)
    colours[~np.isfinite(scores), 3] = 0
    return colours


def _make_data_uri(data: bytes) -> str:
    return f"data:image/png;base64,{b64encode(data).decode()}"


def write_html(path: str | Path, template: str, **facts: Any) -> Path:
    """Write the page that a template of this package makes of `facts`.

    Raises SceneError if it cannot be written.
    """
    text = _open_templates().get_template(template).render(facts, version=version("kappamask-openeo"))
    with atomic_write(Path(path)) as draft:
        draft.write_text(text, encoding="utf-8")
    return Path(path)


@cache
def _open_templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("kappamask.reports"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {
        "percent": format_percent,
        "count": _format_count,
        "number": _format_number,
        "colour": find_picture_colour,
    }
    return found


def _format_count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _format_number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"
