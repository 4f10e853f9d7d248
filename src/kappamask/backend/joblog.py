"""Log of a job: one JSON object on each line, appended by the job's process and its workers, read by the server."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["append", "entry", "job_log", "read"]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
QUIET = (
    "openeo_driver", "openeo.udf.run_code", "openeo.util", "rasterio", "distributed", "dask", "asyncio", "fsspec",
    "urllib3",
)  # fmt: skip
"""Loggers that talk about themselves; only their warnings belong in a user's log."""
LONGEST = 10_000
"""Characters of an entry's data, or of its message, that are kept: a chunk's pixels are no log entry."""


class _Lines(logging.Handler):
    """Appends entries of openEO's log format; single short writes in append mode keep lines whole across processes."""

    def __init__(self, path: Path, level: str) -> None:
        super().__init__(LEVELS[level])
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        try:
            append(self._path, _entry(record))
        except Exception:  # noqa: BLE001  (a UDF must not fail on what it logs)
            self.handleError(record)


def append(path: Path, entry: dict[str, Any]) -> None:
    """Add one entry."""
    kept = {**entry, "message": _short(entry["message"])}
    if len(json.dumps(kept.get("data"), default=_text)) > LONGEST:
        kept["data"] = _text(kept["data"])
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(kept, default=_text) + "\n")


def entry(level: str, message: str, **more: Any) -> dict[str, Any]:
    """A log entry of the present moment."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "message": message,
        **more,
    }


def _entry(record: logging.LogRecord) -> dict[str, Any]:
    level = next(
        name for name, number in reversed(LEVELS.items()) if record.levelno >= number or number == LEVELS["debug"]
    )
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + "".join(traceback.format_exception(*record.exc_info))
    data, code = getattr(record, "data", None), getattr(record, "code", None)
    more = {key: value for key, value in (("data", data), ("code", code)) if value is not None}
    return entry(level, message, **more)


def _text(value: Any) -> str:
    return _short(repr(value))


def _short(text: str) -> str:
    """Both ends: a traceback begins with where, and ends with what."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _parsed(line: str) -> dict[str, Any]:
    """An entry; what a UDF wrote into the log by itself is handed on as text."""
    try:
        item: dict[str, Any] = json.loads(line)
        if item["level"] in LEVELS and isinstance(item["message"], str):
            return item
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    return entry("warning", f"Damaged line: {_short(line.strip())}")


@contextmanager
def job_log(path: Path, level: str = "info") -> Iterator[None]:
    """Everything that is logged inside goes to the job's log, `inspect()` of UDFs included."""
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
    path: Path, offset: str | None = None, limit: int | None = None, level: str | None = None
) -> Iterator[dict[str, Any]]:
    """Entries behind the one with id `offset`, at least as severe as `level`."""
    if not path.exists():
        return
    least, left = LEVELS.get(level or "debug", 10), limit
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file):
            if not line.endswith("\n"):  # another process is writing it
                return
            item = {"id": str(number), **_parsed(line)}
            if (offset is not None and number <= int(offset)) or LEVELS[item["level"]] < least:
                continue
            if left is not None and left <= 0:
                return
            left = None if left is None else left - 1
            yield item
