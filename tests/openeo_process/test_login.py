"""Logging in as openEO does it, with nothing secret left behind."""

import logging

import pytest
from oidc import CLIENT, DEVICE, SECRET, USER, provider
from remote import DATES, INSIDE, back_end

from kappamask.models import JobError
from kappamask.openeo_process.connection import connect


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A place of its own for openEO's store of refresh tokens, and an environment that says nothing."""
    for name in ("OPENEO_AUTH_METHOD", "KAPPAMASK_USER", "KAPPAMASK_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "OPENEO_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    return tmp_path


def credentials(monkeypatch, secret=SECRET):
    monkeypatch.setenv("OPENEO_AUTH_METHOD", "client_credentials")
    monkeypatch.setenv("OPENEO_AUTH_CLIENT_ID", CLIENT)
    monkeypatch.setenv("OPENEO_AUTH_CLIENT_SECRET", secret)
    monkeypatch.setenv("OPENEO_AUTH_PROVIDER_ID", "local")


def submit(url, home):
    return [
        "submit", "--backend", url, "--collection", "SENTINEL2_L1C", "--bbox", INSIDE, "--dates", DATES, "--archive",
        "none", "--level", "L1C", "-o", home / "out", "--journal", home / "j",
    ]  # fmt: skip


def test_client_credentials_through_a_whole_job(kappamask, home, monkeypatch, caplog):
    credentials(monkeypatch)
    caplog.set_level(logging.DEBUG)
    with provider(lifetime=1.5) as oidc, back_end_with(oidc, home) as server:
        done = kappamask(*submit(server.url, home))
        assert done.code == 0, done.err
        assert oidc.grants.count("client_credentials") >= 2, "tokens that expired on the way were renewed"
        said = done.out + done.err + caplog.text + "".join(
            path.read_bytes().decode("latin-1") for folder in ("out", "j") for path in files(home / folder)
        )  # fmt: skip
        assert SECRET not in said
        assert not [token for token in oidc.tokens if token in said]


def test_device_code_then_refresh_token(home, capsys):
    with provider() as oidc, back_end_with(oidc, home) as server:
        assert connect(server.url).describe_account()["user_id"] == USER
        assert "U-1" in capsys.readouterr().out, "the code to type is shown"
        connect(server.url)
        assert oidc.grants == [DEVICE, "refresh_token"]


def test_wrong_credentials_are_told_in_one_sentence(kappamask, home, monkeypatch):
    credentials(monkeypatch, "wrong")
    with provider() as oidc, back_end_with(oidc, home) as server:
        done = kappamask(*submit(server.url, home))
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "wrong" not in done.err


def test_basic_needs_user_and_password(home, monkeypatch):
    monkeypatch.setenv("OPENEO_AUTH_METHOD", "basic")
    with back_end(scenes(home)) as server, pytest.raises(JobError, match="KAPPAMASK_PASSWORD"):
        connect(server.url)


def back_end_with(oidc, home):
    return back_end(scenes(home), oidc=oidc.described())


def scenes(home):
    folder = home / "scenes"
    folder.mkdir()
    return folder


def files(path):
    return [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
