"""Read Sentinel-2 SAFE products, Level-1C and Level-2A, as folders or zip archives."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, nan
from pathlib import Path, PurePosixPath
from typing import Final
from xml.etree.ElementTree import Element

import xarray as xr
from odc.geo.geobox import GeoBox

from kappamask.files.archives import Source, list_members, read_bytes
from kappamask.files.untrusted import parse_xml
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.models.hints import option
from kappamask.scenes.band_names import choose, parse_baseline, parse_tile, require_all_bands
from kappamask.scenes.grid import make_cube, write_grid
from kappamask.scenes.metadata import (
    attributes,
    name_reason,
    packing,
    radiometry_of_baseline,
    resolve_radiometry,
)
from kappamask.scenes.readers.image import Image
from kappamask.scenes.readers.jp2 import files_by_band, stack_bands
from kappamask.scenes.readers.raster import NODATA_DN
from kappamask.udf.radiometry_metadata import Decision

__all__ = ["Product", "find_product", "is_safe", "open_safe", "read_classes", "read_facts"]

METADATA: Final = re.compile(r"(?:MTD_MSI|S2[A-Z]_\w{4}_MTD_SAF)(L1C|L2A)\w*\.xml")
"""Names of the metadata file, since December 2016 and before (Products Specification Document)."""
IMAGE: Final = re.compile(r"GRANULE/([^/]+)/IMG_DATA/(?:R\d0m/)?[^/]+\.jp2", re.IGNORECASE)
"""Where images lie in a product; Level-2A has a folder for each resolution."""
PARTS: Final = ("*.xml", "GRANULE/*/IMG_DATA/*.*", "GRANULE/*/IMG_DATA/R*m/*.*")
PRODUCT: Final = re.compile(r"S2[A-Z]_\w*MSIL(?:1C|2A)_")
"""How names of products begin."""
LONGEST: Final = 2**24
"""Bytes of metadata that are read: those of a tile are some 60 KB, of a product of 15 tiles 300 KB."""
BAND_IDS: Final = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""What `band_id` 0 to 12 means (Products Specification Document, Spectral_Information)."""
OFFSETS: Final = ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")
"""Of Level-1C and Level-2A, digital numbers, by `band_id`; in products since baseline 04.00 and in none before."""
QUANTIFICATIONS: Final = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
"""Digital numbers per unit of reflectance: Level-1C, Level-2A, and Level-2A before baseline 02.07."""
REMEDY: Final = (
    "get the product again, or, if you know what its numbers mean, open the folder of its images (IMG_DATA, of "
    f"Level-2A IMG_DATA/R10m) and say with {option('radiometry')} what the numbers mean"
)
CLASSES: Final = "_SCL_"
"""In the name of Sen2Cor's scene classification."""


@dataclass(frozen=True)
class Product:
    """The parts of a product of one tile, or of one of its tiles."""

    name: str
    """Of the product's folder, without suffix."""
    level: str
    """That the name of the metadata file tells."""
    metadata: Source
    granule: str
    """Its folder's name."""
    images: tuple[Source, ...]


def is_safe(path: Path) -> bool:
    """Tell whether `path` is a product: folder, metadata file, granule folder or zip archive.

    A zip archive is one if metadata lies in it, or if its name is that of a product.
    """
    if path.suffix.lower() == ".zip":
        return path.is_file() and _is_zipped(path, path.stat().st_mtime_ns)
    if path.is_file():
        return METADATA.fullmatch(path.name) is not None
    root, _ = _find_root(path)
    return root.suffix.lower() == ".safe" or any(METADATA.fullmatch(file.name) for file in root.glob("*.xml"))


def find_product(path: Path) -> Product:
    """Find the parts of a product that `is_safe` accepts.

    Raises SceneError if some are missing, or if it has several tiles and none is chosen.
    """
    root, granule = _find_root(path)
    files = _list_zip(root) if root.is_file() else _list_folder(root)
    metadata = {name: found[1] for name in files if (found := METADATA.fullmatch(name))}
    if len(metadata) != 1:
        held = " and ".join(sorted(metadata)) or "no metadata"
        raise SceneError(f"{root.name} holds {held}; a product has one MTD_MSIL1C.xml or MTD_MSIL2A.xml: get it again.")
    images: dict[str, list[Source]] = {}
    for name, source in files.items():
        if found := IMAGE.fullmatch(name):
            images.setdefault(found[1], []).append(source)
    granule = granule or _require_one_granule(root, sorted(images))
    if granule not in images:
        raise SceneError(f"{root.name} holds no images in GRANULE/{granule}/IMG_DATA; get the product again.")
    (file, level), *_ = metadata.items()
    return Product(_bare_name(root.name), level, files[file], granule, tuple(images[granule]))


def _find_root(path: Path) -> tuple[Path, str | None]:
    """Return the folder or archive of the product that holds `path`, and the granule's name.

    The name is None where `path` is not in a granule.
    """
    place = path.resolve()
    if place.is_file() and place.suffix.lower() != ".zip":
        return place.parent, None
    return (place.parents[1], place.name) if place.parent.name == "GRANULE" else (place, None)


def _list_folder(root: Path) -> dict[str, Source]:
    """Map paths in the product to its files of metadata and images."""
    return {str(PurePosixPath(*file.relative_to(root).parts)): file for glob in PARTS for file in root.glob(glob)}


def _list_zip(path: Path) -> dict[str, Source]:
    """Map paths in a zipped product to its members, wherever it lies in the archive."""
    held = list_members(path)
    tops = {str(PurePosixPath(name).parent) for name in held if METADATA.fullmatch(PurePosixPath(name).name)}
    if len(tops) > 1:
        raise SceneError(f"{path.name} holds several products: {', '.join(sorted(tops))}; unzip it, and give one.")
    top = "".join(f"{folder}/" for folder in tops if folder != ".")
    return {name.removeprefix(top): member for name, member in held.items() if name.startswith(top)}


@lru_cache(maxsize=256)
def _is_zipped(path: Path, _changed: int) -> bool:
    try:
        held = [PurePosixPath(name).name for name in list_members(path)]
    except SceneError:
        held = []
    return PRODUCT.match(path.name) is not None or any(map(METADATA.fullmatch, held))


def _require_one_granule(root: Path, granules: list[str]) -> str:
    if len(granules) == 1:
        return granules[0]
    if not granules:
        return "*"
    tiles = ", ".join(parse_tile(granule) or granule for granule in granules)
    first = "" if root.is_dir() else "unzip it, and "
    raise SceneError(
        f"{root.name} holds {len(granules)} tiles: {tiles}; {first}give the folder of one, as "
        f"{_bare_name(root.name)}.SAFE/GRANULE/{granules[0]}."
    )


def _bare_name(text: str) -> str:
    """Return a product's name without suffixes."""
    return re.sub(r"(\.SAFE|\.zip)+$", "", text, flags=re.IGNORECASE)


def read_facts(product: Product, level: str | None) -> dict[str, str | int]:
    """Read the attributes of a product's cube, see `open_scene`.

    Of the product are `product`, `platform`, `tile` and `orbit`.

    Raises SceneError if the metadata is damaged, contradicts itself, the product's name or `level`, or does not say
    what the numbers mean.
    """
    root = _parse_metadata(product)
    stated = _read_level(product, root)
    baseline = _find_text(root, "PROCESSING_BASELINE")
    tags = {"level": stated, "datetime": _find_text(root, "PRODUCT_START_TIME"), "processing_baseline": baseline}
    known = {key: text for key, text in tags.items() if text}
    radiometry = _resolve_radiometry(product, root, baseline)
    facts: dict[str, str | int] = dict(attributes(product.name, known, level, radiometry.mode))
    facts |= name_reason(radiometry.mode, radiometry.reason) | {
        "product": product.name,
        "platform": _find_text(root, "SPACECRAFT_NAME"),
        "tile": parse_tile(product.granule) or "",
    }
    orbit = _find_text(root, "SENSING_ORBIT_NUMBER")
    return {key: value for key, value in facts.items() if value} | ({"orbit": int(orbit)} if orbit.isdecimal() else {})


def _parse_metadata(product: Product) -> Element:
    text = read_bytes(product.metadata, LONGEST)
    try:
        return parse_xml(text, max_bytes=LONGEST)
    except ValueError as error:
        raise SceneError(f"{product.metadata.name} of {product.name} cannot be read: {error}.") from error


def _read_level(product: Product, root: Element) -> str:
    """Read the processing level from the metadata.

    Raises SceneError if the metadata's name, or that of the product, states another.
    """
    level = _find_text(root, "PROCESSING_LEVEL").replace("Level-", "L").removesuffix("p")
    named = attributes(product.name, {}, None).get("level", level)
    for where, other in ((f"its file {product.metadata.name}", product.level), ("its name", named)):
        if level != other:
            raise SceneError(
                f"{product.name} is of level {level or 'none'} by its metadata, {other} by {where}; {REMEDY}."
            )
    return level


def _resolve_radiometry(product: Product, root: Element, version: str) -> Decision:
    """Decide dn_harmonized or dn_offset by the list of offsets.

    Raises SceneError where the baseline contradicts the list.
    """
    texts = [text for tag in QUANTIFICATIONS if (text := _find_text(root, tag))]
    scale = 1 / _parse_number(product, QUANTIFICATIONS[0], texts[0] if texts else "")
    offsets = _read_offsets(product, root)
    listed = packing(product.name, [(scale, scale * offset) for offset in offsets.values() or (0.0,)], REMEDY)
    signals = {
        "list of offsets" if offsets else "lack of offsets": listed,
        f"baseline {version}": radiometry_of_baseline(version),
        "name": radiometry_of_baseline(parse_baseline(product.name)),
    }
    found = resolve_radiometry(product.name, signals, REMEDY)
    assert found is not None  # the list of offsets, or the lack of one, says so
    return found


def _read_offsets(product: Product, root: Element) -> dict[str, float]:
    """Read the radiometric offset of each band, in digital numbers.

    Empty where none is listed; SceneError where only some are.
    """
    listed = [element for element in root.iter() if element.tag in OFFSETS]
    named = {element.get("band_id", ""): element.text or "" for element in listed}
    found = {
        band: _parse_number(product, f"offset of {band}", named[str(i)])
        for i, band in enumerate(BAND_IDS)
        if str(i) in named
    }
    held = [band for band in BAND_IDS if band in files_by_band(product.images)]
    lacking = [band for band in held if band not in found]
    if listed and lacking:
        raise SceneError(f"{product.name} lists offsets, but none of {', '.join(lacking)}; {REMEDY}.")
    return {band: found[band] for band in held} if listed else {}


def _parse_number(product: Product, what: str, text: str) -> float:
    """Parse a finite number other than 0, or an offset of any size."""
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not isfinite(number) or (number == 0 and what in QUANTIFICATIONS):
        raise SceneError(f"{product.name}: its {what} is {text or 'missing'!r}; needed is a number; {REMEDY}.")
    return number


def _find_text(root: Element, tag: str) -> str:
    """Return the text of the first element with that tag, or ""."""
    return next((element.text or "" for element in root.iter(tag)), "").strip()


def open_safe(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float) -> xr.DataArray:
    """See `open_scene`. The grid is the same whichever bands are asked for.

    Without `bands`, SceneError if the product lacks one of its level.
    """
    product = find_product(path)
    attrs = read_facts(product, level)
    files = files_by_band(product.images)
    held = [band for band in SENTINEL2_BANDS if band in files]
    labels = (
        require_all_bands(product.name, held, str(attrs["level"]))
        if bands is None
        else choose(product.name, held, bands)
    )
    data, grid = stack_bands(product.name, files, labels, kernel, metres)
    return make_cube(data, labels, grid, attrs, NODATA_DN)


def read_classes(path: Path, like: xr.DataArray) -> xr.DataArray | None:
    """Sen2Cor's classes of a Level-2A product on the grid of `like`; see `read_scl`."""
    product = find_product(path)
    images = [Image.open(source) for source in product.images if CLASSES in source.name]
    if not images:
        return None
    finest = min(images, key=lambda image: image.grid.transform.a)
    grid = GeoBox((like.sizes["y"], like.sizes["x"]), like.rio.transform(recalc=True), like.rio.crs)
    if finest.grid.crs != grid.crs or not _covers_grid(finest.grid, grid):
        raise SceneError(f"{product.name}: its classification does not cover the cube; use those of one product.")
    codes = finest.to_dask(grid, "nearest")[0]
    return write_grid(xr.DataArray(codes, dims=("y", "x"), coords={"y": like["y"], "x": like["x"]}, name="SCL"), grid)


def _covers_grid(outer: GeoBox, inner: GeoBox) -> bool:
    """Tell whether `outer` covers `inner`, to within a pixel of `outer`.

    Products end at whole pixels of 60 m, crops anywhere.
    """
    (west, south, east, north), (left, bottom, right, top) = outer.boundingbox, inner.boundingbox
    return bool(max(west - left, south - bottom, right - east, top - north) <= outer.transform.a)
