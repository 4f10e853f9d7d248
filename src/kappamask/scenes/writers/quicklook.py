"""Draw quicklooks: true colour beside the mask."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import dask.array
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from kappamask.files.atomic import atomic_write
from kappamask.models import ClassValue, SceneError
from kappamask.scenes.encoding import NODATA, colormap, legend
from kappamask.scenes.grid import sort_north_up
from kappamask.scenes.readers.raster import GDAL_ERRORS

__all__ = [
    "RGB",
    "Preview",
    "colour_codes",
    "quicklook",
    "red_green_blue",
    "stretch_contrast",
    "subsample",
    "true_colour",
]

RGB = ("B04", "B03", "B02")
MAX_SIDE = 1200
"""Pixels of the longer side; larger scenes are thinned to it."""
STRETCH = (2, 50, 98)
"""Percentiles of the valid pixels, band by band (haze over L1C is blue): black, the middle, and white."""
MOST_CONTRAST = 5.0
"""White lies at most this many times as far from black as the middle, lest a few clouds leave the land black."""
GAMMA = 0.8
"""Below 1 lifts shadows, so that a cloud's shadow can be told from water."""
SMALLEST = 1e-6
"""Difference of black and white that a picture of one colour is given."""
DPI = 110
da: Any = dask.array  # its annotations are partial
LONGEST = 2400
"""Pixels of the longer side: twice a quicklook's, so that colours lie at most half of its pixels beside their place."""


def quicklook(cube: xr.DataArray, mask: xr.DataArray, path: str | Path, truth: xr.DataArray | None = None) -> Path:
    """Write a PNG: `cube` (bands, y, x) in true colour, `mask` (y, x) and, where known, `truth` (y, x) with a legend.

    North is above. Each class is listed with its share of the pixels. Raises SceneError if the cube lacks B02, B03 or
    B04, if the sizes differ, or if the file cannot be written.
    """
    target = Path(path)
    if all("y" in one.coords for one in (cube, mask, truth) if one is not None):  # else only the order of rows tells
        cube, mask, truth = sort_north_up(cube), sort_north_up(mask), None if truth is None else sort_north_up(truth)
    colour = true_colour(subsample(cube, MAX_SIDE))
    classes = legend(mask)
    panels = {"KappaMask": _codes(mask, cube)} | ({} if truth is None else {"Truth": _codes(truth, cube)})
    figure = Figure(figsize=(5.5 * (1 + len(panels)), 6), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + len(panels))
    axes[0].imshow(colour)
    axes[0].set_title("B04, B03, B02")
    for ax, (title, codes) in zip(axes[1:], panels.items(), strict=True):
        _classes(ax, title, codes, classes)
    for ax in axes:
        ax.set_axis_off()
    with atomic_write(target, GDAL_ERRORS) as draft:
        figure.savefig(draft, format="png", bbox_inches="tight")
    return target


def true_colour(cube: xr.DataArray) -> NDArray[np.float32]:
    """The picture of a cube (bands, y, x) of any dtype: `stretch_contrast` by the cube's own pixels.

    Computes the cube's B04, B03 and B02, so thin a large one first. Raises SceneError if one of them is lacking.
    """
    image = red_green_blue(cube)
    return stretch_contrast([image], image)[0]


def red_green_blue(cube: xr.DataArray) -> NDArray[np.float32]:
    """Numbers of B04, B03 and B02 as stored, float32 (y, x, 3), NaN where a band has no data (0, NaN)."""
    lacking = [band for band in RGB if band not in cube.coords["bands"].values]
    if lacking:
        raise SceneError(f"A picture needs B02, B03 and B04; the scene lacks {', '.join(lacking)}.")
    image = cube.sel(bands=list(RGB)).transpose("y", "x", "bands").values.astype(np.float32)
    valid = np.isfinite(image).all(axis=-1) & (image != 0).any(axis=-1)
    return np.where(valid[..., None], image, np.float32(np.nan))


def stretch_contrast(images: Sequence[NDArray[np.float32]], of: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Images (y, x, 3) as 0 to 1, black where NaN, all with one stretch, so that they compare.

    of: pixels (…, 3) that are to be told apart; those with NaN do not count.
    """
    pixels = of[np.isfinite(of).all(axis=-1)]
    low, middle, high = np.percentile(pixels, STRETCH, axis=0) if len(pixels) else np.outer(range(3), np.ones(3))
    high = np.minimum(high, low + MOST_CONTRAST * (middle - low))
    scale = np.maximum(high - low, SMALLEST)
    return [np.nan_to_num(np.clip((one - low) / scale, 0, 1) ** GAMMA).astype(np.float32) for one in images]


def subsample(array: xr.DataArray, longest: int) -> xr.DataArray:
    """Every n-th row and column of `array` (…, y, x), so that no side has more than `longest` pixels."""
    step = -(-max(array.sizes["y"], array.sizes["x"]) // longest)
    return array.isel(y=slice(None, None, step), x=slice(None, None, step))


def colour_codes(codes: NDArray[np.integer], classes: tuple[ClassValue, ...]) -> NDArray[np.uint8]:
    """Codes (y, x) in the colours of their classes: uint8 (y, x, 4), red, green, blue, alpha; others transparent."""
    table = np.zeros((256, 4), np.uint8)
    for value, rgba in colormap(classes).items():
        table[value] = rgba
    return np.asarray(table[np.clip(codes, 0, NODATA)])


def _codes(mask: xr.DataArray, cube: xr.DataArray) -> NDArray[np.uint8]:
    if (mask.sizes["y"], mask.sizes["x"]) != (cube.sizes["y"], cube.sizes["x"]):
        raise SceneError(f"The mask has {dict(mask.sizes)} pixels, the scene {dict(cube.sizes)}; one grid is needed.")
    return np.asarray(subsample(mask.transpose("y", "x"), MAX_SIDE).values)


def _classes(ax: Axes, title: str, codes: NDArray[np.uint8], classes: tuple[ClassValue, ...]) -> None:
    ax.imshow(colour_codes(codes, classes), interpolation="nearest")
    ax.set_title(title)
    shares = {c: float(np.mean(codes == c.value)) for c in classes}
    shown = [
        Patch(facecolor=f"#{c.color_hint}", edgecolor="grey", label=f"{c.name} {s:.1%}") for c, s in shares.items() if s
    ]
    ax.legend(handles=shown, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False)


class Preview:
    """Every n-th row and column of a lazy cube's red, green and blue; of several dates, the last one's.

    They are taken from the chunks of `watched` when those are computed, in this process.
    """

    def __init__(self, cube: xr.DataArray) -> None:
        data, meta = cube.data, np.empty((0,) * cube.ndim, dtype=cube.dtype)
        seen = da.map_blocks(self._take, data, dtype=cube.dtype, meta=meta, name=f"preview-{uuid4().hex}")
        self.watched = cube.copy(data=seen)
        self._like = cube.isel(t=-1) if "t" in cube.dims else cube
        self._first = (cube.sizes["t"] - 1,) if "t" in cube.dims else ()
        self._step = -(-max(cube.shape[-2:]) // LONGEST)
        labels = [str(label) for label in cube["bands"].values]
        self._bands = [labels.index(band) for band in RGB if band in labels]
        sides = [-(-side // self._step) for side in cube.shape[-2:]]
        self._pixels = np.zeros((len(self._bands), *sides), dtype=cube.dtype)

    def _take(self, block: NDArray[Any], block_info: Any) -> NDArray[Any]:
        *dates, (first, last), y, x = block_info[0]["array-location"]
        held = [number for number, band in enumerate(self._bands) if first <= band < last]
        if held and all(start <= date < stop for date, (start, stop) in zip(self._first, dates, strict=True)):
            (rows, into_y), (columns, into_x) = (_lines_of_step(self._step, *ends) for ends in (y, x))
            image = block[-1] if dates else block
            for number in held:
                self._pixels[number, into_y, into_x] = image[self._bands[number] - first, rows, columns]
        return block

    def cube(self) -> xr.DataArray:
        """As a lazy cube (bands, y, x) of the scene's own size, coordinates and attributes: each pixel repeated."""
        like = self._like.isel(bands=self._bands)
        wide = da.repeat(da.repeat(da.from_array(self._pixels), self._step, axis=1), self._step, axis=2)
        return like.copy(data=wide[:, : like.sizes["y"], : like.sizes["x"]])


def _lines_of_step(step: int, start: int, stop: int) -> tuple[slice, slice]:
    """Which of the lines [start, stop) are multiples of `step`: in the block, and as a part of all that are."""
    first, last = -(-start // step), -(-stop // step)
    return slice(first * step - start, None, step), slice(first, last)
