"""Check untrusted Zarr folders before any library reads them."""

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from kappamask.files.atomic import check_utf8
from kappamask.files.untrusted import parse_json
from kappamask.models import SceneError
from kappamask.models.errors import make_extra_error
from kappamask.scenes.readers.netcdf import AS_STORED

__all__ = ["check_store", "is_zarr", "open_group", "read_attributes"]

CODECS: Final = frozenset(
    {"adler32", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset", "gzip", "lz4"}
    | {"lzma", "packbits", "quantize", "sharding_indexed", "shuffle", "transpose", "vlen-bytes", "vlen-utf8"}
    | {"zlib", "zstd"}
)
"""Codecs of Zarr 2 and 3 that only turn bytes into numbers or text; others, `pickle` first of all, run what they
hold."""
LISTS: Final = ("filters", "codecs", "index_codecs", "storage_transformers")
"""Where Zarr 2 and 3, and the shards of Zarr 3, list codecs; a `compressor` is one alone."""
LARGEST: Final = 2**30
"""Bytes of a chunk, decoded, that are believed: a band of a whole product, uint16, is 241 MB."""
METADATA: Final = (".zarray", "zarr.json")
"""What describes an array, in Zarr 2 and 3."""
LONGEST: Final = 2**24
"""Bytes of metadata that are read: those of EOPF products are some 300 KB."""


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is Zarr, by its suffix or its content."""
    return path.suffix.lower() == ".zarr" or any((path / name).exists() for name in (".zgroup", ".zarray", "zarr.json"))


def check_store(path: Path) -> Path:
    """Return `path` if it is a safe Zarr folder, else raise SceneError.

    Safe is a folder of plain files, where all arrays use `CODECS` and chunks of limited size.
    """
    if not check_utf8(path).is_dir():
        raise SceneError(f"{path.name} is no folder; needed is a Zarr folder, not zipped.")
    for entry in _iter_entries(path):
        if entry.name in METADATA:
            _check_array(path, entry)
    return path


def open_group(path: Path, group: str = "") -> xr.Dataset:
    """Open a group of a `check_store` Zarr folder, values as stored.

    Raises SceneError if it does not exist or is damaged.
    """
    try:
        return xr.open_dataset(_open_store(path), engine="zarr", group=group or None, consolidated=False, **AS_STORED)
    except Exception as error:  # parsers of damaged bytes raise all kinds
        where = f"its group {group}" if group else "it"
        raise SceneError(f"{path.name} cannot be read as Zarr: {where} fails with {error or type(error)}.") from error


def read_attributes(path: Path) -> dict[str, Any]:
    """Read the root attributes of a `check_store` Zarr folder, format 2 or 3."""
    old, new = path / ".zattrs", path / "zarr.json"
    if old.exists():
        return dict(_read_json(path, old))
    attributes = _read_json(path, new).get("attributes", {}) if new.exists() else {}
    return dict(attributes) if isinstance(attributes, Mapping) else {}


def _open_store(path: Path) -> Any:
    """Return the folder as a store, not what its name may mean to fsspec."""
    try:
        import zarr.storage as storage
    except ModuleNotFoundError as error:
        raise make_extra_error("zarr", "zarr", user="A Zarr scene") from error
    if hasattr(storage, "LocalStore"):
        return storage.LocalStore(path.resolve(), read_only=True)
    if (path / "zarr.json").exists():
        raise SceneError(f"{path.name} is of Zarr format 3, which needs zarr 3: pip install 'zarr>=3'.")
    return storage.DirectoryStore(str(path.resolve()))


def _iter_entries(path: Path) -> Iterator[Path]:
    """List all files below `path`; SceneError for links and pipes, which lead outside."""
    for entry in path.iterdir():
        if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
            raise SceneError(f"{path.name} holds {entry.name}, which is a link or no file; copy what it stands for.")
        yield from _iter_entries(entry) if entry.is_dir() else [entry]


def _check_array(path: Path, file: Path) -> None:
    meta, array = _read_json(path, file), file.parent.name
    try:
        codecs, size = set(_iter_codecs(meta)), prod(_find_chunk_sides(meta)) * _find_itemsize(meta)
    except (AttributeError, TypeError, ValueError) as error:
        raise SceneError(f"{path.name} cannot be read as Zarr: {file.relative_to(path)} is malformed.") from error
    if codecs - CODECS:
        raise SceneError(f"{path.name}: {array} needs {', '.join(codecs - CODECS)}, which may be harmful; rewrite it.")
    if size > LARGEST:
        raise SceneError(f"{path.name}: a chunk of {array} takes {size >> 20} MiB, more than 1024; rechunk it.")


def _find_chunk_sides(meta: Mapping[str, Any]) -> list[int]:
    grid = meta.get("chunk_grid", {}).get("configuration", {})
    return [int(side) for side in meta.get("chunks") or grid.get("chunk_shape", [])]


def _iter_codecs(meta: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the codecs between stored bytes and numbers."""
    listed = [codec for key in LISTS for codec in meta.get(key) or []]
    for codec in filter(None, [*listed, meta.get("compressor")]):
        named = [codec[key] for key in ("id", "name") if key in codec]  # Zarr 2 reads the one, Zarr 3 the other
        yield from (str(name).removeprefix("numcodecs.") for name in named or ["a codec without a name"])
        yield from _iter_codecs(codec.get("configuration", {}))


def _find_itemsize(meta: Mapping[str, Any]) -> int:
    try:
        return int(np.dtype(meta.get("dtype", meta.get("data_type", "u1"))).itemsize)
    except TypeError:  # text and the like
        return 1


def _read_json(path: Path, file: Path) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > LONGEST:
            raise ValueError("it is too long")
        found = parse_json(file.read_bytes(), max_bytes=LONGEST, allow_nan=True)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise SceneError(f"{path.name} cannot be read as Zarr: {file.relative_to(path)}: {error}.") from error
    return found
