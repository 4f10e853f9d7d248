"""Journal of jobs in SQLite: each costly request is recorded before it is sent."""

import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import uuid4

from kappamask.models import JobError
from kappamask.models.hints import option
from kappamask.openeo_process.jobs.record import JobRecord, State, compute_fingerprint, redact_urls, title_tag

__all__ = ["JobRecord", "Journal", "State", "compute_fingerprint", "locate_journal", "redact_urls", "title_tag"]

COLUMNS = tuple(field.name for field in fields(JobRecord))
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS part ({", ".join(COLUMNS)}, owner TEXT, lease REAL DEFAULT 0, PRIMARY KEY (fingerprint));
PRAGMA user_version = 1;
"""
ADDED = {"attributes": "''", "chunks": "0", "max_credits": "NULL"}
"""Columns that journals of earlier versions lack -> the SQL of what their records get."""
UPDATE_PLANNED_AGAIN = """
UPDATE part SET chunks = :chunks, max_credits = :max_credits,
    attributes = CASE attributes WHEN '' THEN :attributes ELSE attributes END WHERE fingerprint = :fingerprint;
"""
"""What is written down of a job that is planned again; its job was made with the network of the first time."""
PRIVATE = 0o600
"""A new journal is its owner's: job options may hold a signed link."""
BUSY_S = 30.0
"""How long to wait for another client that writes."""


def locate_journal() -> Path:
    """Return the path of the user's journal."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "kappamask" / "jobs.sqlite"


class Journal:
    """Job records in a file that several clients may have open.

    Raises JobError if the file is no journal.
    """

    def __init__(self, path: Path, *, lease_s: float = 180.0) -> None:
        """Open the journal, or make it.

        lease_s: seconds that a client that died keeps its hold on a record; longer than any request takes.
        """
        self.path, self.lease_s = path, lease_s
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=PRIVATE)
        with self._open() as file:
            file.executescript(SCHEMA)
            _add_missing_columns(file)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            file = sqlite3.connect(self.path, timeout=BUSY_S)
            try:
                with file:
                    yield file
            finally:
                file.close()
        except sqlite3.Error as error:
            raise JobError(
                f"The journal {self.path} cannot be used: {error}. Give another with {option('journal')}."
            ) from error

    def plan(self, records: Iterable[JobRecord]) -> list[JobRecord]:
        """Record jobs that are new, failed or canceled; return all as the journal has them.

        Jobs that their batch no longer has, because it is requested with another archive, are deleted. A batch of which
        every job is requested again becomes part of the new one. The last limit of credits counts.
        """
        given = list(records)
        marks = ", ".join(f":{name}" for name in COLUMNS)
        with self._open() as file:
            _take_over(file, given)
            _strike_out(file, given)
            for record in given:
                ended = (record.fingerprint, State.FAILED, State.CANCELED)
                file.execute("DELETE FROM part WHERE fingerprint = ? AND state IN (?, ?)", ended)
                values = {**_make_row(record), "changed": time.time()}
                file.execute(f"INSERT OR IGNORE INTO part ({', '.join(COLUMNS)}) VALUES ({marks})", values)  # noqa: S608
                file.execute(UPDATE_PLANNED_AGAIN, values)
        return [self.get(record.fingerprint) for record in given]

    def get(self, key: str) -> JobRecord:
        """Return one record. Raises JobError if there is none."""
        found = self.records(fingerprint=key)
        if not found:
            raise JobError(f"The journal {self.path} knows no job {key}; it may have been submitted again meanwhile.")
        return found[0]

    def records(self, **where: str) -> list[JobRecord]:
        """List the records that have these values, in the order of planning."""
        condition = " AND ".join(f"{name} = :{name}" for name in where) or "1"
        with self._open() as file:
            rows = file.execute(f"SELECT {', '.join(COLUMNS)} FROM part WHERE {condition} ORDER BY rowid", where)  # noqa: S608
            return [_parse_row(row) for row in rows]

    def change(self, record: JobRecord, **values: Any) -> JobRecord:
        """Change fields of a record and return it; a new state clears the message."""
        if "state" in values:
            values = {"message": "", **values, "changed": time.time()}
        assigned = ", ".join(f"{name} = :{name}" for name in values)
        with self._open() as file:
            file.execute(f"UPDATE part SET {assigned} WHERE fingerprint = :key", {**values, "key": record.fingerprint})  # noqa: S608
        return self.get(record.fingerprint)

    @contextmanager
    def hold(self, key: str) -> Iterator[JobRecord | None]:
        """Lock a record for a block and yield it; None if another client holds it."""
        if not self.claim(key):
            yield None
            return
        try:
            yield self.get(key)
        finally:
            with self._open() as file:
                file.execute("UPDATE part SET owner = NULL WHERE fingerprint = ? AND owner = ?", (key, self.owner))

    def claim(self, key: str) -> bool:
        """Lock a record, or renew the lock; True if it is this client's.

        A lock whose owner is dead or overdue is taken over.
        """
        now = time.time()
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            found = file.execute("SELECT owner, lease FROM part WHERE fingerprint = ?", (key,)).fetchone()
            if found is None:  # struck out by another client
                return False
            owner, lease = found
            if owner not in (None, self.owner) and lease > now and not _is_dead(owner):
                return False
            file.execute(
                "UPDATE part SET owner = ?, lease = ? WHERE fingerprint = ?", (self.owner, now + self.lease_s, key)
            )
            return True


def _add_missing_columns(file: sqlite3.Connection) -> None:
    """Add the columns that the journal of an earlier version lacks."""
    file.execute("BEGIN IMMEDIATE")
    known = {row[1] for row in file.execute("PRAGMA table_info(part)")}
    for name in ADDED.keys() - known:
        file.execute(f"ALTER TABLE part ADD COLUMN {name} DEFAULT {ADDED[name]}")


def _take_over(file: sqlite3.Connection, given: list[JobRecord]) -> None:
    """Rename batches whose jobs are all among those given.

    Otherwise the new jobs and those that exist would be two batches, and each a mask with holes.
    """
    batches, members = {record.fingerprint: record.batch for record in given}, dict[str, set[str]]()
    for key, batch in file.execute("SELECT fingerprint, batch FROM part").fetchall():
        members.setdefault(batch, set()).add(key)
    for key in (key for keys in members.values() if keys <= batches.keys() for key in keys):
        file.execute("UPDATE part SET batch = ? WHERE fingerprint = ?", (batches[key], key))


def _strike_out(file: sqlite3.Connection, given: list[JobRecord]) -> None:
    """Delete records of an earlier plan of the same batches; running and fetched jobs stay.

    Of the fetched ones only a result of the same name goes, because the new job replaces its files.
    """
    keys, names = {record.fingerprint for record in given}, {(record.batch, record.name) for record in given}
    for batch in {record.batch for record in given}:
        rows = file.execute("SELECT fingerprint, name, state FROM part WHERE batch = ?", (batch,)).fetchall()
        for key, name, state in rows:
            idle = state in (State.PLANNED, State.FAILED, State.CANCELED)
            if key not in keys and (idle or (state == State.FETCHED and (batch, name) in names)):
                file.execute("DELETE FROM part WHERE fingerprint = ?", (key,))


def _is_dead(owner: str) -> bool:
    """Tell whether the owner was a process of this machine that has ended.

    False where that is not known.
    """
    host, pid, _ = owner.rsplit(":", 2)
    if host != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _make_row(record: JobRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in COLUMNS}


def _parse_row(row: tuple[Any, ...]) -> JobRecord:
    values = dict(zip(COLUMNS, row, strict=True))
    return JobRecord(**{**values, "state": State(values["state"])})
