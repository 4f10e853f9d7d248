"""The archive in a back-end's store: moto's S3 server on loopback, openEO's own helper."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import openeo
import pytest
import requests
from openeo.extra.artifacts import _backend
from openeo.rest.auth.auth import OidcBearerAuth
from requests_mock import ANY

from kappamask.models import JobError
from kappamask.openeo_process.connection import upload

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed (pip install 'openeo[artifacts]')")
moto = pytest.importorskip("moto.server", reason="moto is not installed (pip install 'moto[s3,server]')")
models = pytest.importorskip("moto.s3.models")

BACK_END = "https://openeo.test"
BUCKET = "artifacts"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu"}


class Tokens(BaseHTTPRequestHandler):
    """Keys for a web identity; moto's answer lacks the owner, which the helper asks for."""

    def do_POST(self) -> None:
        answer = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>me</SubjectFromWebIdentityToken><Credentials>
<AccessKeyId>{KEYS["aws_access_key_id"]}</AccessKeyId><SecretAccessKey>{KEYS["aws_secret_access_key"]}</SecretAccessKey>
<SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>""".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def tokens() -> Iterator[str]:
    """The address that hands out keys."""
    server = HTTPServer(("127.0.0.1", 0), Tokens)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve a store with a bucket.

    The client reads the region from its name, so the name is answered for here.
    """
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real(_loopback(host), *rest, **more))
    for module in ("moto.settings", "moto.s3.utils"):
        monkeypatch.setattr(f"{module}.S3_IGNORE_SUBDOMAIN_BUCKETNAME", True)
    monkeypatch.setattr(_backend, "_capabilities_cache", {})
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = f"http://s3.eu.localhost:{server.get_host_and_port()[1]}"
    boto3.client("s3", endpoint_url=endpoint, **KEYS).create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu"}
    )
    yield endpoint
    server.stop()
    models.s3_backends.reset()


def _loopback(host: str | bytes | None) -> str | bytes | None:
    name = host.decode() if isinstance(host, bytes) else host
    return "127.0.0.1" if name and name.endswith(".localhost") else host


@pytest.fixture
def connection(requests_mock) -> openeo.Connection:
    """A back-end that has yet to say what it offers, with an OIDC token."""
    requests_mock.register_uri("GET", ANY, real_http=True)
    _offer(requests_mock)
    requests_mock.get(f"{BACK_END}/me", json={"user_id": "me"})
    requests_mock.get(f"{BACK_END}/.well-known/openeo", status_code=404)
    back_end = openeo.connect(BACK_END, auto_validate=False)
    back_end.auth = OidcBearerAuth(provider_id="idp", access_token="a.b.c")
    return back_end


def _offer(requests_mock, **artifacts: object) -> None:
    root = {"api_version": "1.2.0", "endpoints": [{"path": "/me", "methods": ["GET"]}], **artifacts}
    requests_mock.get(f"{BACK_END}/", json=root)
    requests_mock.get(BACK_END, json=root)


def _config(endpoint: str, tokens: str, bucket: str = BUCKET) -> dict[str, object]:
    role = "arn:aws:iam::123456789012:role/upload"
    config = {"s3_endpoint": endpoint, "sts_endpoint": tokens, "role": role, "bucket": bucket}
    return {"artifacts": {"providers": [{"id": "s3", "type": "S3STSConfig", "config": config}]}}


def test_what_is_uploaded_comes_back_from_the_signed_url(
    store, tokens, connection, requests_mock, tmp_path: Path
) -> None:
    _offer(requests_mock, **_config(store, tokens))
    archive = tmp_path / "kappamask-deps.zip"
    archive.write_bytes(bytes(range(256)) * 100)
    url = upload(connection, archive)
    assert urlsplit(url).path.endswith("/kappamask-deps.zip") and "Signature" in url
    assert requests.get(url, timeout=10).content == archive.read_bytes()


@pytest.mark.parametrize("broken", ["bucket", "keys", "name"])
def test_a_store_that_fails_gives_one_sentence(
    broken, store, tokens, connection, requests_mock, tmp_path: Path
) -> None:
    given = {
        "bucket": _config(store, tokens, "no-such-bucket"),
        "keys": _config(store, store),
        "name": _config("http://store.localhost:1", tokens),
    }
    _offer(requests_mock, **given[broken])
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(JobError, match=r"does not take a\.zip.*--archive") as error:
        upload(connection, tmp_path / "a.zip")
    assert "\n" not in str(error.value) and "a.b.c" not in str(error.value)
