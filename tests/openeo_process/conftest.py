import pytest
from remote import back_end


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with back_end(tmp_path_factory.mktemp("scenes")) as running:
        yield running


@pytest.fixture
def account(server, monkeypatch):
    monkeypatch.setenv("OPENEO_AUTH_METHOD", "basic")
    monkeypatch.setenv("KAPPAMASK_USER", server.user)
    monkeypatch.setenv("KAPPAMASK_PASSWORD", server.password)
