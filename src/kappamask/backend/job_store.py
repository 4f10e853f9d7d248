"""Jobs on disk: request, results and log, shared by server and worker."""

from __future__ import annotations

import json
import logging
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kappamask.files.atomic import replace_text
from kappamask.files.untrusted import parse_json
from kappamask.models import JobError

__all__ = ["JobFolder", "JobSpec", "Settings", "append", "make_entry", "open_job_log", "read"]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
QUIET = (
    "openeo_driver", "openeo.udf.run_code", "openeo.util", "rasterio", "distributed", "dask", "asyncio", "fsspec",
    "urllib3",
)  # fmt: skip
"""Loggers that talk about themselves; only their warnings belong in a user's log."""
LONGEST = 10_000
"""Characters of an entry's data, or of its message, that are kept: a chunk's pixels are no log entry."""


class _Lines(logging.Handler):
    """Append entries in openEO's log format.

    Single short writes in append mode keep lines whole across processes.
    """

    def __init__(self, path: Path, level: str) -> None:
        super().__init__(LEVELS[level])
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        try:
            append(self._path, _make_record_entry(record))
        except Exception:  # noqa: BLE001  (a UDF must not fail on what it logs)
            self.handleError(record)


def append(path: Path, entry: dict[str, Any]) -> None:
    """Add one entry."""
    kept = {**entry, "message": _shorten_text(entry["message"])}
    if len(json.dumps(kept.get("data"), default=_format_value)) > LONGEST:
        kept["data"] = _format_value(kept["data"])
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(kept, default=_format_value) + "\n")


def make_entry(level: str, message: str, **more: Any) -> dict[str, Any]:
    """Make a log entry with the time of now."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "message": message,
        **more,
    }


def _make_record_entry(record: logging.LogRecord) -> dict[str, Any]:
    level = next(
        name for name, number in reversed(LEVELS.items()) if record.levelno >= number or number == LEVELS["debug"]
    )
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + "".join(traceback.format_exception(*record.exc_info))
    data, code = getattr(record, "data", None), getattr(record, "code", None)
    more = {key: value for key, value in (("data", data), ("code", code)) if value is not None}
    return make_entry(level, message, **more)


def _format_value(value: Any) -> str:
    return _shorten_text(repr(value))


def _shorten_text(text: str) -> str:
    """Keep both ends of a long text: the end of a traceback is the reason."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _parse_line(line: str) -> dict[str, Any]:
    """Read an entry; a UDF's own line in the log is returned as text."""
    try:
        item: dict[str, Any] = parse_json(line, allow_nan=True)
        if item["level"] in LEVELS and isinstance(item["message"], str):
            return item
    except (ValueError, LookupError, TypeError):
        pass
    return make_entry("warning", f"Damaged line: {_shorten_text(line.strip())}")


@contextmanager
def open_job_log(path: Path, level: str = "info") -> Iterator[None]:
    """Write what is logged inside, `inspect()` of UDFs included, to the job's log."""
    root, handler = logging.getLogger(), _Lines(path, level)
    before = root.level
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def read(
    path: Path, offset: int | None = None, limit: int | None = None, level: str | None = None
) -> Iterator[dict[str, Any]]:
    """Read the entries behind the one with id `offset`, at least as severe as `level`."""
    if not path.exists():
        return
    least, left = LEVELS.get(level or "debug", 10), limit
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file):
            if not line.endswith("\n"):  # another process is writing it
                return
            item = {"id": str(number), **_parse_line(line)}
            if (offset is not None and number <= offset) or LEVELS[item["level"]] < least:
                continue
            if left is not None and left <= 0:
                return
            left = None if left is None else left - 1
            yield item


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
    """The files of one job.

    Every file appears whole: it is written under another name and renamed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"
        self.results = path / "results"
        self.working = path / "work"
        """Current directory of the UDF; dependency archives are unpacked here."""

    @classmethod
    def create(cls, jobs: Path, spec: JobSpec, settings: Settings) -> JobFolder:
        """Create a job without starting it; a list of jobs never shows half of it."""
        draft = cls(jobs / f".{spec.id}")
        draft.working.mkdir(parents=True)
        draft.put("spec", asdict(spec))
        draft.put("settings", asdict(settings))
        return cls(draft.path.rename(jobs / spec.id))

    def spec(self) -> JobSpec:
        """Read what was asked; JobError, TypeError or ValueError if it is damaged or missing."""
        spec = JobSpec(**self.get("spec"))
        datetime.fromisoformat(spec.created)
        return spec

    def settings(self) -> Settings:
        """Read the settings of the back-end."""
        return Settings(**self.get("settings"))

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Write one of the job's records."""
        replace_text(self.path / f"{name}.json", json.dumps(value))

    def get(self, name: str) -> dict[str, Any]:
        """Read a record; empty if there is none.

        Raises JobError if it is damaged: a UDF can write here too.
        """
        try:
            found = parse_json((self.path / f"{name}.json").read_bytes(), allow_nan=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise JobError(f"The record {name}.json of job {self.path.name} cannot be read: {error}.") from error
        if not isinstance(found, dict):
            raise JobError(f"The record {name}.json of job {self.path.name} holds no JSON object.")
        return found

    def clear(self, *names: str) -> None:
        """Remove those records, results or folders of the job, also damaged ones."""
        for name in names:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
