"""The `kappamask` command, run in this process."""

import sys

import pytest

from kappamask.cli import main

SLOW = """
import sys, time
from kappamask.scenes.writers import geotiff as geotiff_out
fill = geotiff_out._fill
def slow(layers):
    fill(layers)
    print("half-way", flush=True)
    time.sleep(30)
geotiff_out._fill = slow
from kappamask.cli import main
main()
"""


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


def one_sentence(text: str) -> bool:
    return text.startswith("kappamask: ") and text.count("\n") == 1 and "Traceback" not in text


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["kappamask", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Outcome(int(ended.value.code or 0), *capsys.readouterr())

    return run
