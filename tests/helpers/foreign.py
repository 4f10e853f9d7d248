"""A back-end on loopback whose answers are given by the test."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import openeo

ENDPOINTS = [{"path": "/jobs", "methods": ["GET", "POST"]}, {"path": "/jobs/{job_id}/results", "methods": ["GET"]}]


class Reply:
    """An HTTP answer: JSON, or bytes as they are."""

    def __init__(self, content: Any = b"", status: int = 200, chunked: bool = False, **headers: str) -> None:
        """headers: with _ for -. chunked: send it without its length."""
        self.content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.status, self.chunked = status, chunked
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}


class Foreign:
    """Answers by method and path, and a list of what was asked."""

    def __init__(self) -> None:
        self.url, self.asked = "", list[str]()
        self.answers: dict[str, Any] = {
            "GET /": {"api_version": "1.2.0", "id": "foreign", "endpoints": ENDPOINTS, "links": []},
            "GET /jobs": {"jobs": [], "links": []},
        }

    def __setitem__(self, path: str, answer: Any) -> None:
        """Set the answer to a path.

        It is a document, a `Reply`, a list of those in turn, or a function of the query.
        """
        self.answers[path] = answer

    def find(self, method: str, path: str, query: str) -> Reply:
        self.asked.append(f"{method} {path}")
        found = self.answers.get(f"{method} {path}", Reply({"code": "NotFound", "message": "no such thing"}, 404))
        if isinstance(found, list) and found:
            found = found.pop(0) if len(found) > 1 else found[0]
        found = found(query) if isinstance(found, Callable) else found
        return found if isinstance(found, Reply) else Reply(found)

    def connect(self) -> openeo.Connection:
        return openeo.connect(self.url + "/api", retry=False, default_timeout=5, auto_validate=False)


@contextmanager
def foreign_backend() -> Iterator[Foreign]:
    """A running server whose API is at `url`/api."""
    plan = Foreign()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_words: object) -> None:
            """Quiet."""

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            split = urlsplit(self.path)
            reply = plan.find(self.command, split.path.removeprefix("/api") or "/", split.query)
            self.send_response(reply.status)
            for name, text in reply.headers.items():
                self.send_header(name, text)
            if reply.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(reply.content), reply.content))
                return
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        do_GET = do_POST = do_DELETE = handle_any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    plan.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield plan
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
