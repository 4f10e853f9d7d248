"""A proxy on loopback that spoils requests and answers, reproducibly by a seed."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "host"}
STATUSES = (429, 500, 502, 503, 504)


class FaultPlan:
    """Draw what happens to the next request: each fault has its share.

    `calm` ends them all.
    """

    KINDS = ("refuse", "drop before", "drop after", "delay", "duplicate", "truncate", "status before", "status after")

    def __init__(self, seed: int, share: float) -> None:
        self.random, self.share, self.calm = random.Random(seed), share, False
        self.happened: Counter[str] = Counter()
        self.lock = threading.Lock()

    def draw(self, _method: str, _path: str) -> str:
        with self.lock:
            if self.calm or self.random.random() >= self.share:
                return "fair"
            kind = self.random.choice(self.KINDS)
            self.happened[kind] += 1
            return kind

    def status(self) -> int:
        with self.lock:
            return self.random.choice(STATUSES)

    def amend(self, _method: str, _path: str, content: bytes) -> bytes:
        return content


class Prices(FaultPlan):
    """No faults, but every job states that it cost so many credits."""

    def __init__(self, costs: float) -> None:
        super().__init__(0, 0)
        self.costs = costs

    def amend(self, method: str, path: str, content: bytes) -> bytes:
        if method != "GET" or path.rpartition("/")[0].rpartition("/")[2] != "jobs":
            return content
        return json.dumps({**json.loads(content), "costs": self.costs}).encode()


class Script(FaultPlan):
    """Given faults for given requests, each once, in order.

    A fault is (method, part of the path, kind, status).
    """

    def __init__(self, *faults: tuple[str, str, str, int]) -> None:
        super().__init__(0, 0)
        self.faults, self.next = list(faults), 0

    def draw(self, method: str, path: str) -> str:
        with self.lock:
            for fault in self.faults:
                if fault[0] == method and fault[1] in path:
                    self.faults.remove(fault)
                    self.next = fault[3]
                    self.happened[fault[2]] += 1
                    return fault[2]
        return "fair"

    def status(self) -> int:
        return self.next


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    plan: FaultPlan
    target: str
    delay: float

    def log_message(self, *_words: object) -> None:
        """Quiet."""

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.plan.draw(self.command, self.path)
        if kind in ("refuse", "drop before"):
            return self.cut()
        if kind == "status before":
            return self.answer(self.plan.status(), [], b"spoilt")
        if kind == "delay":
            time.sleep(self.delay)
        if kind == "duplicate":
            self.pass_on(body)
        status, headers, content = self.pass_on(body)
        content = self.plan.amend(self.command, self.path, content)
        if kind == "drop after":
            return self.cut()
        if kind == "status after":
            return self.answer(self.plan.status(), [], b"spoilt")
        return self.answer(status, headers, content, cut=kind == "truncate")

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = handle_any

    def pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        server = http.client.HTTPConnection(self.target, timeout=60)
        headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP}
        server.request(self.command, self.path, body or None, {**headers, "Host": self.headers["Host"]})
        response = server.getresponse()
        content = response.read()
        server.close()
        return response.status, [(k, v) for k, v in response.getheaders() if k.lower() not in HOP], content

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes, cut: bool = False) -> None:
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.cut()

    def cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_words: object) -> None:
        """Clients that were killed do not listen; what matters is in the tests' assertions."""


@contextmanager
def spoil_requests(url: str, plan: FaultPlan, delay: float = 0.2) -> Iterator[str]:
    """The URL of a proxy to the server at `url`."""
    made = type("Spoilt", (Handler,), {"plan": plan, "target": urlsplit(url).netloc, "delay": delay})
    proxy = Server(("127.0.0.1", 0), made)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
