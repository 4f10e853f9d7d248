"""What a job's process prints: read all the time, so that it never blocks, and forgotten but for the end."""

from __future__ import annotations

import subprocess
import threading

__all__ = ["Output"]

TAIL = 2000
"""Bytes that are kept; a UDF may print gigabytes."""
BLOCK = 1 << 16
LATE = 1.0
"""Seconds to wait for the end of the output: a process that the UDF left behind may hold it open for ever."""


class Output:
    """The end of what a process prints to its `stdout`, a pipe."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._tail = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with stream:
            while block := stream.read1(BLOCK):  # type: ignore[attr-defined]  # IO lacks it, BufferedReader has it
                self._tail = (self._tail + block)[-TAIL:]

    def tail(self) -> str:
        """The last that was printed, once the process has ended."""
        self._reader.join(LATE)
        return self._tail.decode(errors="replace")
