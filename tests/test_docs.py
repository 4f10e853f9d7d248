"""The documentation is built without a warning, leads nowhere else, and what it shows works."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import nullcontext
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from browser import browser, needs_browser
from command import runner
from networks import write_model
from products import safe
from shown import ROOT, back_end, blocks, called, commands, words, write_scene
from stacs import cogs, raw_item, scaled

from kappamask.cli.app import app
from kappamask.openeo_process.archive import build
from kappamask.scenes import open_scene, stac_read, write_mask
from kappamask.udf import cloud_mask

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SCENE = "S2_L1C_20180202.tif"
PAINTED = "demo/scenes/painted_L1C_2018-02-02.tif"
ARCHIVE = "https://example.org/kappamask-deps-compact-cp311.zip"
LOADED = {("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}
"""What a browser asks for by itself; rel=canonical and the like are no such links, and the site has none."""
TESTED_ELSEWHERE = {
    "archive", "cancel", "demo", "fetch", "jobs", "publish", "resume", "serve", "simulate", "submit", "train",
}  # fmt: skip
"""Commands that take long, wait, or need a back-end: here their lines are parsed only."""
NOT_HERE = ("official-", "run1/", "mine.json", "l2a_unet.hdf5", "https://")
"""What is downloaded or trained first."""


SEARCH = """new Promise(found => {
  const field = document.querySelector("input[name=query]"), list = document.querySelector(".md-search-result__list")
  new MutationObserver(() => found(list.innerHTML)).observe(list, {childList: true})
  field.focus()
  field.value = "offset"
  field.dispatchEvent(new Event("keyup"))
})"""
"""Types a word, and waits for the first pages that have it."""


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


def test_the_command_is_there(site):
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--radiometry" in commands
    assert 'id="kappamask-models-fetch"' in commands


@pytest.mark.parametrize("room", ["udf", "scenes", "reports", "openeo_process", "models", "evaluation"])
def test_the_reference_has_every_public_name(site, room):
    anchors = read(site / "reference" / f"{room}.html").anchors
    public = import_module(f"kappamask.{room}").__all__
    places = ("kappamask.{0}.{1}", "kappamask.{0}.{1}.{1}")  # the second where a module bears the name, too
    assert not [name for name in public if not anchors & {place.format(room, name) for place in places}]


@needs_browser
def test_a_browser_shows_it_without_a_network(site, tmp_path):
    """On a desk and on a phone: pictures are there, nothing is wider than the window, nothing fails."""
    with browser(tmp_path) as tab:
        for page in ("index", "weaknesses", "notebooks/local-scene", "reference/commands", "reference/scenes"):
            for width in (1280, 390):
                seen = tab.look(site / f"{page}.html", width)
                assert (seen.page, seen.faults) == (seen.window, []), page
                assert all(image["width"] for image in seen.images), page


@needs_browser
def test_search_works_in_a_folder(site, tmp_path):
    with browser(tmp_path) as tab:
        tab.look(site / "index.html", 1280)
        found = tab.call("Runtime.evaluate", expression=SEARCH, awaitPromise=True, returnByValue=True)
    assert "explanation/radiometry.html" in found["result"]["value"]


LINES = [(page, line) for page in [ROOT / "README.md", *PAGES] for line in commands(page)]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[line for _, line in LINES])
def test_commands_have_the_options_that_are_shown(page, line):
    """The command's own parser takes them; nothing is run."""
    command, parent, given = typer.main.get_command(app), None, words(line)
    while given:
        context = command.make_context(given[0], given[1:], parent=parent)
        if not hasattr(command, "resolve_command"):
            return
        parent, rest = context, [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, rest)
        given = [command.name, *rest]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """A folder with a small scene of every name that pages use."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(folder / SCENE)
    for name in (SCENE, "S2_L1C_20180207.tif"):
        write_scene(folder / "scenes" / name, 638_000, 5_679_000)
    safe(folder)
    write_scene(folder / PAINTED, 438_000, 4_173_000, zone=18)
    write_scene(folder / "S2_L2A_20180202.tif", level="L2A")
    (folder / "masks").mkdir()
    for path in (folder / "truth.tif", folder / "masks" / "20180202.tif", folder / "masks" / "20180207.tif"):
        write_mask(cloud_mask(open_scene(folder / SCENE)), path)
    write_model(folder / "my-network")
    (folder / "item.json").write_text(json.dumps(raw_item(scaled(cogs(folder), 0.0))))
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> str:
    return build(tmp_path_factory.mktemp("archive")).as_uri()


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python") or commands(p)], ids=lambda path: path.stem)
def test_pages_do_what_they_show(page, scenes, archive, tmp_path, monkeypatch, capsys):
    """From top to bottom, in a folder of their own; what a page computes, its later blocks may use.

    As printed, but for the back-end and the catalogue, which are this machine's.
    """
    shutil.copytree(scenes, tmp_path, copy_function=os.link, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stac_read, "search", lambda *_, **__: [str(scenes / "item.json")])
    kappamask, known = runner(monkeypatch, capsys), {}
    remote = any("openeo.connect" in text for text in blocks(page, "python"))
    served = tmp_path / ("demo/scenes" if page.parent.name == "tutorial" else "scenes")
    with back_end(served, monkeypatch) if remote else nullcontext():
        for kind, text in blocks(page):
            if kind == "python":
                exec(text.replace(ARCHIVE, archive), known)
            if kind == "sh" and "\nfor " in text:
                subprocess.run(["bash", "-eu", "-c", text], env=beside_python(), check=True, timeout=120)
                assert not Path("failed.txt").exists()
            for line in lines(called(text)) if kind == "sh" else []:
                done = kappamask(*words(line)[1:])
                assert done.code == 0, f"{line}: {done.err}"


def beside_python() -> dict[str, str]:
    """An environment in which a shell finds the command that belongs to this Python."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def lines(called: list[str]) -> list[str]:
    """The lines that are worth running here."""
    return [
        line
        for line in called
        if shlex.split(line)[1] not in TESTED_ELSEWHERE and not any(name in line for name in NOT_HERE)
    ]
