"""A server over a folder of small scenes, and a client that is logged in."""

from collections.abc import Iterator
from pathlib import Path

import openeo
import pytest
from serving import write_scene

from kappamask.backend.server import Server, running_server


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(folder, "2024-05-01")
    write_scene(folder, "2024-05-06", seed=1)
    write_scene(folder, "2024-05-01", level="L1C", bands=("B02", "B10"), seed=2)
    return folder


@pytest.fixture(scope="module")
def server(scenes: Path) -> Iterator[Server]:
    with running_server(scenes, user="tester", password="s3cret") as running:
        yield running


@pytest.fixture(scope="module")
def connection(server: Server) -> openeo.Connection:
    return openeo.connect(server.url).authenticate_basic(server.user, server.password)
