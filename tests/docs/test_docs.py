"""The documentation builds without warnings, has no dead links and works offline."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import browser, needs_browser
from commands import command_reference
from doc_snippets import ROOT
from notebooks import render

from kappamask.openeo_process.jobs.journal import locate_journal

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SEEN = (
    "index",
    "results",
    "weaknesses",
    "how-to/compare",
    "how-to/cluster",
    "results/conformance",
    "design/0012-judging-masks",
)
LOADED = {("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}
"""What a browser asks for by itself; rel=canonical and the like are no such links, and the site has none."""
SEARCH = """new Promise(found => {
  const field = document.querySelector("input[name=query]"), list = document.querySelector(".md-search-result__list")
  new MutationObserver(() => found(list.innerHTML)).observe(list, {childList: true})
  field.focus()
  field.value = "offset"
  field.dispatchEvent(new Event("keyup"))
})"""
"""Types a word, and waits for the first pages that have it."""

CUT_OFF = """[...document.querySelectorAll(".md-content pre > code")]
  .filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText)"""
"""Blocks of code that are wider than their column."""

NARROW = """[...document.querySelectorAll(".md-content td")]
  .filter(one => one.innerText.length > 24 && one.clientWidth < 110).map(one => one.innerText)"""
"""Cells whose sentences stand in a column of single words."""


class Page(HTMLParser):
    """The links and anchors of one built page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str, str]] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key in ("href", "src") and value:
                self.links.append((tag, key, value))
            if key in ("id", "name") and value:
                self.anchors.add(value)


read = cache(Page)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site; the notebooks are run for it."""
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_link_leads_somewhere(site):
    built = sorted(set(site.rglob("*.html")) - {site / "404.html"})  # which only a server shows
    assert len(built) > len(PAGES)
    broken = [
        f"{page.relative_to(site)}: {link}"
        for page in built
        for _, _, link in read(page).links
        if not leads_somewhere(page, link)
    ]
    assert not broken


def leads_somewhere(page: Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return parts.scheme in ("https", "mailto")
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.suffix != ".html" or not parts.fragment:
        return target.exists()
    return target.exists() and (parts.fragment in read(target).anchors or parts.fragment.startswith("__"))


def test_nothing_is_asked_from_another_host(site):
    """So that the site can be read from a folder, without a network."""
    asked = [link for page in site.rglob("*.html") for *what, link in read(page).links if tuple(what) in LOADED]
    assert asked
    assert not [link for link in asked if urlsplit(link).netloc]
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", sheet.read_text(encoding="utf-8"))


@pytest.mark.parametrize("source", sorted((DOCS / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_notebooks_show_what_they_compute(site, source):
    page = site / "notebooks" / f"{source.stem}.html"
    pictures = [link for tag, _, link in read(page).links if tag == "img"]
    assert any((page.parent / link).stat().st_size > 10_000 for link in pictures)
    assert "Traceback" not in page.read_text(encoding="utf-8")
    assert page.with_suffix(".ipynb").stat().st_size > 10_000


def test_notebooks_record_no_jobs_in_the_journal_of_who_builds_the_pages(tmp_path):
    source = tmp_path / "jobs.py"
    where = "from kappamask.openeo_process.jobs.journal import locate_journal"
    source.write_text(f"# %%\n{where}\nprint('in', locate_journal())\n", encoding="utf-8")
    page = render(source).page
    assert "kappamask-docs-" in page.partition("    in ")[2] and str(locate_journal()) not in page


def test_what_a_cell_prints_is_one_block(site):
    """Nor is each line of a job that is watched."""
    for path in site.rglob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            kinds = [one.get("name") for one in cell.get("outputs", [])]
            assert ("stdout", "stdout") not in set(pairwise(kinds)), path


def test_options_in_sentences_stay_in_one_piece(site):
    page = (site / "how-to" / "many-products.html").read_text(encoding="utf-8")
    assert '<code><span class="option">--quicklook</span></code>' in page
    assert "<code>--" not in page
    assert not re.findall(
        r"(?<!class=\"option\")>--?[a-z]", "".join(re.findall(r'<div class="language-sh.*?</div>', page, re.S))
    )


def test_rules_that_are_numbered_through_keep_their_numbers(site):
    page = (site / "udf-contract.html").read_text(encoding="utf-8")
    assert re.findall(r'<ol start="(\d+)">', page) == ["8", "15", "19", "23"]


def test_long_names_in_tables_may_break_at_their_joints(site):
    page = (site / "how-to" / "own-network.html").read_text(encoding="utf-8")
    assert "<td><code>kappamask:<wbr>required_<wbr>bands</code></td>" in page
    assert "<td><code>kappamask:fill</code></td>" in page
    assert "<code>kappamask:level_plane</code> is false" in page


def test_figures_in_tables_keep_their_units(site):
    page = (site / "results.html").read_text(encoding="utf-8")
    assert re.search(r">[\d.]+\u00a0% <small>[\d.]+\u00a0to\u00a0[\d.]+</small></td>", page)
    assert not re.search(r"\d %[^<]*</td>", page)


def test_the_command_is_there(site):
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--radiometry" in commands
    assert str(Path.home()) not in commands, "a folder of the machine that built the page"
    assert 'id="kappamask-models-fetch"' in commands


def test_every_example_of_the_reference_is_one_block_to_copy() -> None:
    """An example that is folded twice would end in the prose."""
    blocks = re.findall(r"\*\*Example\*\*:\n\n```sh\n(.*?)\n```", command_reference(), re.DOTALL)
    joined = [block.replace(" \\\n", " ") for block in blocks]
    assert len(joined) > 20
    assert [one for one in joined if not re.fullmatch(r"kappamask [^\n\\]+", one)] == []


@pytest.mark.parametrize("room", ["workflows", "udf", "scenes", "reports", "openeo_process", "models", "evaluation"])
def test_the_reference_has_every_public_name(site, room):
    anchors = read(site / "reference" / f"{room}.html").anchors
    public = import_module(f"kappamask.{room}").__all__
    places = ("kappamask.{0}.{1}", "kappamask.{0}.{1}.{1}")  # the second where a module bears the name, too
    assert not [name for name in public if not anchors & {place.format(room, name) for place in places}]


@pytest.mark.parametrize("page", sorted((DOCS / "reference").glob("*.md")), ids=lambda page: page.stem)
def test_the_reference_has_each_name_once_and_lists_as_lists(site, page):
    built = site / "reference" / f"{page.stem}.html"
    shown = re.findall(r'<h\d id="kappamask\.[a-z_.]*\.([\w.]+)"[^>]*class="doc', built.read_text(encoding="utf-8"))
    assert len(shown) == len(set(shown))
    assert not re.findall(r"\n?- <strong><code>", built.read_text(encoding="utf-8"))


@needs_browser
def test_a_browser_shows_it_without_a_network(site, tmp_path):
    """On wide and narrow screens pictures load and nothing overflows or fails.

    Wide ones show all code.
    """
    with browser(tmp_path) as tab:
        for page in (*SEEN, "notebooks/local-scene", "reference/commands", "reference/scenes"):
            for width in (1280, 390):
                seen = tab.look(site / f"{page}.html", width)
                assert (seen.page, seen.faults) == (seen.window, []), page
                cut, narrow = (
                    tab.call("Runtime.evaluate", expression=asked, returnByValue=True)["result"]["value"]
                    for asked in (CUT_OFF, NARROW)
                )
                assert width < 600 or not cut, page
                assert not narrow, page
                assert all(image["width"] for image in seen.images), page


@needs_browser
def test_search_works_in_a_folder(site, tmp_path):
    with browser(tmp_path) as tab:
        tab.look(site / "index.html", 1280)
        found = tab.call("Runtime.evaluate", expression=SEARCH, awaitPromise=True, returnByValue=True)
    assert "explanation/radiometry.html" in found["result"]["value"]
