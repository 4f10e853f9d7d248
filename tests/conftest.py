import os
import signal
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
from command import runner
from costs import costs_of
from networks import write_model

from kappamask.models import ModelCard

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So it is where tests run in a shell's background, and commands that are started here would not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("ci", max_examples=60, derandomize=True, deadline=None)
hypothesis.settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in costs_of(item) if isinstance(item, pytest.Function) else ():
            item.add_marker(marker)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real imagery next to the project.

    Tests that need it skip where it is not there.
    """
    folder = Path(os.environ.get("KAPPAMASK_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip("the real imagery (folder ../shared/data, or KAPPAMASK_SHARED_DATA) is not on this machine")
    return folder


@pytest.fixture(scope="session")
def brightness(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """A network whose mask follows the brightness of B02 over 3 x 3 pixels."""
    return write_model(tmp_path_factory.mktemp("brightness"))


@pytest.fixture(autouse=True)
def data_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give each test its own home for the journal, made at the first write."""
    folder = tmp_path_factory.getbasetemp() / f"home-{uuid4().hex[:12]}"
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    return folder


@pytest.fixture
def kappamask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Calls the command: `kappamask("mask", path)` gives its exit code, what it printed, and its errors."""
    return runner(monkeypatch, capsys)
