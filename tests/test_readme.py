"""Everything that the README shows is executed, on small scenes of its names."""

import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import openeo
import pytest
import rasterio
from rasterio.transform import from_origin

from kappamask.backend.server import running_server
from kappamask.openeo_process import archive, graph

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
SCENE = "S2_L1C_20180202.tif"
BANDS = ["B02", "B03", "B04", "B08", "B10", "B11", "B12"]


def write_scene(path: Path, west: float, north: float, side: int = 640) -> None:
    """Smooth ground with a bright square, as L1C digital numbers in UTM 31N."""
    rng = np.random.default_rng(5)
    ground = np.kron(rng.uniform(400, 2500, (len(BANDS), side // 16, side // 16)), np.ones((16, 16)))
    ground[BANDS.index("B10")] = 12
    ground[:, 100:200, 100:200] = 5000
    profile = {"crs": "EPSG:32631", "transform": from_origin(west, north, 10, 10), "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", count=len(BANDS), height=side, width=side, **profile) as file:
        file.write(ground.astype("uint16"))
        file.descriptions = BANDS
        file.update_tags(datetime="2018-02-02T10:50:00Z", level="L1C")


def blocks(language, word):
    return [text for kind, text in BLOCKS if kind == language and word in text]


def test_python_on_a_file(tmp_path, monkeypatch, capsys):
    (text,) = blocks("python", "open_scene")
    write_scene(tmp_path / SCENE, 640_000, 5_680_000)
    monkeypatch.chdir(tmp_path)
    exec(text, {})
    assert (tmp_path / "mask.tif").is_file()
    assert "compact dn_harmonized" in capsys.readouterr().out


def test_shell_on_a_file(tmp_path):
    (text,) = blocks("sh", "kappamask mask")
    write_scene(tmp_path / SCENE, 640_000, 5_680_000)
    (line,) = [line for line in text.splitlines() if line.startswith("kappamask ")]
    run_command(line, tmp_path)
    assert (tmp_path / "mask.tif").is_file()


def test_openeo_against_a_back_end(tmp_path, monkeypatch, capsys):
    """As printed, but for where the back-end is, who one is there, and where the archive lies."""
    (text,) = blocks("python", "openeo.connect")
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    write_scene(scenes / SCENE, 638_000, 5_679_000)
    built = archive.build(tmp_path / "archive")
    real = openeo.connect
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(graph.cloud_mask, "__kwdefaults__", {**graph.cloud_mask.__kwdefaults__, "python": python()})
    with running_server(scenes) as server:

        def connect(url):
            assert url == "openeo.dataspace.copernicus.eu"
            connection = real(server.url)
            monkeypatch.setattr(
                connection, "authenticate_oidc", lambda: connection.authenticate_basic(server.user, server.password)
            )
            return connection

        monkeypatch.setattr(openeo, "connect", connect)
        exec(text.replace("https://example.org/kappamask-deps-compact-cp311.zip", built.as_uri()), {})
    (path,) = (tmp_path / "masks").glob("*.tif")
    with rasterio.open(path) as file:
        assert set(np.unique(file.read(1))) <= {1, 2, 3, 4, 255}
    assert path.name in capsys.readouterr().out


def test_archive_command(tmp_path):
    (text,) = blocks("sh", "kappamask archive")
    (line,) = [line for line in text.splitlines() if line.startswith("kappamask ")]
    run_command(line.replace("--python 3.11", f"--python {python()}"), tmp_path)
    assert len(list(tmp_path.glob("kappamask-deps-compact-*.zip"))) == 1


def test_make_targets_exist():
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    for line in blocks("sh", "make ")[0].splitlines():
        target = shlex.split(line, comments=True)[1]
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)h][^)]*)\)", README))
def test_links_lead_somewhere(link):
    assert (Path(__file__).parents[1] / link).exists()


def test_extras_that_it_names_exist():
    setup = (Path(__file__).parents[1] / "setup.cfg").read_text()
    named = re.findall(r"pip install '\.\[(\w+)\]'", README)
    assert named
    for extra in named:
        assert re.search(rf"^{extra} =", setup, re.MULTILINE)


def python() -> str:
    return platform.python_version().rpartition(".")[0]


def run_command(line: str, cwd: Path) -> None:
    words = shlex.split(line, comments=True)
    words[0] = str(Path(sys.executable).parent / words[0])
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
