"""The reference of the command, from the command itself."""

import re
import subprocess
import sys
from pathlib import Path

_EXAMPLE = re.compile(r"^Example:\s((?:.* \\\n)*.*)$", re.MULTILINE)
_LIST = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n")
"""Commands with the beginnings of their sentences: the page's contents list the same."""


def command_reference() -> str:
    """Every command with its arguments, options and example, as Markdown."""
    words = [sys.executable, "-m", "typer", "kappamask.cli.app", "utils", "docs", "--name", "kappamask"]
    text = subprocess.run(words, check=True, capture_output=True, text=True, encoding="utf-8").stdout  # noqa: S603
    text = text.replace(str(Path.home()), "~")  # no reader has the home of the machine that builds the page
    return _EXAMPLE.sub(r"**Example**:\n\n```sh\n\1\n```", _LIST.sub("", text))
