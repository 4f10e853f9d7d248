"""Check the conda recipe by those rules of conda-forge's linter that need no conda.

Neither conda-smithy nor conda-recipe-manager is on PyPI in a version that lints, so the rules are written down here:
order of the sections, what `about`, `extra` and `test` must hold, how versions are pinned, and how a package for any
Python says which is the oldest (CFEP-25).
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

__all__ = ["find_faults", "read_recipe"]

SECTIONS = ("package", "source", "build", "requirements", "test", "about", "extra")
"""In this order; all must be there."""
ABOUT = ("home", "license", "license_file", "summary", "dev_url", "doc_url")
PIN = re.compile(r"[a-z0-9][a-z0-9._-]*( (==|>=|<=|>|<|=)?[0-9][0-9a-z.*,<>=!]*)?")
"""Name, one space, and constraints without spaces."""


def read_recipe(path: Path) -> dict[str, Any]:
    """Render the Jinja template as conda-build does, and parse it."""
    text = path.read_text(encoding="utf-8")
    rendered = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(text)
    found: dict[str, Any] = yaml.safe_load(rendered.render(PYTHON="python", environ={}))
    return found


def find_faults(recipe: Mapping[str, Any], text: str) -> Iterator[str]:
    """Yield what the linter would refuse; `text` is the recipe before it is rendered."""
    if tuple(recipe) != SECTIONS:
        yield f"the sections are {', '.join(recipe)}; they must be {', '.join(SECTIONS)}, in this order"
        return
    yield from (f"about lacks {key}" for key in ABOUT if not recipe["about"].get(key))
    if not recipe["extra"].get("recipe-maintainers"):
        yield "extra lacks recipe-maintainers"
    if not recipe["test"].get("imports") or "pip check" not in recipe["test"].get("commands", []):
        yield "test needs imports, and pip check among its commands"
    if "sha256" not in recipe["source"]:
        yield "source lacks sha256"
    if recipe["build"].get("number") is None or "--no-deps --no-build-isolation" not in recipe["build"]["script"]:
        yield "build needs a number, and pip install with --no-deps --no-build-isolation"
    yield from _find_pins(recipe["requirements"], text)


def _find_pins(requirements: Mapping[str, list[str]], text: str) -> Iterator[str]:
    pins = [pin for part in requirements.values() for pin in part]
    yield from (f"{pin!r} is no pin such as 'numpy >=1.26'" for pin in pins if not PIN.fullmatch(pin))
    for part in ("host", "run"):
        names = [pin.split()[0] for pin in requirements[part]]
        if len({*names}) < len(names):
            yield f"{part} names a package twice"
    for line in ("- python {{ python_min }}", "- python >={{ python_min }}"):
        if line not in text:
            yield f"a package for any Python needs the line {line!r} (CFEP-25)"
