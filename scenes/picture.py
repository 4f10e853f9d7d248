"""A quicklook: true colour beside the mask."""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from kappamask.models import ClassValue, SceneError
from kappamask.scenes.atomic import written_whole
from kappamask.scenes.legend import colormap, legend

__all__ = ["quicklook"]

RGB = ("B04", "B03", "B02")
MAX_SIDE = 1200
"""Pixels of the longer side; larger scenes are thinned to it."""
STRETCH = (2, 50, 98)
"""Percentiles of the valid pixels, band by band (haze over L1C is blue): black, the middle, and white."""
MOST_CONTRAST = 5.0
"""White lies at most this many times as far from black as the middle, lest a few clouds leave the land black."""
GAMMA = 0.8
"""Below 1 lifts shadows, so that a cloud's shadow can be told from water."""
DPI = 110


def quicklook(cube: xr.DataArray, mask: xr.DataArray, path: str | Path, truth: xr.DataArray | None = None) -> Path:
    """Write a PNG: `cube` (bands, y, x) in true colour, `mask` (y, x) and, where known, `truth` (y, x) with a legend.

    Each class is listed with its share of the pixels. Raises SceneError if the cube lacks B02, B03 or B04, if the
    sizes differ, or if the file cannot be written.
    """
    target = Path(path)
    colour = _true_colour(cube)
    classes = legend(mask)
    panels = {"KappaMask": _thinned(mask, cube)} | ({} if truth is None else {"Truth": _thinned(truth, cube)})
    figure = Figure(figsize=(5.5 * (1 + len(panels)), 6), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + len(panels))
    axes[0].imshow(colour)
    axes[0].set_title("B04, B03, B02")
    for ax, (title, codes) in zip(axes[1:], panels.items(), strict=True):
        _classes(ax, title, codes, classes)
    for ax in axes:
        ax.set_axis_off()
    with written_whole(target) as draft:
        figure.savefig(draft, format="png", bbox_inches="tight")
    return target


def _true_colour(cube: xr.DataArray) -> NDArray[np.float32]:
    lacking = [band for band in RGB if band not in cube.coords["bands"].values]
    if lacking:
        raise SceneError(f"A quicklook needs B02, B03 and B04; the scene lacks {', '.join(lacking)}.")
    image = _thin(cube.sel(bands=list(RGB)).transpose("y", "x", "bands")).values.astype(np.float32)
    valid = np.isfinite(image).all(axis=-1) & (image != 0).any(axis=-1)
    low, middle, high = np.percentile(image[valid], STRETCH, axis=0) if valid.any() else np.outer(range(3), np.ones(3))
    high = np.minimum(high, low + MOST_CONTRAST * (middle - low))
    bright = np.clip((image - low) / np.maximum(high - low, 1e-6), 0, 1) ** GAMMA
    return np.where(valid[..., None], bright, 0).astype(np.float32)


def _thin(array: xr.DataArray) -> xr.DataArray:
    step = -(-max(array.sizes["y"], array.sizes["x"]) // MAX_SIDE)
    return array.isel(y=slice(None, None, step), x=slice(None, None, step))


def _thinned(mask: xr.DataArray, cube: xr.DataArray) -> NDArray[np.uint8]:
    if (mask.sizes["y"], mask.sizes["x"]) != (cube.sizes["y"], cube.sizes["x"]):
        raise SceneError(f"The mask has {dict(mask.sizes)} pixels, the scene {dict(cube.sizes)}; one grid is needed.")
    return np.asarray(_thin(mask.transpose("y", "x")).values)


def _classes(ax: Axes, title: str, codes: NDArray[np.uint8], classes: tuple[ClassValue, ...]) -> None:
    table = np.ones((256, 4))
    for value, rgba in colormap(classes).items():
        table[value] = np.array(rgba) / 255
    ax.imshow(codes, cmap=ListedColormap(table), vmin=0, vmax=255, interpolation="nearest")
    ax.set_title(title)
    shares = {c: float(np.mean(codes == c.value)) for c in classes}
    shown = [
        Patch(facecolor=f"#{c.color_hint}", edgecolor="grey", label=f"{c.name} {s:.1%}") for c, s in shares.items() if s
    ]
    ax.legend(handles=shown, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False)
