"""Virtual environments with one extra only, made by linking what this one has."""

import csv
import os
import subprocess
import venv
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["Environment", "find_requirements", "link_environment"]

PACKAGE = "kappamask-openeo"
COMMAND = """#!{python}
from kappamask.cli import main
main()
"""


class Environment:
    """A virtual environment without pip."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        (self.site,) = folder.glob("lib/python*/site-packages")

    def run(self, words: Iterable[str], cwd: Path, **variables: str) -> str:
        """Run a command in `cwd` with its own home; return its output, or raise AssertionError."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_", "KAPPAMASK"))
        }
        home = {"HOME": str(cwd / "home"), "XDG_DATA_HOME": str(cwd / "home"), "XDG_CACHE_HOME": str(cwd / "home")}
        path = {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            list(words), cwd=cwd, env=kept | home | path | variables, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def link_environment(folder: Path, extra: str) -> Environment:
    """Make an environment with the package and what its extra, as "client,zarr", requires."""
    venv.create(folder, with_pip=False, symlinks=True)
    made = Environment(folder)
    for name in find_requirements(extra):
        for path, target in _list_links(_find(name)):
            link = made.site / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
    (made.bin / "kappamask").write_text(COMMAND.format(python=made.bin / "python"))
    (made.bin / "kappamask").chmod(0o755)
    return made


def find_requirements(extra: str) -> set[str]:
    """The names of all distributions that `pip install kappamask-openeo[extra]` brings."""
    found: set[tuple[str, str]] = set()
    todo = {(canonicalize_name(PACKAGE), one) for one in ("", *extra.split(","))}
    while todo:
        found |= (new := todo - found)
        todo = {(name, more) for one in new for name, more in _list_required(*one)}
        todo -= found
    return {name for name, _ in found}


@cache
def _find(name: str) -> Distribution:
    """The installed distribution; a checkout may also hold an egg-info of its name, without files."""
    return next(one for one in Distribution.discover(name=name) if one.read_text("RECORD"))


@cache
def _list_required(name: str, extra: str) -> set[tuple[str, str]]:
    """What a distribution requires with one extra, each with every extra of its own."""
    wanted = [Requirement(text) for text in _find(name).requires or []]
    chosen = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {(canonicalize_name(one.name), more) for one in chosen for more in ("", *one.extras)}


def _list_links(found: Distribution) -> list[tuple[Path, Path]]:
    """Yield path and target of each link; single files where distributions share a folder."""
    paths = [path for path in _list_files(found) if path.parts[0] not in ("..", "__pycache__")]
    shared = {path.parts[0] for path in paths} & _find_shared()
    links = {Path(path.parts[0]) for path in paths if path.parts[0] not in shared}
    links |= {path for path in paths if path.parts[0] in shared and path.suffix != ".pyc"}
    return [(path, Path(str(found.locate_file(path)))) for path in sorted(links)]


@cache
def _find_shared() -> set[str]:
    """Find folders that several distributions have files in, as `odc` and `google`."""
    owners: dict[str, set[int]] = defaultdict(set)
    for number, found in enumerate(distributions()):
        for top in {path.parts[0] for path in _list_files(found)}:
            owners[top].add(number)
    return {top for top, numbers in owners.items() if len(numbers) > 1}


def _list_files(found: Distribution) -> list[Path]:
    """The files of a distribution; `Distribution.files` asks the disk for each, and takes minutes."""
    return [Path(row[0]) for row in csv.reader((found.read_text("RECORD") or "").splitlines()) if row]
