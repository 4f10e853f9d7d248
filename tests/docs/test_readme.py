"""Each block of the README runs with only the extra that it names."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from doc_snippets import ROOT, blocks, python, write_scene
from environments import Environment, find_requirements, link_environment

from kappamask.backend.server import Server, running_server
from kappamask.openeo_process import archive

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
SCENE = "S2_L1C_20180202.tif"
BACK_END = "openeo.dataspace.copernicus.eu"
ARCHIVE = "https://example.org/kappamask-deps-compact-cp311.zip"
INSTALL = re.compile(r"pip install '\.\[([\w,]+)\]'.*\n")
OUTPUTS = {
    "mask.tif": "mask.tif",
    "-o masks": "masks",
    '"masks"': "masks",
    "archive -o .": archive.name_archive("compact"),
}
"""What a block says, and the file or folder that it then leaves."""


def _steps() -> Iterator[tuple[str, str, str]]:
    """Yield each block's extra, language and text; the last install line names the extra."""
    extra = ""
    for kind, text in blocks(README):
        if found := INSTALL.search(text):
            extra = found[1]
        if (rest := INSTALL.sub("", text)).strip() and not rest.startswith("make "):
            yield extra, kind, rest


STEPS = [*_steps()]


@pytest.fixture(scope="module", params=sorted({extra for extra, _, _ in STEPS}))
def environment(request, tmp_path_factory) -> tuple[str, Environment]:
    return request.param, link_environment(tmp_path_factory.mktemp("environment") / request.param, request.param)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    scenes = write_scene(tmp_path_factory.mktemp("served") / SCENE, 638_000, 5_679_000).parent
    with running_server(scenes) as running:
        yield running


def _localise(text: str, server: Server, built: Path) -> str:
    """Replace the back-end's address, login and Python, and the archive's place."""
    log_in = f'.authenticate_basic("{server.user}", "{server.password}")'
    for old, new in (
        (ARCHIVE, built.as_uri()),
        (".authenticate_oidc()", log_in),
        (BACK_END, server.url),
        ("--python 3.11", f"--python {python()}"),
        ("clip_to=area)", f'clip_to=area, python="{python()}")'),
    ):
        text = text.replace(old, new)
    return text


def test_each_block_runs_with_its_extra_only(environment, server, tmp_path):
    extra, python_there = environment
    assert "pytest" not in find_requirements(extra)
    built = archive.build(tmp_path / "archive")
    for number, (_, kind, text) in enumerate(step for step in STEPS if step[0] == extra):
        folder = tmp_path / str(number)
        write_scene(folder / SCENE)
        account = {"KAPPAMASK_USER": server.user, "KAPPAMASK_PASSWORD": server.password}
        words = ["python", "-c"] if kind == "python" else ["bash", "-ec"]
        printed = python_there.run([*words, _localise(text, server, built)], folder, **account)
        expected = {name for word, name in OUTPUTS.items() if word in text}
        assert expected and not [name for name in expected if not (folder / name).exists()]
        assert "print(" not in text or printed
        for path in folder.rglob("*mask*.tif"):
            with rasterio.open(path) as file:
                assert set(np.unique(file.read(1))) <= {1, 2, 3, 4, 255}


def test_every_kind_of_step_is_there():
    assert {(extra, kind) for extra, kind, _ in STEPS} == {
        (extra, kind) for extra in ("scenes", "client") for kind in ("python", "sh")
    }
    assert "kappamask submit" in TEXT and "mask_scene" in TEXT


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for line in blocks(README, "sh", "make ")[0].splitlines():
        target = shlex.split(line, comments=True)[1]
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def list_anchors(text):
    """The anchors of a page's headings."""
    return {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)h#][^)]*)\)", TEXT))
def test_links_lead_somewhere(link):
    path, _, anchor = link.partition("#")
    assert (ROOT / path).exists()
    assert not anchor or anchor in list_anchors((ROOT / path).read_text(encoding="utf-8"))


def test_extras_that_it_names_exist():
    setup = (ROOT / "setup.cfg").read_text()
    named = [name for names in re.findall(r"pip install '\.\[([\w,]+)\]'", TEXT) for name in names.split(",")]
    assert named
    for extra in named:
        assert re.search(rf"^{extra} =", setup, re.MULTILINE)


@pytest.mark.parametrize("anchor", re.findall(r"\]\(#([^)]+)\)", TEXT))
def test_anchors_lead_to_a_heading(anchor):
    assert anchor in list_anchors(TEXT)
