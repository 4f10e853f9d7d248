"""The UDF's context: JSON with a schema version, in which an unknown key is an error."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kappamask.models import CubeError, Thresholds
from kappamask.models.cleaning import Cleaning, CleaningOptions, read_cleaning
from kappamask.models.schemes import KAPPAMASK, is_kappamask

__all__ = ["SCHEMA", "Options", "read_context"]

SCHEMA = 1
CLEANING_KEYS = tuple(CleaningOptions.__annotations__)
"""Keys that say how the mask is cleaned."""


@dataclass(frozen=True)
class Options:
    """What a chunk is masked with; every key may be left out."""

    schema: int = SCHEMA
    level: str | None = None
    """Product level, L1C or L2A; left out, the bands or the card decide."""
    model: str = "compact"
    """Id of a card."""
    radiometry: str = "dn_harmonized"
    """What Copernicus Data Space's `load_collection` serves; a chunk carries no metadata to find out by."""
    scores: bool = False
    """Also return each class's score in percent."""
    bands: tuple[str, ...] | None = None
    """Labels in order, only where the cube has none."""
    thresholds: Thresholds = ()
    """Class name to the score from which a pixel is of that class; given as an object."""
    scheme: str = KAPPAMASK
    """Class scheme of the mask that is returned, see `kappamask.udf.to_scheme`."""
    package: str | None = None
    """Sha256 that this package must have, see `kappamask.models.package`; left out, it is not looked at."""
    overlap: int | None = None
    """Pixels that chunks have of their neighbours, where the caller chooses the cleaning but not the chunks."""
    cleaning: Cleaning = Cleaning()  # noqa: RUF009  (frozen)
    """How the mask is cleaned; given by the keys of `kappamask.models.cleaning.CleaningOptions`, not by its own."""


_TYPES: dict[str, tuple[type, ...]] = {
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


def read_context(context: Mapping[str, Any] | None) -> Options:
    """Options from a UDF's context. Raises CubeError for an unknown key, a wrong type or another schema."""
    if context is not None and not isinstance(context, Mapping):
        raise CubeError(f"The UDF's context is {context!r}; needed is an object with keys such as 'level'.")
    given = dict(context or {})
    cleaning = read_cleaning({key: given.pop(key) for key in CLEANING_KEYS if key in given})
    known = [f.name for f in fields(Options) if f.name != "cleaning"]
    unknown = sorted(str(key) for key in set(given) - set(known))
    if unknown:
        raise CubeError(
            f"Unknown key in the UDF's context: {', '.join(unknown)}; known are {', '.join((*known, *CLEANING_KEYS))}."
        )
    for key, value in given.items():
        if not isinstance(value, _TYPES[key]) or (isinstance(value, bool) and key != "scores"):
            raise CubeError(f"Context key '{key}' is {value!r}; needed is {_TYPES[key][0].__name__}.")
    if given.get("schema", SCHEMA) != SCHEMA:
        raise CubeError(f"The UDF's context has schema {given['schema']}; this package reads schema {SCHEMA}.")
    if given.get("bands") is not None:
        given["bands"] = tuple(str(band) for band in given["bands"])
    given["thresholds"] = tuple(dict(given.get("thresholds", {})).items())
    is_kappamask(given.get("scheme", KAPPAMASK))
    return Options(**given, cleaning=cleaning)
