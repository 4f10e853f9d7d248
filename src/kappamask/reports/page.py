"""Write a page about one mask: pictures, class shares, agreement, provenance."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import SceneError
from kappamask.reports.class_shares import Shares, count_shares, format_class_name, map_codes
from kappamask.reports.provenance import check_grid, list_provenance, read_software
from kappamask.reports.render import SCALE, Picture, encode_png, score_colours, write_html
from kappamask.scenes import read_mask
from kappamask.scenes.encoding import read_legend
from kappamask.scenes.grid import find_pixel_size, read_grid, sort_north_up, to_coordinates, write_grid
from kappamask.scenes.readers.lazy_variables import read_crs
from kappamask.scenes.readers.netcdf import open_dataset
from kappamask.scenes.readers.raster import make_lazy_bands, open_local_raster
from kappamask.scenes.statistics import to_classes
from kappamask.scenes.writers.captions import format_scene_facts, is_north_up, make_scale_bar, name_network
from kappamask.scenes.writers.class_colours import OUTLINES, colour_codes, draw_outlines
from kappamask.scenes.writers.masks import MASK_SUFFIXES
from kappamask.scenes.writers.natural_colour import CAPTION, make_true_colour, subsample
from kappamask.udf import from_scheme
from kappamask.udf.schemes import CLEAR, CLOUD, MISSING, SEMI_TRANSPARENT, SHADOW

__all__ = ["COMPARED", "Agreement", "draw_pictures", "measure_agreement", "read_scores", "write_page"]

COMPARED = {CLEAR: "clear", SHADOW: "cloud shadow", SEMI_TRANSPARENT: "semi-transparent cloud", CLOUD: "cloud"}
"""KappaMask's codes of pixels with data, and their names in words."""
CODES = MISSING + 1
ROWS = 1024
"""Of a strip that is compared at once: a product of 10980 x 10980 px takes 11 MB, and as codes of 8 bytes 90 MB."""
LARGE, SMALL = 900, 320
"""Pixels of the longer side of the main pictures, and of the score maps: as wide as they are shown at 1280 px."""
NEAR = 0.01
"""By which scores may lie beyond 0 and 1: they are rounded, and blended from windows."""
SCALINGS = {
    "reflectance": "The numbers are reflectance.",
    "dn_harmonized": "The numbers are reflectance times 10 000, without an offset.",
    "dn_offset": "The numbers are reflectance times 10 000 plus 1000, the offset since processing baseline 04.00.",
}
"""Word of `kappamask.udf.cloud_mask` -> what it means."""


def read_scores(path: str | Path) -> xr.DataArray:
    """Read the scores of a mask: float32 (class, y, x), lazy, NaN without data.

    `class` has the classes' names.
    path: `NAME_scores.tif`, one band a class, or the netCDF that also holds the mask. Stored scale, offset and nodata
    are undone. Raises SceneError if the file holds no scores, or is damaged.
    """
    source = Path(path)
    if source.suffix.lower() not in MASK_SUFFIXES:
        raise SceneError(f"{source.name} holds no scores: needed is one of {', '.join(MASK_SUFFIXES)}.")
    return _from_netcdf(source) if source.suffix.lower() == ".nc" else _from_geotiff(source)


def _from_geotiff(path: Path) -> xr.DataArray:
    with open_local_raster(path) as dataset:
        names, nodata = dataset.descriptions, dataset.nodata
        scale, offset, grid = np.float32(dataset.scales), np.float32(dataset.offsets), read_grid(dataset)
    if not all(names):
        raise SceneError(f"{path.name} holds no scores: its bands have no descriptions, which name the classes.")
    data, coords = make_lazy_bands(path, [*range(1, len(names) + 1)]), {"class": list(names), **to_coordinates(grid)}
    stored = write_grid(xr.DataArray(data, dims=("class", "y", "x"), coords=coords), grid)
    return _decode_scores(stored, nodata, xr.DataArray(scale, dims="class"), xr.DataArray(offset, dims="class"))


def _from_netcdf(path: Path) -> xr.DataArray:
    dataset = open_dataset(path)
    if "score" not in dataset or "class" not in dataset["score"].dims:
        raise SceneError(f"{path.name} holds no scores: it has no variable 'score' with a dimension 'class'.")
    crs = read_crs(path.name, dataset)
    stored = sort_north_up(dataset["score"].rio.write_crs(crs) if crs else dataset["score"])
    facts = stored.attrs
    scale, offset = (xr.DataArray(np.float32(facts.get(*one))) for one in (("scale_factor", 1), ("add_offset", 0)))
    return _decode_scores(stored.transpose("class", "y", "x"), facts.get("_FillValue"), scale, offset)


def _decode_scores(
    stored: xr.DataArray, nodata: float | None, scale: xr.DataArray, offset: xr.DataArray
) -> xr.DataArray:
    empty = stored.isnull() if nodata is None or np.isnan(nodata) else stored == nodata
    return (stored.astype(np.float32) * scale + offset).where(~empty)


@dataclass(frozen=True)
class Agreement:
    """Pixel counts (4, 4), int64: `COMPARED` classes, reference in rows, mask in columns."""

    counts: NDArray[np.int64]

    @property
    def pixels(self) -> int:
        """Pixels that have data in both."""
        return int(self.counts.sum())

    @property
    def percent(self) -> float:
        """Percent of these with the same class in both."""
        return 100 * float(np.trace(self.counts)) / self.pixels

    @property
    def rows(self) -> NDArray[np.float64]:
        """Percent (4, 4) of each row's pixels; NaN in a row without pixels."""
        with np.errstate(invalid="ignore"):
            return np.asarray(100 * self.counts / self.counts.sum(axis=1, keepdims=True))


def measure_agreement(mask: xr.DataArray, reference: xr.DataArray) -> Agreement | None:
    """Compare two masks (y, x) of one grid, each of any known scheme.

    None where no pixel has data in both.
    Classes are compared as the KappaMask classes that they stand for. Computed strip by strip. Raises SceneError if
    the sizes differ or a scheme is not known.
    """
    if mask.shape != reference.shape:
        raise SceneError(
            f"The mask has {mask.shape} pixels (y, x), its reference {reference.shape}; one grid is needed."
        )
    pairs = np.zeros(CODES * CODES, np.int64)
    tables = [_make_code_table(one) for one in (reference, mask)]
    for first in range(0, mask.sizes["y"], ROWS):
        rows, columns = (
            table[np.asarray(one.isel(y=slice(first, first + ROWS)).values)].astype(np.int64)
            for table, one in zip(tables, (reference, mask), strict=True)
        )
        pairs += np.bincount((rows * CODES + columns).ravel(), minlength=CODES * CODES)
    counts = pairs.reshape(CODES, CODES)[np.ix_(list(COMPARED), list(COMPARED))]
    return Agreement(counts) if counts.any() else None


def _make_code_table(mask: xr.DataArray) -> NDArray[np.uint8]:
    """Make the lookup table from pixel values to KappaMask codes.

    Values of no class, 255 among them, are missing.
    """
    table = np.full(256, MISSING, np.uint8)
    for value, code in map_codes(mask).items():
        table[value] = code
    return table


def write_page(
    target: str | Path,
    mask_file: str | Path,
    *,
    scene: xr.DataArray | None = None,
    scl: xr.DataArray | None = None,
    scores_file: str | Path | None = None,
    title: str = "",
) -> Path:
    """Write a self-contained HTML page about a mask that `write_mask` wrote; returns its path.

    scene: the cube that was masked, for a picture in natural colours: (bands, y, x) with B02, B03, B04, numpy or dask.
    scl: Sen2Cor's classes, which a Level-2A product comes with, (y, x) on the same grid: the page compares the two.
    scores_file: as `read_scores` takes it, for a map of each class's score.
    title: the heading; else the product's name, or that of the mask's file.

    Shows the shares of the classes, the radiometric scaling and its reason, and where the mask comes from. Raises
    SceneError if a file is not what it should be, if grids differ, or if the page cannot be written; CubeError if `scl`
    has a code that Sen2Cor has not.
    """
    path = Path(mask_file)
    mask = to_classes(read_mask(path))
    scene, scl = (None if one is None else sort_north_up(one) for one in (scene, scl))
    for what, other in (("scene", scene), ("product's mask", scl)):
        if other is not None:
            check_grid(what, other, mask)
    counted = count_shares(mask)
    attrs = {**(scene.attrs if scene is not None else {}), **mask.attrs}
    return write_html(
        target,
        "scene.html",
        title=title or attrs.get("product") or path.stem,
        facts=_list_facts(mask, attrs),
        counted=counted,
        pictures=draw_pictures(mask, scene, counted),
        outlines=OUTLINES if scene is not None else {},
        scores=_draw_scores(mask, scores_file),
        scale=SCALE,
        scaling=SCALINGS.get(attrs.get("radiometry", "")),
        attrs=attrs,
        compared=COMPARED,
        agreement=measure_agreement(mask, from_scheme(scl, "SCL")) if scl is not None else None,
        provenance=list_provenance(attrs),
        software=read_software(attrs),
    )


def _list_facts(mask: xr.DataArray, attrs: dict[str, Any]) -> list[str]:
    size = find_pixel_size(mask)
    pixels = f" of {size[0]:.4g} {size[2]}".rstrip() if size else ""
    crs = str(mask.rio.crs) if mask.rio.crs else ""
    size_text = f"{mask.sizes['x']} × {mask.sizes['y']} pixels{pixels}"
    return [one for one in (*format_scene_facts(attrs), name_network(attrs), size_text, crs) if one]


def draw_pictures(
    mask: xr.DataArray, scene: xr.DataArray | None, counted: Shares, truth: xr.DataArray | None = None
) -> list[Picture]:
    """Draw a mask (y, x) with its classes, and the scene, outlines and truth.

    Scene and truth are drawn where they are given.
    """
    codes = np.asarray(subsample(mask, LARGE).values)
    found = ", ".join(f"{one.label} {counted.percent(one) or 0:.1f} %" for one in counted.classes if one.pixels)
    name = name_network(mask.attrs)
    drawn = [encode_png(colour_codes(codes, read_legend(mask)), f"Cloud mask: {found}.", f"Mask: {name}")]
    if truth is not None:
        drawn.append(
            encode_png(colour_codes(np.asarray(subsample(truth, LARGE).values), read_legend(mask)), "Truth.", "Truth")
        )
    if scene is not None:
        colour = make_true_colour(subsample(scene, LARGE), str(mask.attrs.get("radiometry", "")))
        over = draw_outlines(colour, codes, map_codes(mask))
        drawn = [
            encode_png(colour, "The scene in natural colours.", CAPTION),
            encode_png(over, "Natural colours with the mask's classes outlined.", "Outlines of the mask's classes"),
            *drawn,
        ]
    return [replace(drawn[0], bar=make_scale_bar(mask), north=is_north_up(mask)), *drawn[1:]]


def _draw_scores(mask: xr.DataArray, path: str | Path | None) -> list[Picture]:
    if path is None:
        return []
    scores = read_scores(path)
    check_grid("scores", scores, mask)
    maps = subsample(scores, SMALL).compute()
    if not ((maps >= -NEAR) & (maps <= 1 + NEAR) | maps.isnull()).all():
        raise SceneError(f"{Path(path).name} holds no scores: its numbers are not from 0 to 1.")
    names = [format_class_name(str(name)) for name in maps["class"].values]
    return [
        encode_png(score_colours(one), f"Map of the score of {name}.", name)
        for name, one in zip(names, maps.values, strict=True)
    ]
