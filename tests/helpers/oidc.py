"""An OpenID Connect provider on loopback: device code and client credentials, tokens of short life."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

from openeo_driver.users.oidc import OidcProvider

CLIENT, SECRET, USER = "kappamask-tests", "s3cret-of-the-client", "somebody"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Provider(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, lifetime: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lifetime, self.tokens, self.refresh, self.grants = lifetime, {}, set(), []

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def to_openeo(self) -> OidcProvider:
        """As a back-end names it to its users."""
        client = {"id": CLIENT, "grant_types": [DEVICE, "refresh_token"]}
        return OidcProvider("local", self.issuer, "Tests", ["openid"], default_clients=[client])

    def issue(self, asked: dict[str, str]) -> dict[str, Any] | None:
        """Tokens, or None for a client that is not known."""
        grant = asked.get("grant_type", "")
        if grant == "client_credentials" and asked.get("client_secret") != SECRET:
            return None
        if grant == "refresh_token" and asked.get("refresh_token") not in self.refresh:
            return None
        self.grants.append(grant)
        access, refresh = secrets.token_urlsafe(), secrets.token_urlsafe()
        self.tokens[access] = time.monotonic() + self.lifetime
        self.refresh.add(refresh)
        return {"access_token": access, "refresh_token": refresh, "id_token": "a.b.c", "token_type": "Bearer"}

    def is_valid(self, header: str) -> bool:
        return self.tokens.get(header.removeprefix("Bearer "), 0) > time.monotonic()


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, *_words: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self.path == "/.well-known/openid-configuration":
            ends = {
                f"{name}_endpoint": f"{self.server.issuer}/{name}" for name in ("token", "userinfo", "authorization")
            }
            code = {"device_authorization_endpoint": f"{self.server.issuer}/device"}
            self.answer(200, {"issuer": self.server.issuer, "scopes_supported": ["openid"], **ends, **code})
        else:
            valid = self.server.is_valid(self.headers.get("Authorization", ""))
            self.answer(200 if valid else 401, {"sub": USER} if valid else {"error": "invalid_token"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {key: values[0] for key, values in parse_qs(body).items()}
        if self.path == "/device":
            link = f"{self.server.issuer}/approve"
            code = {"device_code": "d", "user_code": "U-1", "verification_uri": link, "interval": 0, "expires_in": 60}
            return self.answer(200, code)
        found = self.server.issue(asked)
        return self.answer(200 if found else 401, found or {"error": "unauthorized_client"})

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def provider(lifetime: float = 600) -> Iterator[Provider]:
    """A running provider whose access tokens live for `lifetime` seconds."""
    running = Provider(lifetime)
    thread = Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
