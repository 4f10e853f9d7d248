"""Describe the machine that a time was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from typing import Any, Final

PACKAGES: Final = ("numpy", "onnxruntime", "rasterio", "xarray", "dask", "ukis-csmask", "s2cloudless", "lightgbm")


def describe_machine() -> dict[str, Any]:
    """Return CPU, usable cores, memory, load over the last minute, and versions."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(_meminfo("MemTotal") / 1e6, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def commit() -> str | None:
    """Return the commit of this checkout, with "+" if it was changed.

    None outside of one.
    """
    words = [which("git") or "git", "describe", "--always", "--abbrev=40", "--dirty=+"]
    here = Path(__file__).resolve().parent
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)  # noqa: S603  a fixed command
    return done.stdout.strip() or None


def free_mb() -> float:
    """Memory that a new process may take without swapping."""
    return _meminfo("MemAvailable") / 1e3


def memory_mb(field: str, process: int | str = "self") -> float:
    """Return VmRSS, VmPeak or VmHWM (the largest so far) of a process.

    0 of one that has ended.
    """
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(next((line.split()[1] for line in lines if line.startswith(field)), 0)) / 1024


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _meminfo(field: str) -> int:
    """In kilobytes."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
