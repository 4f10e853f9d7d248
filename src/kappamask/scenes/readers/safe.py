"""Read Sentinel-2 SAFE products, Level-1C and Level-2A, as folders or zip archives."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

import xarray as xr
from odc.geo.geobox import GeoBox

from kappamask.files.archives import Source, list_members
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.models.band_names import choose_bands, require_all_bands
from kappamask.scenes.grid import make_cube, write_grid
from kappamask.scenes.metadata import parse_tile
from kappamask.scenes.readers.image import Image
from kappamask.scenes.readers.jp2 import group_by_band, stack_bands
from kappamask.scenes.readers.raster import NODATA_DN
from kappamask.scenes.readers.safe_metadata import Product, read_facts

__all__ = ["find_product", "is_safe", "open_safe", "read_classes"]

METADATA: Final = re.compile(r"(?:MTD_MSI|S2[A-Z]_\w{4}_MTD_SAF)(L1C|L2A)\w*\.xml")
"""Names of the metadata file, since December 2016 and before (Products Specification Document)."""
IMAGE: Final = re.compile(r"GRANULE/([^/]+)/IMG_DATA/(?:R\d0m/)?[^/]+\.jp2", re.IGNORECASE)
"""Where images lie in a product; Level-2A has a folder for each resolution."""
PARTS: Final = ("*.xml", "GRANULE/*/IMG_DATA/*.*", "GRANULE/*/IMG_DATA/R*m/*.*")
PRODUCT: Final = re.compile(r"S2[A-Z]_\w*MSIL(?:1C|2A)_")
"""How names of products begin."""
CLASSES: Final = "_SCL_"
"""In the name of Sen2Cor's scene classification."""


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


def open_safe(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float) -> xr.DataArray:
    """See `open_scene`. The grid is the same whichever bands are asked for.

    Without `bands`, SceneError if the product lacks one of its level.
    """
    product = find_product(path)
    attrs = read_facts(product, level)
    files = group_by_band(product.images)
    held = [band for band in SENTINEL2_BANDS if band in files]
    labels = (
        require_all_bands(product.name, held, str(attrs["level"]))
        if bands is None
        else choose_bands(product.name, held, bands)
    )
    data, grid = stack_bands(product.name, files, labels, kernel, metres)
    return make_cube(data, labels, grid, attrs, NODATA_DN)


def read_classes(path: Path, like: xr.DataArray) -> xr.DataArray | None:
    """Read Sen2Cor's classes of a Level-2A product on the grid of `like`; see `read_scl`."""
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
