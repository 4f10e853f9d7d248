"""A job on disk: what was asked, what came out, and the log. All that the server and a job's process share."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["JobFolder", "JobSpec", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What every process of one back-end knows."""

    scenes: str
    """Folder of scenes."""
    state: str
    """Folder of jobs and user-defined processes."""
    engine: str = "serial"


@dataclass(frozen=True)
class JobSpec:
    """What a user asked for."""

    id: str
    user: str
    process_graph: dict[str, Any]
    api_version: str
    created: str
    options: dict[str, Any] = field(default_factory=dict)
    log_level: str = "info"
    title: str | None = None
    description: str | None = None
    synchronous: bool = False


class JobFolder:
    """The files of one job. Every file appears whole: it is written under another name and renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"
        self.results = path / "results"
        self.working = path / "work"
        """Current directory of the UDF; dependency archives are unpacked here."""
        self.output = path / "output.txt"
        """What the job's process printed."""

    @classmethod
    def create(cls, jobs: Path, spec: JobSpec, settings: Settings) -> JobFolder:
        """A new job, not started."""
        folder = cls(jobs / spec.id)
        folder.working.mkdir(parents=True)
        folder.put("spec", asdict(spec))
        folder.put("settings", asdict(settings))
        return folder

    def spec(self) -> JobSpec:
        """What was asked."""
        return JobSpec(**self.get("spec"))

    def settings(self) -> Settings:
        """Settings of the back-end."""
        return Settings(**self.get("settings"))

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Write one of the job's records."""
        part = self.path / f".{name}.{os.getpid()}"
        part.write_text(json.dumps(value), encoding="utf-8")
        part.replace(self.path / f"{name}.json")

    def get(self, name: str) -> dict[str, Any]:
        """Read a record; empty if there is none."""
        try:
            found: dict[str, Any] = json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found
