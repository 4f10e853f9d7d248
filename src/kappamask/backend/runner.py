"""Start, watch and end the processes of jobs."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openeo_driver.constants import JOB_STATUS

from kappamask.backend import job_store
from kappamask.backend.job_store import JobFolder, JobSpec, Settings

__all__ = ["Output", "Runner"]

TAIL = 2000
"""Bytes that are kept; a UDF may print gigabytes."""
BLOCK = 1 << 16
LATE = 1.0
"""Seconds to wait for the end of the output: a process that the UDF left behind may hold it open for ever."""
GRACE = 5.0
"""Seconds that a job's process has to end when asked, before it is killed."""
PRIVATE = ("KAPPAMASK_USER", "KAPPAMASK_PASSWORD", "OPENEO_AUTH_")
"""Starts of the names of environment variables that a UDF has no business to see."""
STATES = ("outcome.json", "progress.json", "state.json", "results", "work")
"""What a start leaves in a job's folder."""


class Output:
    """The end of what a process prints to its `stdout`, a pipe."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._tail = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        with pipe:
            while block := pipe.read1(BLOCK):  # type: ignore[attr-defined]  # IO lacks it, BufferedReader has it
                self._tail = (self._tail + block)[-TAIL:]

    def tail(self) -> str:
        """Return the last that was printed, once the process has ended."""
        self._reader.join(LATE)
        return self._tail.decode(errors="replace")


class Runner:
    """Starts, watches and ends the processes of jobs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.jobs = Path(settings.state) / "jobs"
        self.jobs.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._output: dict[str, Output] = {}
        self._lock = threading.Lock()

    def create(self, **spec: Any) -> JobFolder:
        """Create a job, not started; `spec` as in `JobSpec` without id and time."""
        now = datetime.now(UTC)
        return JobFolder.create(
            self.jobs,
            JobSpec(id=f"j-{now:%y%m%d%H%M%S}{secrets.token_hex(6)}", created=now.isoformat(), **spec),
            self.settings,
        )

    def start(self, folder: JobFolder) -> None:
        """Start a job that is new or canceled, and remove an earlier start's files."""
        with self._lock:  # the same request may come twice at once
            state = folder.get("state")
            if state and not state.get("canceled"):
                return
            self.stop(folder)
            folder.clear(*STATES)
            folder.working.mkdir()
            folder.put("state", {"started": datetime.now(UTC).isoformat()})
            # -P: nothing in the current directory may shadow the back-end's own modules
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "kappamask.backend.worker", str(folder.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_make_environment(),
                start_new_session=True,
            )
            self._running[folder.path.name] = process
            self._output[folder.path.name] = Output(process)

    def wait(self, folder: JobFolder) -> None:
        """Wait until the job's process has ended."""
        process = self._running.get(folder.path.name)
        if process:
            process.wait()

    def pid(self, job_id: str) -> int:
        """Return the id of a running job's process; KeyError if it has ended."""
        return self._running[job_id].pid

    def status(self, folder: JobFolder) -> str:
        """Find openEO's status; a process that died without an outcome is an error."""
        state, outcome = folder.get("state"), folder.get("outcome")
        if not state:
            return str(JOB_STATUS.CREATED)
        if state.get("canceled"):
            return str(JOB_STATUS.CANCELED)
        if outcome:
            self._forget_process(folder.path.name)
            return str(JOB_STATUS.ERROR if "error" in outcome else JOB_STATUS.FINISHED)
        if self._is_alive(folder.path.name):
            return str(JOB_STATUS.RUNNING)
        self._record_death(folder)
        return self.status(folder)

    def _is_alive(self, name: str) -> bool:
        process = self._running.get(name)
        return process is not None and process.poll() is None

    def _forget_process(self, name: str) -> None:
        """Remove an ended process, and the pipe that kept it alive."""
        process = self._running.get(name)
        if process and process.poll() is not None:
            self._running.pop(name, None)
            self._output.pop(name, None)
            if process.stdin:
                process.stdin.close()

    def _record_death(self, folder: JobFolder) -> None:
        with self._lock:  # another request may be about to start the job
            if folder.get("outcome") or self._is_alive(folder.path.name):
                return
            message = f"The job's process {_describe_ending(self._running.get(folder.path.name))} before it was done."
            output = self._output.get(folder.path.name)
            _fail(folder, message, "ProcessDied", output.tail() if output else "")

    def condemn(self, folder: JobFolder, reason: str) -> None:
        """End a job with damaged records as an error, and repair the records."""
        self.stop(folder)
        with self._lock:
            folder.clear("outcome.json", "progress.json", "state.json")
            folder.put("state", {"started": datetime.now(UTC).isoformat()})
            _fail(folder, reason, "JobDamaged")

    def stop(self, folder: JobFolder) -> None:
        """End the job's process and all that it started."""
        process = self._running.get(folder.path.name)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if process is None or process.poll() is not None:
                break
            with suppress(subprocess.TimeoutExpired, ProcessLookupError):
                os.killpg(process.pid, sign)
                process.wait(GRACE)
        self._forget_process(folder.path.name)

    def remove(self, folder: JobFolder) -> None:
        """End the job and remove its files."""
        self.stop(folder)
        shutil.rmtree(folder.path, ignore_errors=True)

    def close(self) -> None:
        """End all processes."""
        for name in list(self._running):
            self.stop(JobFolder(self.jobs / name))


def _fail(folder: JobFolder, message: str, code: str, printed: str = "") -> None:
    job_store.append(folder.log, job_store.make_entry("error", f"{message}\n{printed}".strip(), code=code))
    folder.put("outcome", {"error": {"message": message, "code": code, "status": 500}})


def _make_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}


def _describe_ending(process: subprocess.Popen[bytes] | None) -> str:
    if process is None:
        return "went away with an earlier server"
    code = process.returncode
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
