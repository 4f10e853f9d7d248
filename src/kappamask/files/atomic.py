"""Write files atomically: in a folder next to the target, then renamed."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from kappamask.models import KappaMaskError, SceneError

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where nothing is swept
    fcntl = None  # type: ignore[assignment]

__all__ = ["atomic_write", "check_utf8", "replace_text", "scratch_dir"]

PREFIX: Final = ".kappamask-"
YOUNG_S: Final = 60.0
"""Seconds within which the owner of a new folder has surely locked it."""
Errors = tuple[type[BaseException], ...]


def check_utf8(path: Path) -> Path:
    """Return `path` if its name is valid UTF-8, which GDAL and netCDF need.

    Raises SceneError otherwise.
    """
    try:
        os.path.realpath(path).encode()
    except UnicodeEncodeError:
        raise SceneError(f"The name of {str(path)!a} is not UTF-8; rename the file or folder.") from None
    return path


@contextmanager
def atomic_write(path: Path, errors: Errors = ()) -> Iterator[Path]:
    """Yield a temporary path of the same name, which replaces `path` at the end.

    It lies in a folder of `scratch_dir`.
    Whatever goes wrong, nothing is left behind and an older file stays as it was.
    """
    with scratch_dir(path, errors) as folder:
        yield folder / path.name
        for made in sorted(folder.iterdir()):
            made.replace(path.with_name(made.name))


def replace_text(path: Path, text: str) -> None:
    """Write a small text file in one step: records that threads and processes share.

    Unlike `atomic_write` it makes no folder, and OSError passes.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def scratch_dir(path: Path, errors: Errors = ()) -> Iterator[Path]:
    """Yield a new folder next to `path`, on the same disk, and delete it afterwards.

    Folders of runs that were killed are deleted at the start.
    errors: what a driver raises besides OSError and RuntimeError if it cannot write.
    Raises SceneError if `path` cannot be written, or if the disk or a driver refuses; errors of the project itself
    pass through.
    """
    if not check_utf8(path).parent.is_dir():
        raise SceneError(f"Cannot write {path}: there is no folder {path.parent}.")
    refusals: Errors = (*errors, OSError, RuntimeError)
    try:
        with suppress(FileNotFoundError):
            path.stat()  # a link that leads to itself would be replaced
        _sweep_folders(path.parent)
        with TemporaryDirectory(dir=path.parent, prefix=PREFIX) as name, _lock_folder(Path(name)):
            yield Path(name)
    except KappaMaskError:
        raise
    except refusals as error:
        raise SceneError(f"Cannot write {path}: {error.__cause__ or error}.") from error


@contextmanager
def _lock_folder(folder: Path) -> Iterator[bool]:
    """Lock a folder for the life of this process.

    Yields False where another process has it, or the disk has no locks.
    """
    if fcntl is None:
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except OSError:
        free = False
    try:
        yield free
    finally:
        os.close(handle)


def _sweep_folders(parent: Path) -> None:
    """Delete folders of `scratch_dir` that no process has locked.

    Their owner was killed before it could.
    """
    for left in parent.glob(f"{PREFIX}????????"):
        with suppress(OSError):
            if left.is_symlink() or time.time() - left.stat().st_mtime < YOUNG_S:
                continue
            with _lock_folder(left) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)
