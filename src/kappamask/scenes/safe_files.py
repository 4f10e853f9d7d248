"""Where the parts of a Sentinel-2 product in ESA's format lie: a folder NAME.SAFE, or that folder in a zip archive."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from kappamask.models import SceneError
from kappamask.scenes.names import tile
from kappamask.scenes.zipped import Source, members

__all__ = ["Product", "is_safe", "product_at"]

METADATA: Final = re.compile(r"(?:MTD_MSI|S2[A-Z]_\w{4}_MTD_SAF)(L1C|L2A)\w*\.xml")
"""Names of the metadata file, since December 2016 and before (Products Specification Document)."""
IMAGE: Final = re.compile(r"GRANULE/([^/]+)/IMG_DATA/(?:R\d0m/)?[^/]+\.jp2", re.IGNORECASE)
"""Where images lie in a product; Level-2A has a folder for each resolution."""
PARTS: Final = ("*.xml", "GRANULE/*/IMG_DATA/*.*", "GRANULE/*/IMG_DATA/R*m/*.*")
PRODUCT: Final = re.compile(r"S2[A-Z]_\w*MSIL(?:1C|2A)_")
"""How names of products begin."""


@dataclass(frozen=True)
class Product:
    """The parts of a product of one tile, or of one tile of a product of several."""

    name: str
    """Of the product's folder, without suffix."""
    level: str
    """That the name of the metadata file tells."""
    metadata: Source
    granule: str
    """Its folder's name."""
    images: tuple[Source, ...]


def is_safe(path: Path) -> bool:
    """Whether `path` is meant as a product: its folder, its metadata file, a granule's folder, or a zip archive.

    A zip archive is one if metadata lies in it, or if its name is that of a product.
    """
    if path.suffix.lower() == ".zip":
        return path.is_file() and _is_zipped(path, path.stat().st_mtime_ns)
    if path.is_file():
        return METADATA.fullmatch(path.name) is not None
    root, _ = _root(path)
    return root.suffix.lower() == ".safe" or any(METADATA.fullmatch(file.name) for file in root.glob("*.xml"))


def product_at(path: Path) -> Product:
    """The parts of what `is_safe`; SceneError if some are missing, or if it is of several tiles and none is chosen."""
    root, granule = _root(path)
    files = _zipped(root) if root.is_file() else _on_disk(root)
    metadata = {name: found[1] for name in files if (found := METADATA.fullmatch(name))}
    if len(metadata) != 1:
        held = " and ".join(sorted(metadata)) or "no metadata"
        raise SceneError(f"{root.name} holds {held}; a product has one MTD_MSIL1C.xml or MTD_MSIL2A.xml: get it anew.")
    images: dict[str, list[Source]] = {}
    for name, source in files.items():
        if found := IMAGE.fullmatch(name):
            images.setdefault(found[1], []).append(source)
    granule = granule or _only(root, sorted(images))
    if granule not in images:
        raise SceneError(f"{root.name} holds no images in GRANULE/{granule}/IMG_DATA; get the product anew.")
    (file, level), *_ = metadata.items()
    return Product(_name(root.name), level, files[file], granule, tuple(images[granule]))


def _root(path: Path) -> tuple[Path, str | None]:
    """The folder or archive of the product that `path` is a part of, and the granule that it names."""
    place = path.resolve()
    if place.is_file() and place.suffix.lower() != ".zip":
        return place.parent, None
    return (place.parents[1], place.name) if place.parent.name == "GRANULE" else (place, None)


def _on_disk(root: Path) -> dict[str, Source]:
    """Path in the product -> file, of metadata and images."""
    return {str(PurePosixPath(*file.relative_to(root).parts)): file for glob in PARTS for file in root.glob(glob)}


def _zipped(path: Path) -> dict[str, Source]:
    """The same, of a product in an archive, wherever in that it lies."""
    held = members(path)
    tops = {str(PurePosixPath(name).parent) for name in held if METADATA.fullmatch(PurePosixPath(name).name)}
    if len(tops) > 1:
        raise SceneError(f"{path.name} holds several products: {', '.join(sorted(tops))}; unzip it, and give one.")
    top = "".join(f"{folder}/" for folder in tops if folder != ".")
    return {name.removeprefix(top): member for name, member in held.items() if name.startswith(top)}


@lru_cache(maxsize=256)
def _is_zipped(path: Path, _changed: int) -> bool:
    try:
        held = [PurePosixPath(name).name for name in members(path)]
    except SceneError:
        held = []
    return PRODUCT.match(path.name) is not None or any(map(METADATA.fullmatch, held))


def _only(root: Path, granules: list[str]) -> str:
    if len(granules) == 1:
        return granules[0]
    if not granules:
        return "*"
    tiles = ", ".join(tile(granule) or granule for granule in granules)
    first = "" if root.is_dir() else "unzip it, and "
    raise SceneError(
        f"{root.name} holds {len(granules)} tiles: {tiles}; {first}give the folder of one, as {_name(root.name)}.SAFE/"
        f"GRANULE/{granules[0]}."
    )


def _name(text: str) -> str:
    """A product's name without suffixes."""
    return re.sub(r"(\.SAFE|\.zip)+$", "", text, flags=re.IGNORECASE)
