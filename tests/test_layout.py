"""The package is complete however it is built or installed.

A module that was deleted is in no later wheel.
"""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from doc_snippets import ROOT

PARTS = ("src", "models", "udf", "openeo_process", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
LINKS = ("models", "udf", "openeo_process")
PROBE = """
import site, sys
site.addsitedir(sys.argv[1])
import kappamask
heavy = sorted({"numpy", "xarray", "importlib.metadata", "kappamask.udf"} & set(sys.modules))
sys.path += sys.argv[3:]
import importlib.resources, importlib.util, json, pathlib
from kappamask import cloud_mask, open_scene, write_mask
from kappamask.models import load_card
from kappamask.models.package import list_package_files
from kappamask.openeo_process.graph import _read_script
modules = json.loads(sys.argv[2])
print(json.dumps({
    "heavy": heavy,
    "version": kappamask.__version__,
    "lost": [name for name in modules if importlib.util.find_spec(name) is None],
    "away": [name for name, module in sys.modules.items() if name.partition(".")[0] == "kappamask"
             and not str(pathlib.Path(module.__file__).resolve()).startswith(sys.argv[1].rpartition("/")[0])],
    "archive": sorted(name for name, _ in list_package_files(load_card("compact"))),
    "script": _read_script(),
    "data": [importlib.resources.files("kappamask").joinpath(name).is_file()
             for name in ("evaluation/paper.json", "reports/templates/base.html")],
}))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what packages are built from to a repository with one commit."""
    folder = tmp_path_factory.mktemp("source") / "tree"
    folder.mkdir()
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in map(ROOT.joinpath, PARTS):
        if part.is_dir():
            shutil.copytree(part, folder / part.name, symlinks=True, ignore=unwanted)
        else:
            shutil.copy(part, folder)
    for name in LINKS:  # a source archive has no links
        if not (link := folder / "src" / "kappamask" / name).exists():
            link.symlink_to(f"../../{name}")
    git("init", "--quiet", folder)
    git("-C", folder, "add", "--all")
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    git("-C", folder, *author, "commit", "--quiet", "--message", "All")
    return folder


@pytest.fixture(scope="module")
def without_links(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout where git wrote symbolic links as text files."""
    folder = tmp_path_factory.mktemp("clone") / "tree"
    git("clone", "--quiet", "-c", "core.symlinks=false", source, folder)
    for name in LINKS:
        link = folder / "src" / "kappamask" / name
        assert not link.is_symlink() and link.read_text() == f"../../{name}"
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"), "--wheel")


def git(*words: object) -> None:
    subprocess.run(["git", *map(str, words)], check=True, capture_output=True)


def build(tree: Path, out: Path, *options: str) -> Path:
    """The wheel of a tree; without options it is built from the tree's source archive."""
    run("-m", "build", "--no-isolation", *options, "--outdir", out, tree)
    return next(out.glob("*.whl"))


def run(*words: object) -> str:
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as content:
        return sorted(content.namelist())


def modules(wheel: Path) -> list[str]:
    found = [name.removesuffix(".py").removesuffix("/__init__") for name in names(wheel) if name.endswith(".py")]
    return [name.replace("/", ".") for name in found if not name.endswith(("__main__", "udf/script"))]


def probe(installed: Path, wheel: Path) -> dict:
    """Read what a new process finds in `installed`, and outside it where this process looks."""
    others = [path for path in sys.path if "site-packages" in path]
    found = json.loads(run("-I", "-S", "-c", PROBE, installed, json.dumps(modules(wheel)), *others))
    assert not found["heavy"] and not found["lost"] and not found["away"] and all(found["data"])
    assert found["script"] == (ROOT / "udf" / "script.py").read_text(encoding="utf-8")
    return found


def editable(tree: Path, folder: Path) -> Path:
    """A folder of packages that holds an editable install of `tree`."""
    text = "import sys; from build import ProjectBuilder as B; B(sys.argv[1]).build('editable', sys.argv[2])"
    run("-c", text, tree, folder)
    return unpack(next(folder.glob("*.whl")), folder.parent / "site")


def unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder)
    return folder


def test_links_show_the_packages_at_the_top() -> None:
    unpacked = (ROOT / "PKG-INFO").is_file()  # a source archive has no links until `make lint` makes them
    links = [ROOT / "src" / "kappamask" / name for name in LINKS]
    assert unpacked or all(link.is_symlink() or link.is_file() for link in links)
    for name, link in zip(LINKS, links, strict=True):
        if unpacked and not link.exists():
            continue
        target = link.readlink().as_posix() if link.is_symlink() else link.read_text()
        assert target == f"../../{name}"


def test_the_wheel_holds_every_module_and_works(wheel: Path, tmp_path: Path) -> None:
    folders = (ROOT / "src" / "kappamask", *(ROOT / name for name in LINKS))
    files = [(path, folder) for folder in folders for path in folder.rglob("*.py")]
    wanted = {(Path(folder.name) / path.relative_to(folder)).as_posix() for path, folder in files}
    wanted = {name if name.startswith("kappamask/") else f"kappamask/{name}" for name in wanted}
    assert {name for name in names(wheel) if name.endswith(".py")} == wanted
    found = probe(unpack(wheel, tmp_path / "site"), wheel)
    assert {name.split("/")[1] for name in found["archive"]} == {"models", "udf"}


def test_the_source_archive_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    assert names(build(source, tmp_path)) == names(wheel)


def test_a_checkout_without_symbolic_links_makes_the_same_wheel(
    without_links: Path, wheel: Path, tmp_path: Path
) -> None:
    assert names(build(without_links, tmp_path, "--wheel")) == names(wheel)


@pytest.mark.parametrize("links", [True, False])
def test_an_editable_install_finds_all_of_it(
    source: Path, without_links: Path, wheel: Path, tmp_path: Path, links: bool
) -> None:
    tree = shutil.copytree(source if links else without_links, tmp_path / "tree", symlinks=True)
    (tmp_path / "built").mkdir()
    probe(editable(tree, tmp_path / "built"), wheel)


def test_a_deleted_module_is_not_in_the_next_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(source, tmp_path / "tree", symlinks=True)
    more = tree / "src" / "kappamask" / "scenes" / "more.py"
    more.touch()
    assert set(names(build(tree, tmp_path / "first", "--wheel"))) - set(names(wheel)) == {"kappamask/scenes/more.py"}
    more.unlink()
    assert names(build(tree, tmp_path / "second", "--wheel")) == names(wheel)


def test_the_package_runs_as_a_module_and_names_its_version(wheel: Path) -> None:
    version = run("-m", "kappamask", "--version").strip()
    assert f"-{version}-" in wheel.name
    assert (
        run("-c", "import kappamask; print(kappamask.__version__, 'open_scene' in dir(kappamask))")
        == f"{version} True\n"
    )


def test_every_module_lists_the_names_that_it_offers() -> None:
    """Entry points, which are run and not imported, offer none."""
    entries = {"__init__.py", "__main__.py", "script.py", "driver_config.py"}
    modules = [path for part in ("src", "models", "udf", "openeo_process") for path in (ROOT / part).rglob("*.py")]
    lacking = [
        str(path) for path in modules if path.name not in entries and "__all__ = " not in path.read_text("utf-8")
    ]
    assert not lacking
