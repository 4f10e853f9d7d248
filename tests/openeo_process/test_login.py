"""Logging in as openEO does it, with nothing secret left behind."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from oidc import CLIENT, DEVICE, SECRET, USER, provider
from remote import DATES, INSIDE, back_end, write_scene

from kappamask.models import JobError
from kappamask.openeo_process.connection import connect
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State
from kappamask.openeo_process.jobs.retry import LoginError

KAPPAMASK = Path(sys.executable).parent / "kappamask"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Give openEO's store of refresh tokens a folder, and empty the environment."""
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


def test_wrong_credentials_give_one_sentence(kappamask, home, monkeypatch):
    credentials(monkeypatch, "wrong")
    with provider() as oidc, back_end_with(oidc, home) as server:
        done = kappamask(*submit(server.url, home))
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "wrong" not in done.err
    assert all(name in done.err for name in ("OPENEO_AUTH_METHOD", "OPENEO_AUTH_CLIENT_SECRET", "KAPPAMASK_PASSWORD"))


def test_basic_needs_user_and_password(home, monkeypatch):
    monkeypatch.setenv("OPENEO_AUTH_METHOD", "basic")
    with back_end(scenes(home)) as server, pytest.raises(JobError, match="KAPPAMASK_PASSWORD"):
        connect(server.url)


def test_a_local_back_end_without_a_user_says_what_to_set(home):
    with back_end(scenes(home)) as server, pytest.raises(LoginError, match="KAPPAMASK_USER and KAPPAMASK_PASSWORD"):
        connect(server.url)


def test_a_wrong_password_is_named_by_resume_and_changes_no_job(kappamask, home, monkeypatch):
    with back_end(scenes(home)) as server:
        monkeypatch.setenv("KAPPAMASK_USER", server.user)
        monkeypatch.setenv("KAPPAMASK_PASSWORD", "guess")
        record = JobRecord("f", "b", "p", server.url, "{}", "{}", str(home / "out" / "p"), State.STARTED, "j-1")
        Journal(home / "j").plan([record])
        done = kappamask("resume", "--journal", home / "j")
    assert (
        done.code == 1
        and "HTTP 40" in done.err
        and "user and password in KAPPAMASK_USER and KAPPAMASK_PASS" in done.err
    )
    assert "kappamask serve" in done.err and "client_credentials" not in done.err, "another login would not help"
    assert "guess" not in done.err and Journal(home / "j").get("f").state is State.STARTED


def test_what_serve_prints_logs_in(home):
    """The printed line works in a shell; then submit works as typed first."""
    write_scene(scenes(home))
    served = subprocess.Popen(
        [KAPPAMASK, "serve", "--scenes", home / "scenes"], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        lines = [served.stdout.readline() for _ in range(5)]
        typed = f"{KAPPAMASK} {' '.join(map(str, submit(lines[0].strip(), home)))}"
        done = subprocess.run(
            ["bash", "-c", f"{''.join(lines[2:])}{typed}"], capture_output=True, text=True, timeout=200, check=False
        )
    finally:
        served.terminate()
        served.communicate(timeout=20)
    assert done.returncode == 0, done.stderr
    assert [*(home / "out").glob("mask_*.tif")]


def back_end_with(oidc, home):
    return back_end(scenes(home), oidc=oidc.to_openeo())


def scenes(home):
    folder = home / "scenes"
    folder.mkdir()
    return folder


def files(path):
    return [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
