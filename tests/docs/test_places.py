"""The places in the code that pages name are there."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import packages
import pytest
from products import safe
from words import ROOT

from kappamask.models.schemes import CLASSES
from kappamask.scenes.encoding import format_class_name as name_class
from kappamask.scenes.writers.class_colours import COLOURS

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
ARCHITECTURE = ROOT / "docs" / "explanation" / "architecture.md"
FOLDERS = "udf|models|openeo_process|tests|tools|benchmarks|docs|src"
LINKS = {f"src/kappamask/{name}" for name in ("models", "openeo_process", "udf")}
"""A source archive has none."""
OF_A_USER = {"models/mine.json", "kappamask.json"}
"""Files of the reader's own."""


def _rows() -> list[list[str]]:
    table = ARCHITECTURE.read_text(encoding="utf-8").partition("## Where to find")[2]
    return [
        [cell.strip(" `") for cell in row.strip("| \n").split("|")] for row in re.findall(r"^\|.*`.*$", table, re.M)
    ]


def _names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = (node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign))
    return found | {name.id for node in assigned for name in ast.walk(node) if isinstance(name, ast.Name)}


@pytest.mark.parametrize(("question", "path", "name"), [(*row, "")[:3] for row in _rows()])
def test_where_to_find_names_what_is_there(question, path, name):
    assert (ROOT / path).is_file(), question
    assert not name or name in _names(ROOT / path), question


def test_where_to_find_answers_the_usual_questions():
    asked = " ".join(row[0] for row in _rows())
    for word in ("04.00", "paid twice", "cirrus", "reader", "scheme"):
        assert word in asked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_modules_and_files_on_a_page_are_there(page):
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"(?<![\w./-])kappamask(?:\.[A-Za-z_]\w*)+", text)) - OF_A_USER:
        assert _resolve(name), name
    for path in set(re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w", text)) - OF_A_USER:
        assert list(ROOT.glob(f"{path}*")) or path in LINKS, path


def _resolve(name: str) -> bool:
    """Import the longest part of `name` that is a module, and look up the rest."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@pytest.mark.parametrize(("name", "there"), [("kappamask.udf.cloud_mask", True), ("kappamask.udf.gone", False)])
def test_names_are_resolved(name, there):
    assert _resolve(name) is there


def test_the_picture_of_the_packages_is_that_of_the_code():
    assert packages.PICTURE.read_text(encoding="utf-8") == packages.draw(packages.read_imports())


def test_arrows_that_follow_from_others_are_left_out():
    assert packages.reduce_imports({("a", "b"), ("b", "c"), ("a", "c")}) == {("a", "b"), ("b", "c")}
    with pytest.raises(ValueError, match="circle"):
        packages.draw({("a", "b"), ("b", "a")})


def test_a_picture_has_a_box_for_each_package_and_an_arrow_for_each_import():
    picture = packages.draw({("top", "middle"), ("middle", "low"), ("top", "side"), ("other", "side")})
    assert picture.count("<rect") == 5
    assert picture.count("marker-end") == 4


def test_the_home_page_has_the_colours_of_pictures():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| (\d) \| .*background:#(\w{6})"></span>([\w -]+) \|', text, re.MULTILINE)
    assert [(int(code), colour, name) for code, colour, name in rows] == [
        (code, COLOURS[code], name_class(CLASSES[code])) for code in range(1, 6)
    ]


def test_the_walk_of_a_product_is_the_one_on_the_page(tmp_path):
    """A new process, whose threads are all traced."""
    product = safe(tmp_path, side=324)
    command = [sys.executable, ROOT / "tools" / "docs" / "walk.py", product]
    walked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    page = (
        ARCHITECTURE.read_text(encoding="utf-8").partition("## A product, from file to mask")[2].partition("\n## ")[0]
    )
    assert sorted(walked) == sorted(re.findall(r"`([\w/]+\.py)`", page.partition("|---|---|")[2]))
