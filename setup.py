"""Give the package index a README whose links lead to the repository; all else stands in setup.cfg."""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
RELATIVE_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


def read_long_description() -> str:
    """Return README.md with absolute links and pictures."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    source, version = config["metadata"]["url"], config["metadata"]["version"]
    raw = source.replace("github.com", "raw.githubusercontent.com")

    def make_absolute(link: re.Match[str]) -> str:
        mark, text, path = link.groups()
        return f"{mark}[{text}]({raw}/v{version}/{path})" if mark else f"[{text}]({source}/blob/v{version}/{path})"

    return RELATIVE_LINK.sub(make_absolute, (ROOT / "README.md").read_text(encoding="utf-8"))


setup(long_description=read_long_description())
