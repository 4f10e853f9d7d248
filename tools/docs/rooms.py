"""The rooms under one roof, as their importers see them: a folder `kappamask` that links to each of them."""

from configparser import ConfigParser
from pathlib import Path

SOURCES = Path("build/docs")
"""What mkdocs.yml names as the path of the Python handler; build/ is never part of the project."""


def link_rooms(root: Path) -> None:
    """Link every package of setup.cfg, and nothing else of the root, into `SOURCES`/kappamask."""
    setup = ConfigParser()
    setup.read(root / "setup.cfg", encoding="utf-8")
    for package in setup["options"]["packages"].split():
        link = root / SOURCES / Path(*package.split("."))
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(root / link.name, target_is_directory=True)
