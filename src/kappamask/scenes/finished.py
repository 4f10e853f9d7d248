"""Whether a mask that lies there already is the one that would be made."""

from pathlib import Path

from kappamask.models import SceneError
from kappamask.scenes.masks import read_mask
from kappamask.scenes.netcdf import open_dates
from kappamask.scenes.raster import local_raster

__all__ = ["is_finished", "told_apart"]

GEOTIFF = (".tif", ".tiff")


def is_finished(scene: str, files: list[Path], options: str, *, whole: bool = True) -> bool:
    """Whether `files`, a mask and perhaps its scores, are there, were made with `options`, and later than the scene.

    scene: its path, or an address, whose age is not asked. whole: also read every pixel, for disks and copies fail.
    """
    try:
        if not all(path.is_file() for path in files) or read_mask(files[0]).attrs.get("options") != options:
            return False
        if _changed(scene) > files[0].stat().st_mtime_ns:
            return False
        return not whole or all(map(_is_whole, files))
    except (SceneError, OSError):
        return False


def _is_whole(path: Path) -> bool:
    if path.suffix.lower() not in GEOTIFF:
        open_dates(path).max().compute()  # of scores, too
        return True
    with local_raster(path) as dataset:
        for _, window in dataset.block_windows(1):
            dataset.read(window=window)
    return True


def told_apart(scene: str) -> list[str | int]:
    """What a scene is told from others by: its name, bytes, and when it was changed, in ns; or its address."""
    path = Path(scene)
    if not path.exists():
        return [scene]
    return [path.resolve().name, sum(file.stat().st_size for file in _files(path) if file.is_file()), _changed(scene)]


def _changed(scene: str) -> int:
    """When a scene, or the latest of the files in its folder, was changed, in nanoseconds; 0 for an address."""
    path = Path(scene)
    return max(file.stat().st_mtime_ns for file in _files(path)) if path.exists() else 0


def _files(path: Path) -> list[Path]:
    return [path, *(path.rglob("*") if path.is_dir() else ())]
