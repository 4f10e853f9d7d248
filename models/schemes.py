"""Names and codes of classes and of class schemes, and what a scheme cannot say."""

from collections.abc import Iterable

from kappamask.models.card import NODATA_CODE
from kappamask.models.errors import CubeError
from kappamask.models.scheme_table import SCHEMES, Scheme

__all__ = ["CLASSES", "DILATED", "OWN", "UNUSABLE", "class_codes", "is_own", "losses", "scheme_names", "scheme_of"]

OWN = "KappaMask"
"""The scheme that masks are made in."""
CLASSES = ("undefined", "clear", "cloud_shadow", "semi_transparent_cloud", "cloud", "missing")
"""KappaMask's codes 0 to 5 (KappaSet, km_predict)."""
UNUSABLE = ("cloud_shadow", "semi_transparent_cloud", "cloud", "missing")
"""What most users leave out of an analysis."""
DILATED = 2
"""In the scheme `bits`: beside cloud or shadow, no part of it before the mask was cleaned."""


def scheme_names() -> tuple[str, ...]:
    """All that `--scheme` and `to_scheme` take."""
    return (OWN, *SCHEMES)


def is_own(name: str) -> bool:
    """Whether `name` is KappaMask's own scheme. Raises CubeError, which lists all, if it is none."""
    return _known(name) == OWN


def scheme_of(name: str) -> Scheme:
    """Another mask's scheme; upper and lower case are the same. Raises CubeError, which lists all, for no such."""
    return SCHEMES[_known(name)]


def class_codes(names: Iterable[str]) -> tuple[int, ...]:
    """KappaMask's codes of class names. Raises CubeError, which lists all, for no such name."""
    given = [names] if isinstance(names, str) else list(names)
    unknown = [repr(name) for name in given if name not in CLASSES]
    if unknown:
        raise CubeError(f"No class {', '.join(unknown)}: known are {', '.join(CLASSES)}.")
    return tuple(CLASSES.index(name) for name in given)


def losses(name: str) -> list[str]:
    """Sentences: what becomes one on the way to a scheme and back, and what else to know. CubeError for no such."""
    if is_own(name):
        return []
    scheme = scheme_of(name)
    words = {row.value: f"{row.value} {row.name}" for row in scheme.rows} | {NODATA_CODE: f"{NODATA_CODE} nodata"}
    to = [(words[value], CLASSES[code]) for code, value in enumerate(scheme.written)]
    to.append((words[NODATA_CODE], "what lies outside the area"))
    back = [(CLASSES[row.read], words[row.value]) for row in scheme.rows]
    ways = [(f"{OWN} to {scheme.name}", to), (f"{scheme.name} to {OWN}", back)]
    return [f"{way}: {text}." for way, pairs in ways for text in _merged(pairs)] + list(scheme.notes)


def _known(name: str) -> str:
    found = {known.casefold(): known for known in scheme_names()}.get(str(name).casefold())
    if found is None:
        raise CubeError(f"No class scheme {name!r}: known are {', '.join(scheme_names())}.")
    return found


def _merged(pairs: list[tuple[str, str]]) -> list[str]:
    """'a and b become x' for each x that several become."""
    sources: dict[str, list[str]] = {}
    for target, source in pairs:
        sources.setdefault(target, []).append(source)
    return [f"{', '.join(s[:-1])} and {s[-1]} become {target}" for target, s in sources.items() if len(s) > 1]
