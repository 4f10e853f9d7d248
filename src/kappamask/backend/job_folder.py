"""A job on disk: what was asked, what came out, and the log. All that the server and a job's process share."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from kappamask.models import JobError

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

    @classmethod
    def create(cls, jobs: Path, spec: JobSpec, settings: Settings) -> JobFolder:
        """A new job, not started; whoever lists jobs meanwhile sees it whole, or not yet."""
        draft = cls(jobs / f".{spec.id}")
        draft.working.mkdir(parents=True)
        draft.put("spec", asdict(spec))
        draft.put("settings", asdict(settings))
        return cls(draft.path.rename(jobs / spec.id))

    def spec(self) -> JobSpec:
        """What was asked. Raises JobError, TypeError or ValueError if that record is damaged or missing."""
        spec = JobSpec(**self.get("spec"))
        datetime.fromisoformat(spec.created)
        return spec

    def settings(self) -> Settings:
        """Settings of the back-end."""
        return Settings(**self.get("settings"))

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Write one of the job's records."""
        part = self.path / f".{name}.{threading.get_native_id()}"
        part.write_text(json.dumps(value), encoding="utf-8")
        part.replace(self.path / f"{name}.json")

    def get(self, name: str) -> dict[str, Any]:
        """Read a record; empty if there is none. Raises JobError if it is damaged: a UDF can write here too."""
        try:
            found = json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise JobError(f"The record {name}.json of job {self.path.name} cannot be read: {error}.") from error
        if not isinstance(found, dict):
            raise JobError(f"The record {name}.json of job {self.path.name} holds no JSON object.")
        return found

    def clear(self, *names: str) -> None:
        """Remove records, results and working directory, whichever are named, in whatever state they are."""
        for name in names:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
