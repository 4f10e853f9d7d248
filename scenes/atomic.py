"""Whole files or none: written in a folder beside the target, to the end of the last task, then renamed."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import dask
from dask.system import CPU_COUNT
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from kappamask.models import KappaMaskError, SceneError

__all__ = ["GDAL_ERRORS", "patient_threads", "spelt", "written_whole"]

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""rasterio passes some of GDAL's errors on as they are, and has no public name for them."""


def spelt(path: Path) -> Path:
    """`path` as it is; SceneError if its name cannot be written in UTF-8, which GDAL and netCDF need."""
    try:
        os.path.realpath(path).encode()
    except UnicodeEncodeError:
        raise SceneError(f"The name of {str(path)!a} is not UTF-8; rename the file or folder.") from None
    return path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path of the same name in a new folder on the same disk; what lies there at the end replaces `path`.

    Whatever goes wrong, nothing is left behind and an older file stays as it was. Raises SceneError if the disk or
    a driver refuses; errors of the project itself pass through.
    """
    if not spelt(path).parent.is_dir():
        raise SceneError(f"Cannot write {path}: there is no folder {path.parent}.")
    try:
        with suppress(FileNotFoundError):
            path.stat()  # a link that leads to itself would be replaced
        with TemporaryDirectory(dir=path.parent, prefix=".kappamask-") as folder:
            yield Path(folder) / path.name
            for made in sorted(Path(folder).iterdir()):
                made.replace(path.with_name(made.name))
    except KappaMaskError:
        raise
    except (*GDAL_ERRORS, OSError, RuntimeError) as error:
        raise SceneError(f"Cannot write {path}: {error.__cause__ or error}.") from error


@contextmanager
def patient_threads() -> Iterator[None]:
    """Compute dask graphs in threads, and do not leave the block before the last task has ended.

    After a failure dask alone lets running tasks go on, and they would write into a file that is being closed.
    """
    threads = dask.config.get("num_workers", CPU_COUNT)
    with ThreadPoolExecutor(threads) as pool, dask.config.set(scheduler="threads", pool=pool):
        yield
