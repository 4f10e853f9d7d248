"""Check untrusted Zarr folders, of formats 2 and 3, before any library reads them."""

import json
import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from kappamask.files.atomic import check_utf8
from kappamask.files.untrusted import parse_json
from kappamask.models import SceneError

__all__ = ["METADATA", "NEW", "check_store", "read_attributes"]

CODECS: Final = frozenset(
    {"adler32", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset", "gzip", "lz4"}
    | {"lzma", "packbits", "quantize", "sharding_indexed", "shuffle", "transpose", "vlen-bytes", "vlen-utf8"}
    | {"zlib", "zstd"}
)
"""Codecs of formats 2 and 3 that only turn bytes into numbers or text; others, `pickle` first of all, run what they
hold."""
LISTS: Final = ("filters", "codecs", "index_codecs", "storage_transformers")
"""Where formats 2 and 3, and the shards of format 3, list codecs; a `compressor` is one alone."""
LARGEST: Final = 2**30
"""Bytes of a chunk, decoded, that are believed: a band of a whole product, uint16, is 241 MB."""
NEW: Final = "zarr.json"
"""What describes a group or an array of format 3."""
OLD: Final = ".zattrs"
"""The attributes of a group or an array of format 2."""
METADATA: Final = (".zarray", NEW)
"""What describes an array, in formats 2 and 3."""
DIMENSIONS: Final = {"_ARRAY_DIMENSIONS": None}
"""An attribute that format 3 has elsewhere."""
LONGEST: Final = 2**24
"""Bytes of metadata that are read: those of EOPF products are some 300 KB."""
POINTER: Final = 8
"""Bytes of an item that is text of any length, or of a type that NumPy does not know."""


def check_store(path: Path) -> Path:
    """Return `path` if it is a safe Zarr folder, else raise SceneError.

    Safe is a folder of plain files, where all arrays use `CODECS` and chunks of limited size, and where what is there
    in both formats has the same attributes.
    """
    if not check_utf8(path).is_dir():
        raise SceneError(f"{path.name} is no folder; needed is a Zarr folder, not zipped.")
    for entry in _iter_entries(path):
        if entry.name in METADATA:
            _check_array(path, entry)
        if entry.name == OLD:
            _check_formats(path, entry.parent)
    return path


def read_attributes(path: Path, node: Path | None = None, *, is_new: bool | None = None) -> dict[str, Any]:
    """Read the attributes of a `check_store` Zarr folder.

    node: the folder of a group or an array in it; by default the root.
    is_new: read those of format 3, else of format 2; by default of the newest that is there.
    """
    node = node or path
    is_new = (node / NEW).exists() if is_new is None else is_new
    file = node / (NEW if is_new else OLD)
    found = _read_json(path, file) if file.exists() else {}
    attributes = found.get("attributes", {}) if is_new else found
    return dict(attributes) if isinstance(attributes, Mapping) else {}


def _iter_entries(path: Path) -> Iterator[Path]:
    """List all files below `path`; SceneError for links and pipes, which lead outside."""
    for entry in path.iterdir():
        if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
            raise SceneError(f"{path.name} holds {entry.name}, which is a link or no file; copy what it stands for.")
        yield from _iter_entries(entry) if entry.is_dir() else [entry]


def _check_array(path: Path, file: Path) -> None:
    meta, array = _read_json(path, file), file.parent.name
    try:
        codecs, size = set(_iter_codecs(meta)), _find_chunk_size(meta, is_new=file.name == NEW)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise SceneError(f"{path.name} cannot be read as Zarr: {file.relative_to(path)} is malformed.") from error
    if codecs - CODECS:
        named = ", ".join(sorted(codecs - CODECS))
        raise SceneError(f"{path.name}: {array} needs {named}, which may be harmful; rewrite it.")
    if size > LARGEST:
        raise SceneError(f"{path.name}: a chunk of {array} takes {size >> 20} MiB, more than 1024; rechunk it.")


def _check_formats(path: Path, node: Path) -> None:
    """Raise SceneError if `node` is of both formats, with different attributes."""
    if not (node / NEW).exists():
        return
    old, new = (read_attributes(path, node, is_new=is_new) for is_new in (False, True))
    if json.dumps(old | DIMENSIONS, sort_keys=True) != json.dumps(new | DIMENSIONS, sort_keys=True):
        raise SceneError(
            f"{path.name} is of two formats, with other attributes in {(node / OLD).relative_to(path)} than in {NEW}; "
            f"delete either all {NEW} or all .z* files, which are of format 2."
        )


def _find_chunk_size(meta: Mapping[str, Any], *, is_new: bool) -> int:
    """Return the bytes of a decoded chunk or shard, by the format's own keys."""
    if not is_new:
        return prod(map(_check_size, meta["chunks"])) * _find_itemsize(meta["dtype"])
    if meta.get("node_type") == "group":
        return 0
    if meta["chunk_grid"]["name"] != "regular":
        raise ValueError("chunks of different sizes")
    return prod(map(_check_size, meta["chunk_grid"]["configuration"]["chunk_shape"])) * _find_itemsize(
        meta["data_type"]
    )


def _iter_codecs(meta: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the codecs between stored bytes and numbers."""
    listed = [codec for key in LISTS for codec in meta.get(key) or []]
    for codec in filter(None, [*listed, meta.get("compressor")]):
        whole: Any = {"name": codec} if isinstance(codec, str) else codec  # format 3 has names alone, too
        named = [whole[key] for key in ("id", "name") if key in whole]  # format 2 reads the one, 3 the other
        yield from (str(name).removeprefix("numcodecs.") for name in named or ["a codec without a name"])
        yield from _iter_codecs(whole.get("configuration", {}))


def _find_itemsize(dtype: Any) -> int:
    """Return how many bytes an item takes in memory.

    dtype: as formats 2 and 3 write it: a name, an object with a configuration, or a list of fields.
    Raises ValueError, TypeError and the like if it is malformed.
    """
    if isinstance(dtype, list):
        return sum(_find_field_size(one) for one in dtype)
    if not isinstance(dtype, Mapping):
        return _find_named_size(dtype)
    inside = dtype.get("configuration", {})
    stated = [_check_size(inside["length_bytes"])] if "length_bytes" in inside else []
    fields = [_find_itemsize([*inside["fields"]])] if "fields" in inside else []
    return max([*stated, *fields] or [_find_named_size(dtype["name"])])


def _find_field_size(field: Any) -> int:
    if isinstance(field, Mapping):
        return _find_itemsize(field["data_type"])
    _, dtype, *shape = field  # format 2 has fields that are arrays themselves
    return _find_itemsize(dtype) * prod(map(_check_size, shape[0] if shape else []))


def _find_named_size(name: Any) -> int:
    if not isinstance(name, str):
        raise TypeError("no name of a type")
    if bits := re.fullmatch(r"r(\d+)", name):
        return int(bits[1]) // 8
    try:
        return int(np.dtype(name).itemsize)
    except TypeError:  # text of any length, numpy.datetime64, and types that are refused if they are read
        return POINTER


def _check_size(size: Any) -> int:
    if isinstance(size, bool) or int(size) != size or size < 0:
        raise ValueError("no size")
    return int(size)


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
