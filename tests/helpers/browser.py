"""Drive a real browser without a network: Chromium through its DevTools pipe."""

import base64
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
"""No sandbox, because tests run as root in containers; the pages are our own."""
SEEN = """({
  images: [...document.images].map(one => ({width: one.naturalWidth, alt: one.alt, shown: one.clientWidth})),
  page: document.documentElement.scrollWidth, window: document.documentElement.clientWidth,
  paper: getComputedStyle(document.body).backgroundColor, text: document.body.innerText,
  outside: performance.getEntriesByType('resource').map(one => one.name).filter(name => !name.startsWith('data:')),
})"""
"""What a page looks like to the one who reads it."""

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")


@dataclass
class Sight:
    """A page as it was shown."""

    images: list[dict[str, Any]]
    page: int
    window: int
    paper: str
    text: str
    outside: list[str]
    faults: list[str] = field(default_factory=list)


class Browser:
    """One tab; commands and answers are JSON, each ended by a zero byte."""

    def __init__(self, into: BinaryIO, out: BinaryIO) -> None:
        self.into, self.out = into, out
        self.number, self.session, self.events = 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        asked = {"id": self.number, "method": method, "params": params}
        self.into.write(json.dumps(asked | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.out.read(1)) != b"\0":
            assert byte, "the browser has ended"
            text += byte
        return json.loads(text)

    def _until(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def look(self, page: Path, width: int, *, dark: bool = False, picture: Path | None = None) -> Sight:
        """Load `page` in a window `width` wide; write what is seen of it to `picture`."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.events = []
        self.call("Page.navigate", url=page.resolve().as_uri())
        self._until("Page.loadEventFired")
        found = self.call("Runtime.evaluate", expression=SEEN, returnByValue=True)["result"]["value"]
        if picture is not None:
            shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
            picture.write_bytes(base64.b64decode(shot["data"]))
        return Sight(**found, faults=[fault for event in self.events if (fault := _fault(event))])


def _fault(event: dict[str, Any]) -> str | None:
    params = event.get("params", {})
    bad = {
        "Network.loadingFailed": lambda: params["errorText"],
        "Log.entryAdded": lambda: params["entry"]["text"],
        "Runtime.exceptionThrown": lambda: params["exceptionDetails"]["text"],
        "Runtime.consoleAPICalled": lambda: str(params["args"]),
    }.get(event.get("method", ""))
    return bad() if bad else None


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start a browser with its files in `profile`; it ends with the block."""
    (reads, into), (out, writes) = os.pipe(), os.pipe()
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    # Chromium reads commands from descriptor 3 and answers on 4.
    shell = ["bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "bash", *command]
    with subprocess.Popen(
        shell, pass_fds=(reads, writes), stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        os.close(reads)
        os.close(writes)
        try:
            with os.fdopen(into, "wb", buffering=0) as commands, os.fdopen(out, "rb") as answers:
                yield Browser(commands, answers)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
