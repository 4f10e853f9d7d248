"""Everything that the README shows is executed, on small scenes of its names."""

import re
import shlex

import numpy as np
import pytest
import rasterio
from shown import ROOT, back_end, blocks, commands, python, run_command, write_scene

from kappamask.backend.server import running_server
from kappamask.openeo_process import archive

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
SCENE = "S2_L1C_20180202.tif"


def test_python_on_a_file(tmp_path, monkeypatch, capsys):
    (text,) = blocks(README, "python", "open_scene")
    write_scene(tmp_path / SCENE)
    monkeypatch.chdir(tmp_path)
    exec(text, {})
    assert (tmp_path / "mask.tif").is_file()
    assert "compact dn_harmonized" in capsys.readouterr().out


def test_one_call_on_a_file(tmp_path, monkeypatch):
    (text,) = blocks(README, "python", "mask_scene")
    write_scene(tmp_path / SCENE)
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(text, space)
    assert (tmp_path / "mask.tif").is_file() and space["found"]["files"] == ["mask.tif"]


def test_shell_on_a_file(tmp_path):
    (line,) = commands(README, "kappamask mask")
    write_scene(tmp_path / SCENE)
    run_command(line, tmp_path)
    assert (tmp_path / "mask.tif").is_file()


def test_openeo_against_a_back_end(tmp_path, monkeypatch, capsys):
    """Commands run as printed, except for back-end, login and the archive's place."""
    (text,) = blocks(README, "python", "openeo.connect")
    scenes = write_scene(tmp_path / "scenes" / SCENE, 638_000, 5_679_000).parent
    built = archive.build(tmp_path / "archive")
    monkeypatch.chdir(tmp_path)
    with back_end(scenes, monkeypatch) as asked:
        exec(text.replace("https://example.org/kappamask-deps-compact-cp311.zip", built.as_uri()), {})
    assert asked == ["openeo.dataspace.copernicus.eu"]
    (path,) = (tmp_path / "masks").glob("*.tif")
    with rasterio.open(path) as file:
        assert set(np.unique(file.read(1))) <= {1, 2, 3, 4, 255}
    assert path.name in capsys.readouterr().out


def test_submit_against_a_back_end(tmp_path, monkeypatch):
    """As printed, but for where the back-end is and where the archive lies."""
    (line,) = commands(README, "kappamask submit")
    scenes = write_scene(tmp_path / "scenes" / SCENE, 638_000, 5_679_000).parent
    built = archive.build(tmp_path / "archive")
    with running_server(scenes) as server:
        for name, value in (("USER", server.user), ("PASSWORD", server.password)):
            monkeypatch.setenv(f"KAPPAMASK_{name}", value)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
        line = line.replace("openeo.dataspace.copernicus.eu", server.url)
        run_command(line.replace("https://example.org/kappamask-deps-compact-cp311.zip", str(built)), tmp_path)
    assert (tmp_path / "masks" / "mask_2018-02-02_32631.tif").is_file()
    assert (tmp_path / "masks" / "collection.json").is_file()
    assert (tmp_path / "home" / "kappamask" / "jobs.sqlite").is_file()


def test_archive_command(tmp_path):
    (line,) = commands(README, "kappamask archive")
    run_command(line.replace("--python 3.11", f"--python {python()}"), tmp_path)
    assert len(list(tmp_path.glob("kappamask-deps-compact-*.zip"))) == 1


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for line in blocks(README, "sh", "make ")[0].splitlines():
        target = shlex.split(line, comments=True)[1]
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)h#][^)]*)\)", TEXT))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_extras_that_it_names_exist():
    setup = (ROOT / "setup.cfg").read_text()
    named = [name for names in re.findall(r"pip install '\.\[([\w,]+)\]'", TEXT) for name in names.split(",")]
    assert named
    for extra in named:
        assert re.search(rf"^{extra} =", setup, re.MULTILINE)


@pytest.mark.parametrize("anchor", re.findall(r"\]\(#([^)]+)\)", TEXT))
def test_anchors_lead_to_a_heading(anchor):
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
