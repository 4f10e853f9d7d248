"""`kappamask serve`: the embedded openEO back-end."""

from pathlib import Path
from typing import Annotated

import typer

from kappamask.cli.options import Engine
from kappamask.models.errors import require_extra
from kappamask.workflows.progress import print_warning

__all__ = ["serve"]

EXAMPLE = "kappamask serve --scenes scenes/ --port 8080"


def serve(
    scenes: Annotated[Path, typer.Option(help="Folder with the scenes to offer.", show_default=False)],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    engine: Annotated[
        Engine, typer.Option(help="What computes: the process of a job, or dask workers.")
    ] = Engine.LOCAL,
) -> None:
    """Serve a folder of scenes as an openEO back-end on this machine.

    The first line printed is its URL; then the lines that log in, to be typed in another terminal.
    """
    with require_extra("backend"):
        from kappamask.backend.scene_index import index
        from kappamask.backend.server import run_server

    if not index(scenes):
        print_warning(f"{scenes} holds no scene yet; those that come into it are served.")
    run_server(scenes, port=port, engine="dask" if engine is Engine.DASK else "serial")
