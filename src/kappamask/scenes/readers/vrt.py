"""Read VRT stacks of local GeoTIFF or JPEG 2000 files without GDAL's VRT driver."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import dask.array
import xarray as xr
from dask.array import Array
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from kappamask.files.atomic import check_utf8
from kappamask.files.untrusted import parse_xml
from kappamask.models import SceneError
from kappamask.models.band_names import find_band
from kappamask.scenes.grid import make_cube, read_grid
from kappamask.scenes.metadata import collect_attributes, name_source, read_packing_mode
from kappamask.scenes.readers.geotiff import choose_band_labels
from kappamask.scenes.readers.image import Image
from kappamask.scenes.readers.raster import NODATA_DN, open_local_raster
from kappamask.udf.radiometry_metadata import AUXILIARY

__all__ = ["Layer", "Rectangle", "Stack", "open_vrt", "read_vrt"]

SOURCES = ("SimpleSource", "ComplexSource")
PLACES = {"SourceFilename", "SourceBand", "SourceProperties", "SrcRect", "DstRect"}
ALLOWED = {
    "VRTDataset": {"SRS", "GeoTransform", "Metadata", "OverviewList", "BlockXSize", "BlockYSize", "VRTRasterBand"},
    "VRTRasterBand": {"Description", "NoDataValue", "ColorInterp", "Metadata", "Offset", "Scale", "UnitType", *SOURCES},
    "SimpleSource": PLACES,
    "ComplexSource": PLACES | {"NODATA"},
}
"""Element -> what it may hold: what `gdalbuildvrt -separate` writes. Others change pixels, run code or name hosts."""
LONGEST = 2**20
"""Bytes of a VRT that are read: one of 15 bands is some 20 KB."""
Rectangle = tuple[float, float, float, float]
"""First column, first row, width and height, pixels."""
da: Any = dask.array  # its annotations are partial
_AUTHORITY = re.compile(r"[A-Za-z]+:\d+")
NEAR = 0.01
"""Pixels by which a file may lie off the place that the VRT gives it; numbers in a VRT are rounded."""


@dataclass(frozen=True)
class Layer:
    """One band: where its pixels lie, and where the VRT puts them."""

    description: str
    file: Path
    """In the folder of the VRT, or below."""
    number: int
    """Of the band in the file, from 1."""
    inside: Rectangle | None
    """What part of the file is meant; None: all of it."""
    place: Rectangle | None
    """Where that lies in the VRT; None: all over it."""
    packing: tuple[float, float]
    """Scale and offset."""
    nodata: float | None


@dataclass(frozen=True)
class Stack:
    """A whole VRT."""

    grid: GeoBox
    layers: tuple[Layer, ...]
    tags: dict[str, str]


def read_vrt(path: Path) -> Stack:
    """Parse a VRT whose bands are files in its own folder.

    Raises SceneError if it is no VRT, or asks for anything else.
    """
    root = _parse_root(path)
    _check(path.name, root)
    layers = list(root.iter("VRTRasterBand"))
    try:
        tags = {item.get("key", ""): item.text or "" for item in root.iterfind("Metadata/MDI")}
        return Stack(
            _parse_grid(root), tuple(_parse_layer(path, number, layer) for number, layer in enumerate(layers, 1)), tags
        )
    except SceneError:
        raise
    except (CRSError, TypeError, ValueError) as error:
        raise SceneError(f"{path.name} is no whole VRT: {error}; make it again (gdalbuildvrt -separate).") from error


def _parse_root(path: Path) -> Element:
    if not check_utf8(path).is_file():
        raise SceneError(f"No file {path}.")
    if path.stat().st_size > LONGEST:
        raise SceneError(f"{path.name} is longer than {LONGEST >> 20} MiB; a stack of bands is some 20 KB.")
    try:
        root = parse_xml(path.read_bytes(), max_bytes=LONGEST)
    except ValueError as error:
        raise SceneError(f"{path.name} cannot be read as a VRT: {error}.") from error
    if root.tag != "VRTDataset":
        raise SceneError(f"{path.name} cannot be read as a VRT: it begins with <{root.tag}>, not <VRTDataset>.")
    return root


def _check(name: str, root: Element) -> None:
    for element in root.iter():
        kind = element.get("subClass")
        wrong = [child.tag for child in element if element.tag in ALLOWED and child.tag not in ALLOWED[element.tag]]
        if kind or wrong:
            fact = f"{name} holds {kind or wrong[0]}, which is more than a stack of files"
            raise SceneError(f"{fact}; {_suggest_copy(name)}.")


def _suggest_copy(name: str) -> str:
    return f"make it a GeoTIFF first (gdal_translate {name} scene.tif)"


def _parse_grid(root: Element) -> GeoBox:
    """Parse the grid; ValueError where it is no north-up grid."""
    transform = Affine.from_gdal(*map(float, _find_text(root, "GeoTransform").split(",")))
    width, height = int(root.get("rasterXSize", "")), int(root.get("rasterYSize", ""))
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0 or min(width, height) <= 0:
        raise ValueError("it is not north-up, or has no pixels")
    text = _find_text(root, "SRS")
    parse = CRS.from_user_input if _AUTHORITY.fullmatch(text) else CRS.from_wkt
    return GeoBox((height, width), transform, parse(text) if text else None)


def _parse_layer(path: Path, number: int, layer: Element) -> Layer:
    """Parse a layer; ValueError where numbers are none."""
    sources = [child for child in layer if child.tag in SOURCES]
    if len(sources) != 1:
        fact = f"band {number} has {len(sources)} sources, in a stack it is one file"
        raise SceneError(f"{path.name}: {fact}; {_suggest_copy(path.name)}.")
    nodata, left_out = _find_text(layer, "NoDataValue"), _find_text(sources[0], "NODATA")
    if left_out and (not nodata or float(left_out) != float(nodata)):
        remedy = f"gdalbuildvrt -separate -srcnodata {left_out} -vrtnodata {left_out} makes them one"
        raise SceneError(f"{path.name}: band {number} has NODATA {left_out}, NoDataValue {nodata or 'none'}; {remedy}.")
    return Layer(
        description=_find_text(layer, "Description"),
        file=_resolve_file(path, sources[0]),
        number=int(_find_text(sources[0], "SourceBand") or 1),
        inside=_parse_rectangle(sources[0].find("SrcRect")),
        place=_parse_rectangle(sources[0].find("DstRect")),
        packing=(float(_find_text(layer, "Scale") or 1), float(_find_text(layer, "Offset") or 0)),
        nodata=float(nodata) if nodata else None,
    )


def _resolve_file(path: Path, source: Element) -> Path:
    named, folder = _find_text(source, "SourceFilename"), path.parent.resolve()
    file = (folder / named).resolve()
    if source.find("SourceFilename[@relativeToVRT='1']") is None or folder not in file.parents:
        raise SceneError(
            f"{path.name} names {named!r}: for safety only files in its own folder are read, by relative names; put "
            "them there, and make the VRT there."
        )
    return file


def _parse_rectangle(element: Element | None) -> Rectangle | None:
    if element is None:
        return None
    x, y, width, height = (float(element.get(key, "")) for key in ("xOff", "yOff", "xSize", "ySize"))
    return x, y, width, height


def _find_text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


class _File(NamedTuple):
    grid: GeoBox
    text: str | None
    """What names the band, where anything does."""


def open_vrt(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str) -> xr.DataArray:
    """Open a VRT as `open_scene` does.

    Bands are named by their descriptions, else by those in their files, else by the files' names.
    Each band is one of a GeoTIFF or JPEG 2000 in the VRT's folder or below; coarser ones are resampled by `kernel`.
    """
    stack = read_vrt(path)
    files = [_check_file(path.name, layer, stack.grid) for layer in stack.layers]
    labels, numbers = choose_band_labels(path.name, [file.text for file in files], bands)
    chosen = {label: stack.layers[number - 1] for label, number in zip(labels, numbers, strict=True)}
    packed = read_packing_mode(path.name, [layer.packing for label, layer in chosen.items() if label not in AUXILIARY])
    nodata = _common_nodata(path.name, chosen.values())
    pixels = [
        _lazy_pixels(path.name, stack, number, files[number - 1].grid, NODATA_DN if nodata is None else nodata, kernel)
        for number in numbers
    ]
    attrs = collect_attributes(path.name, stack.tags, level, packed) | name_source(packed)
    return make_cube(da.concatenate(pixels), labels, stack.grid, attrs, nodata)


def _check_file(name: str, layer: Layer, grid: GeoBox) -> _File:
    with open_local_raster(layer.file) as dataset:
        if not 1 <= layer.number <= dataset.count:
            raise SceneError(f"{name}: {layer.file.name} has no band {layer.number}, only 1 to {dataset.count}.")
        own, described = read_grid(dataset), dataset.descriptions[layer.number - 1]
    if not _is_placed_right(layer, own, grid):
        raise SceneError(
            f"{name} puts {layer.file.name} elsewhere than its georeference does, or cuts it; make it a GeoTIFF first "
            f"(gdal_translate {name} scene.tif)."
        )
    texts = (layer.description, described, layer.file.stem)
    return _File(own, next((text for text in texts if find_band(text)), None))


def _is_placed_right(layer: Layer, own: GeoBox, grid: GeoBox) -> bool:
    """Tell whether a VRT puts a file's pixels where its georeference does.

    It must also leave out none that it has room for.
    """
    whole, all_over = (0.0, 0.0, own.width, own.height), (0.0, 0.0, grid.width, grid.height)
    inside, place = layer.inside or whole, layer.place or all_over
    corners = _find_corners(own, inside), _find_corners(grid, place)
    near = all(abs(a - b) <= NEAR * grid.transform.a for a, b in zip(*corners, strict=True))
    return own.crs == grid.crs and near and (inside == whole or place == all_over)


def _find_corners(grid: GeoBox, rectangle: Rectangle) -> tuple[float, float, float, float]:
    """Find west, north, east and south."""
    x, y, width, height = rectangle
    return *(grid.transform @ (x, y)), *(grid.transform @ (x + width, y + height))


def _common_nodata(name: str, layers: Iterable[Layer]) -> float | None:
    values = {str(layer.nodata): layer.nodata for layer in layers}
    if len(values) > 1:
        remedy = f"all bands need the same, as gdalwarp -dstnodata 65535 {name} scene.tif makes them"
        raise SceneError(f"{name} declares several nodata values ({', '.join(values)}); {remedy}.")
    return next(iter(values.values()))


def _lazy_pixels(name: str, stack: Stack, number: int, own: GeoBox, nodata: float, kernel: str) -> Array:
    layer = stack.layers[number - 1]
    if own != stack.grid and nodata != NODATA_DN:
        raise SceneError(f"{name} needs bands resampled, which keeps the nodata value 0 only, not {nodata:g}.")
    return Image.open(layer.file, layer.number, nodata=layer.nodata).to_dask(stack.grid, kernel)
