"""Options of a mask, its output files, and whether it is up to date."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kappamask.models import SceneError

__all__ = ["EXTRAS", "Asked", "absolute", "is_finished", "targets", "told_apart"]

ELSEWHERE = ("threads", "extras")
"""Of `Asked`: what changes no pixel."""
EXTRAS = {"quicklook": ".png", "report": ".html", "style": ".qml", "stac": ".json"}
"""Word -> suffix of the file, which has the mask's name; the item, last, lists the others."""
KINDS = (".zip", ".safe", ".zarr", ".tif", ".tiff", ".nc", ".vrt", ".json", ".jp2", ".xml")
"""Suffixes that say what a scene is, not which."""
METADATA = "MTD_"
"""How the metadata file begins that stands for the product in whose folder it lies."""
GEOTIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class Asked:
    """Options of one mask; can be pickled."""

    level: str | None = None
    model: str = "compact"
    radiometry: str = "auto"
    bands: tuple[str, ...] | None = None
    scores: bool = False
    thresholds: dict[str, float] = field(default_factory=dict)
    mosaic: str = "blended"
    resampling: str = "bilinear"
    resolution: int = 10
    scheme: str = "KappaMask"
    cleaning: dict[str, Any] = field(default_factory=dict)
    pixel_m: float | None = None
    """Side of the scene's pixels, where it does not tell."""
    threads: int = 1
    extras: tuple[str, ...] = ()
    """Of `kappamask.workflows.mask_options.EXTRAS`."""

    @property
    def mask_pixel_m(self) -> float | None:
        """Side of the mask's pixels, where the scene does not tell: halved scenes have larger ones."""
        halved = self.pixel_m is not None and self.resolution > self.pixel_m
        return float(self.resolution) if halved else self.pixel_m

    def recorded(self, scene: str) -> str:
        """What a mask of `scene` records, by which later runs tell whether they would make the same: JSON."""
        from kappamask.models import card_digest, load_card

        said = {key: value for key, value in asdict(self).items() if key not in ELSEWHERE}
        if self.pixel_m is None:  # masks from before there was the option stay as they are
            del said["pixel_m"]
        card = load_card(self.model)
        made_with = {
            "model": card.sha256,
            "card": card_digest(card),
            "version": version("kappamask-openeo"),
            "scene": told_apart(scene),
        }
        return json.dumps(said | made_with, sort_keys=True)


def absolute(text: str) -> str:
    """A path that exists, whole, so that workers find it; another word or address as it is."""
    path = Path(text)
    return str(path.absolute()) if path.exists() else text


def targets(scenes: Sequence[str], output: Path, asked: Asked) -> list[tuple[str, Path]]:
    """Each scene with its mask: `output`, or for several, or if that is a folder, NAME_mask.tif in it.

    A folder that is no scene stands for the scenes in it. Raises SceneError for an output of a wrong kind, two scenes
    of a name, or a mask that would replace a scene.
    """
    from kappamask.scenes.writers.masks import MASK_SUFFIXES

    found = [path for scene in scenes for path in _scenes(scene)]
    single = len(found) == 1 and not output.is_dir()
    if single and output.suffix.lower() not in MASK_SUFFIXES:
        raise SceneError(f"{output} must end in {' or '.join(MASK_SUFFIXES)}")
    if len(found) > 1 and output.suffix.lower() in MASK_SUFFIXES:
        raise SceneError(f"{output} is a file; for {len(found)} scenes name a folder")
    jobs = [(scene, output if single else output / f"{_name(scene)}_mask.tif") for scene in found]
    _check(jobs, asked)
    return jobs


def _scenes(scene: str) -> list[str]:
    from kappamask.scenes import scan

    if not Path(scene).is_dir():
        return [scene]
    try:
        return [str(path) for path in scan(scene)]
    except SceneError:
        return [scene]  # whose own error says more


def _name(scene: str) -> str:
    path = Path(os.path.abspath(scene))  # noqa: PTH100  (a link keeps its own name)
    path = path.parent if path.name.startswith(METADATA) else path
    while path.suffix.lower() in KINDS:
        path = path.with_suffix("")
    return path.name


def _check(jobs: list[tuple[str, Path]], asked: Asked) -> None:
    from kappamask.scenes.writers.masks import outputs

    sources = {os.path.realpath(scene): scene for scene, _ in jobs}
    written = set[str]()
    for scene, output in jobs:
        beside = [output.with_suffix(EXTRAS[word]) for word in asked.extras]
        for path in map(os.path.realpath, (*outputs(output, scores=asked.scores), *beside)):
            if path in sources:
                raise SceneError("the mask, or its scores, must not replace the scene")
            if path in written:
                raise SceneError(f"two scenes have one name, {_name(scene)}; mask them apart")
            written.add(path)


def is_finished(scene: str, files: list[Path], options: str, *, whole: bool = True) -> bool:
    """Whether `files`, a mask and perhaps its scores, are there, were made with `options`, and later than the scene.

    scene: its path, or an address, whose age is not asked. whole: also read every pixel, for disks and copies fail.
    """
    from kappamask.scenes.writers.masks import read_mask

    try:
        if not all(path.is_file() for path in files) or read_mask(files[0]).attrs.get("options") != options:
            return False
        if _changed(scene) > files[0].stat().st_mtime_ns:
            return False
        return not whole or all(map(_is_whole, files))
    except (SceneError, OSError):
        return False


def _is_whole(path: Path) -> bool:
    from kappamask.scenes.readers.netcdf import open_dates
    from kappamask.scenes.readers.raster import local_raster

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
