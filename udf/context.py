"""Read the UDF's context: JSON with a schema version; unknown keys are errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kappamask.models import LEVELS, CubeError
from kappamask.models.cleaning import Cleaning, CleaningOptions, read_cleaning
from kappamask.models.hints import option
from kappamask.models.mask_options import MaskOptions
from kappamask.models.schemes import KAPPAMASK, is_kappamask

__all__ = ["SCHEMA", "ContextOptions", "read_context"]

SCHEMA = 1
WORKER_THREADS = 1
"""Threads of ONNX Runtime in a worker: back-ends run one worker for each core, and limit virtual memory."""
CLEANING_KEYS = tuple(CleaningOptions.__annotations__)
"""Keys that say how the mask is cleaned."""


@dataclass(frozen=True, kw_only=True)
class ContextOptions(MaskOptions):
    """Options of a chunk; every key of the context may be left out."""

    schema: int = SCHEMA
    radiometry: str = "dn_harmonized"
    """What Copernicus Data Space's `load_collection` serves; a chunk carries no metadata to find out by."""
    threads: int = WORKER_THREADS
    scheme: str = KAPPAMASK
    """Class scheme of the mask that is returned, see `kappamask.udf.to_scheme`."""
    package: str | None = None
    """Sha256 that this package must have, see `kappamask.models.package`; left out, it is not looked at."""
    overlap: int | None = None
    """Pixels that chunks have of their neighbours, where the caller chooses the cleaning but not the chunks."""
    cleaning: Cleaning = Cleaning()  # noqa: RUF009  (frozen)
    """How the mask is cleaned; given by the keys of `kappamask.models.cleaning.CleaningOptions`, not by its own."""


KEY_TYPES: dict[str, tuple[type, ...]] = {
    "schema": (int,),
    "level": (str, type(None)),
    "model": (str,),
    "radiometry": (str,),
    "scores": (bool,),
    "bands": (list, tuple, type(None)),
    "thresholds": (Mapping,),
    "scheme": (str,),
    "package": (str, type(None)),
    "overlap": (int, type(None)),
}
"""Key -> types of its value. `mosaic`, `threads` and `device` are no keys: a vendor's mosaic needs the whole scene,
and a worker is one thread on a CPU."""


def read_context(context: Mapping[str, Any] | None) -> ContextOptions:
    """Read the options from a UDF's context.

    Raises CubeError for an unknown key, a wrong type or another schema.
    """
    if context is not None and not isinstance(context, Mapping):
        raise CubeError(f"The UDF's context is {context!r}; needed is an object with keys such as 'level'.")
    given = dict(context or {})
    cleaning = read_cleaning({key: given.pop(key) for key in CLEANING_KEYS if key in given})
    known = list(KEY_TYPES)
    unknown = sorted(str(key) for key in set(given) - set(known))
    if unknown:
        raise CubeError(
            f"Unknown key in the UDF's context: {', '.join(unknown)}; known are {', '.join((*known, *CLEANING_KEYS))}."
        )
    for key, value in given.items():
        if not isinstance(value, KEY_TYPES[key]) or (isinstance(value, bool) and key != "scores"):
            raise CubeError(f"Context key '{key}' is {value!r}; needed is {KEY_TYPES[key][0].__name__}.")
    if given.get("schema", SCHEMA) != SCHEMA:
        raise CubeError(f"The UDF's context has schema {given['schema']}; this package reads schema {SCHEMA}.")
    if given.get("level") not in (None, *LEVELS):  # a published process chooses the collection by this very word
        hints = " or ".join(option("level", level) for level in LEVELS)
        raise CubeError(f"Context key 'level' is {given['level']!r}: say {hints}.")
    if given.get("bands") is not None:
        given["bands"] = tuple(str(band) for band in given["bands"])
    given["thresholds"] = dict(given.get("thresholds", {}))
    is_kappamask(given.get("scheme", KAPPAMASK))
    return ContextOptions(**given, cleaning=cleaning)
