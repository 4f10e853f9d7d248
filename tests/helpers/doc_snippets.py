"""What pages show, to be executed on small scenes of the names that they use."""

import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
from files import geotiff
from rasterio.transform import from_origin

from kappamask.backend.server import running_server
from kappamask.openeo_process import graph

ROOT = Path(__file__).resolve().parents[2]
BANDS = ["B02", "B03", "B04", "B08", "B10", "B11", "B12"]
_BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str | None = None, word: str = "") -> list[Any]:
    """List the fenced blocks of a page in this language that contain `word`.

    Without a language, pairs (language, text).
    """
    found = [(kind, text) for _, kind, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if word in text]
    return found if language is None else [text for kind, text in found if kind == language]


def commands(page: Path, word: str = "") -> list[str]:
    """List the lines of a page that call the command, from blocks with `word`.

    If `word` begins with kappamask, only lines that begin so.
    """
    start = word if word.startswith("kappamask ") else "kappamask "
    return [line for text in blocks(page, "sh", word) for line in list_calls(text) if line.startswith(start)]


def list_calls(text: str) -> list[str]:
    """The lines of a block that call the command, each in one piece."""
    return [line for line in text.replace("\\\n", "").splitlines() if line.startswith("kappamask ")]


def words(line: str) -> list[str]:
    """The words of a line up to what only the shell understands."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    given = list(reader)
    return given[: next((i for i, word in enumerate(given) if set(word) <= set("|&;<>()")), len(given))]


def write_scene(
    path: Path, west: float = 640_000, north: float = 5_680_000, zone: int = 31, level: str = "L1C"
) -> Path:
    """Write smooth ground with a bright square, 640 x 640 px in UTM.

    The date is that of the name.
    """
    bands = [band for band in BANDS if band != "B10" or level == "L1C"]
    ground = np.kron(np.random.default_rng(5).uniform(400, 2500, (len(bands), 40, 40)), np.ones((16, 16)))
    if level == "L1C":
        ground[bands.index("B10")] = 12
    ground[:, 100:200, 100:200] = 5000
    where = {"crs": f"EPSG:{32600 + zone}", "transform": from_origin(west, north, 10, 10)}
    path.parent.mkdir(parents=True, exist_ok=True)
    return geotiff(path, ground.astype("uint16"), tuple(bands), {"level": level}, nodata=0, **where)


@contextmanager
def back_end(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Answer `openeo.connect` with a local back-end, whatever URL and login a page prints.

    Yields the URLs that were asked for.
    """
    real, asked = openeo.connect, []
    monkeypatch.setattr(graph.cloud_mask, "__kwdefaults__", {**graph.cloud_mask.__kwdefaults__, "python": python()})
    with running_server(scenes) as server:

        def connect(url, **_options):
            asked.append(url)
            connection = real(server.url)
            log_in = connection.authenticate_basic
            for way in ("authenticate_oidc", "authenticate_basic"):
                monkeypatch.setattr(connection, way, lambda *_: log_in(server.user, server.password))
            return connection

        monkeypatch.setattr(openeo, "connect", connect)
        monkeypatch.setattr("kappamask.openeo_process.connection.is_local", lambda _url: True)  # asked every second
        monkeypatch.setenv("XDG_DATA_HOME", str(scenes.parent / "home"))
        yield asked


def python() -> str:
    return platform.python_version().rpartition(".")[0]


def run_command(line: str, cwd: Path) -> None:
    words = shlex.split(line, comments=True)
    words[0] = str(Path(sys.executable).parent / words[0])
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
