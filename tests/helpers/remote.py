"""A back-end on this machine with one small scene, and what is asked of it."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openeo
from files import geotiff

from kappamask.backend.server import Server, running_server

BANDS = ("B02", "B03", "B04", "B08")
DATE = "2018-02-02"
DATES = "2018-02-01/2018-02-03"
PYTHON = platform.python_version().rpartition(".")[0]
INSIDE = "27.003,58.634,27.014,58.638"
"""W,S,E,N well inside the scene that `files` locates in UTM 35N."""
WIDE = "26.9948,58.634,27.0150,58.638"
"""The same and a bit of what lies west of it: two parts of a kilometre at most."""


def write_scene(folder: Path, bands: tuple[str, ...] = BANDS) -> None:
    """Write an L1C scene of 96 x 96 px of noise."""
    values = np.random.default_rng(3).integers(300, 9000, (len(bands), 96, 96)).astype(np.uint16)
    geotiff(folder / "scene_L1C_20180202.tif", values, bands, {"datetime": f"{DATE}T10:50:00Z", "level": "L1C"})


@contextmanager
def back_end(folder: Path, bands: tuple[str, ...] = BANDS, **options) -> Iterator[Server]:
    """A running back-end with the one scene of `write_scene`."""
    write_scene(folder, bands)
    with running_server(folder, **options) as running:
        yield running


def log_in(server: Server) -> openeo.Connection:
    return openeo.connect(server.url).authenticate_basic(server.user, server.password)


def jobs_of(server: Server) -> list[dict]:
    return [dict(job) for job in log_in(server).list_jobs(limit=10_000)]
