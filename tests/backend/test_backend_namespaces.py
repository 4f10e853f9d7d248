"""Process definitions: stored ones stay in their folder, named ones come from this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openeo_driver.errors import OpenEOApiException
from openeo_driver.processgraph import extract_default_job_options_from_process_graph
from openeo_driver.users import User
from openeo_driver.utils import EvalEnv
from stacs import serve_folder

from kappamask.backend.job_store import Settings
from kappamask.backend.process_definitions import StoredProcesses
from kappamask.backend.processing import SceneBackend

ELSEWHERE = "https://example.org/p.json"


def graph(process_id: str = "p", namespace: str | None = None, **arguments: Any) -> dict[str, Any]:
    node = {"process_id": process_id, "arguments": arguments, "result": True}
    return {"one": node | ({"namespace": namespace} if namespace else {})}


@pytest.fixture
def backend(tmp_path: Path) -> SceneBackend:
    return SceneBackend(Settings(str(tmp_path), str(tmp_path / "state"), "serial"), run=None)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    with serve_folder(tmp_path) as (address, _):
        yield address


def errors(backend: SceneBackend, asked: dict[str, Any]) -> str:
    """What validation says."""
    about = {"backend_implementation": backend, "openeo_api_version": "1.2.0", "version": "1.2.0", "user": User("u")}
    return " ".join(error["message"] for error in backend.processing.validate(asked, EvalEnv(about)))


def define(folder: Path, process_graph: dict[str, Any]) -> None:
    (folder / "p.json").write_text(json.dumps({"id": "p", "process_graph": process_graph}))


def test_a_definition_of_this_machine_is_used(backend: SceneBackend, web: str, tmp_path: Path) -> None:
    define(tmp_path, graph("eq", x=1, y=1))
    assert not errors(backend, graph(namespace=f"{web}/p.json"))


def test_definitions_of_definitions_come_from_this_machine_too(backend: SceneBackend, web: str, tmp_path: Path) -> None:
    define(tmp_path, graph(namespace=ELSEWHERE))
    assert f"{ELSEWHERE} is on another machine" in errors(backend, graph(namespace=f"{web}/p.json"))


def test_so_do_those_of_stored_processes(backend: SceneBackend) -> None:
    stored = backend.user_defined_processes
    with pytest.raises(OpenEOApiException, match="on another machine"):
        stored.save("u", "p", {"id": "p", "process_graph": graph(namespace=ELSEWHERE)})
    assert stored.get("u", "p") is None
    stored.save("u", "p", {"id": "p", "process_graph": graph()})
    path = stored._make_path("u", "p")
    path.write_text(path.read_text().replace('"arguments"', f'"namespace": "{ELSEWHERE}", "arguments"'))
    assert f"{ELSEWHERE} is on another machine" in errors(backend, graph())


@pytest.mark.parametrize("namespace", [ELSEWHERE, r"http://example.org\@127.0.0.1/p.json"])
def test_other_machines_are_not_asked_for_options_of_jobs_either(backend: SceneBackend, namespace: str) -> None:
    """openeo-driver asks where a job is created before this back-end sees the graph."""
    with pytest.raises(OpenEOApiException, match="on another machine"):
        extract_default_job_options_from_process_graph(graph(namespace=namespace))


@pytest.mark.parametrize("namespace", ["file:///p.json", "ftp://example.org/p.json", "http://[::1"])
def test_other_names_of_definitions_are_refused(backend: SceneBackend, namespace: str) -> None:
    assert "on another machine" in (refusal := errors(backend, graph(namespace=namespace))) or "is no URL" in refusal


def test_redirects_are_not_followed(backend: SceneBackend, web: str, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    assert "HTTP 301" in errors(backend, graph(namespace=f"{web}/away"))


@pytest.mark.parametrize("name", ["../p", "/p", "p/..", "", "p\n", "p q"])
def test_names_of_processes_are_no_paths(tmp_path: Path, name: str) -> None:
    stored = StoredProcesses(tmp_path / "processes")
    spec = {"id": name, "process_graph": graph("eq", x=1, y=1)}
    for attempt in (stored.get, stored.delete, lambda user, process: stored.save(user, process, spec)):
        with pytest.raises(OpenEOApiException, match="not made of letters"):
            attempt("u", name)
