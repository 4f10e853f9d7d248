"""Options of a mask, the files that they ask for, and the record of both."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from kappamask.models import SceneError
from kappamask.models.cleaning import CleaningOptions
from kappamask.models.mask_options import MaskOptions

__all__ = ["EXTRAS", "SceneOptions", "is_finished", "list_targets", "make_absolute", "scene_fingerprint"]

NO_PIXEL = ("threads", "extras")
"""Fields of `SceneOptions` that change no pixel."""
EXTRAS = {"quicklook": ".png", "report": ".html", "style": ".qml", "stac": ".json"}
"""Word -> suffix of the file, which has the mask's name; the item, last, lists the others."""
CLEANING = tuple(CleaningOptions.__annotations__)
"""Options of `kappamask.udf.clean`, which may be given besides the fields."""
SCENE_SUFFIXES = (".zip", ".safe", ".zarr", ".tif", ".tiff", ".nc", ".vrt", ".json", ".jp2", ".xml")
"""Suffixes that say what a scene is, not which."""
METADATA = "MTD_"
"""How the metadata file begins that stands for the product in whose folder it lies."""
GEOTIFF = (".tif", ".tiff")


@dataclass(frozen=True, kw_only=True)
class SceneOptions(MaskOptions):
    """Options of the mask of one scene; can be pickled."""

    model: str = "compact"
    """Id of a card, or the path of one: a record names it."""
    resampling: str = "bilinear"
    """Of coarser bands: "nearest", "bilinear", "cubic" or "sinc"."""
    resolution: int = 10
    """Metres: 10 or 20."""
    scheme: str = "KappaMask"
    """Class scheme of the mask, or "bits"."""
    cleaning: dict[str, Any] = field(default_factory=dict)
    """Options of `kappamask.udf.clean`, such as {"buffer_m": 60}."""
    pixel_m: float | None = None
    """Metres: side of the scene's pixels, where it does not say."""
    extras: tuple[str, ...] = ()
    """Files next to the mask: "quicklook", "report", "style", "stac"."""

    def __post_init__(self) -> None:
        """Raise SceneError for an unknown extra."""
        if unknown := [word for word in self.extras if word not in EXTRAS]:
            raise SceneError(f"extras {', '.join(unknown)}: known are {', '.join(EXTRAS)}.")
        for name in ("thresholds", "cleaning"):  # 20 and 20.0 are one option, in records too
            object.__setattr__(self, name, {key: _to_float(value) for key, value in getattr(self, name).items()})

    def with_changes(self, **changes: Any) -> Self:
        """Return a copy with some fields, or options of `kappamask.udf.clean`, changed.

        Raises SceneError for a name that is neither.
        """
        known = [one.name for one in fields(self)]
        if unknown := [name for name in changes if name not in (*known, *CLEANING)]:
            raise SceneError(f"No option {', '.join(unknown)}: known are {', '.join((*known, *CLEANING))}.")
        cleaning = {name: changes.pop(name) for name in CLEANING if name in changes}
        for name in ("bands", "extras"):
            if isinstance(changes.get(name), Sequence) and not isinstance(changes[name], str):
                changes[name] = tuple(changes[name])
        if cleaning:
            changes["cleaning"] = {**self.cleaning, **changes.get("cleaning", {}), **cleaning}
        return replace(self, **changes)

    @property
    def mask_pixel_m(self) -> float | None:
        """Side of the mask's pixels in metres, where the scene does not say."""
        halved = self.pixel_m is not None and self.resolution > self.pixel_m
        return float(self.resolution) if halved else self.pixel_m

    def make_record(self, scene: str) -> str:
        """Describe, as JSON, how a mask of `scene` is made; equal records mean equal masks."""
        from kappamask.models import compute_card_digest, load_card
        from kappamask.udf.inference import check_device

        options = {key: value for key, value in asdict(self).items() if key not in NO_PIXEL}
        if self.pixel_m is None:  # masks from before there was the option stay as they are
            del options["pixel_m"]
        options["device"] = check_device(self.device)
        if options["device"] == "cpu":  # likewise
            del options["device"]
        card = load_card(self.model)
        made_with = {
            "model": card.sha256,
            "card": compute_card_digest(card),
            "version": version("kappamask-openeo"),
            "scene": scene_fingerprint(scene),
        }
        return json.dumps(options | made_with, sort_keys=True)


def _to_float(value: Any) -> Any:
    """Convert whole numbers, also those inside a mapping; other values stay."""
    if isinstance(value, Mapping):
        return {key: _to_float(one) for key, one in value.items()}
    return float(value) if isinstance(value, int) else value


def make_absolute(text: str) -> str:
    """Make an existing path absolute, so that workers find it; leave other texts."""
    path = Path(text)
    return str(path.absolute()) if path.exists() else text


def list_targets(scenes: Sequence[str], output: Path, options: "SceneOptions") -> list[tuple[str, Path]]:
    """List each scene with its mask: `output`, or in a folder NAME_mask.tif.

    A folder that is no scene stands for the scenes in it. Raises SceneError for an output of a wrong kind, two scenes
    of a name, or a mask that would replace a scene.
    """
    from kappamask.scenes import find_scenes
    from kappamask.scenes.writers.masks import MASK_SUFFIXES

    found = [path for scene in scenes for path in _list_scenes(scene)]
    single = len(found) == 1 and not output.is_dir()
    if single and output.suffix.lower() not in MASK_SUFFIXES:
        if Path(found[0]).is_dir():
            find_scenes(found[0])  # whose error says that the folder holds no scene
        if "://" not in found[0] and not Path(found[0]).exists():
            raise SceneError(f"No file or folder {found[0]}.")
        raise SceneError(f"{output} must end in {' or '.join(MASK_SUFFIXES)}")
    if len(found) > 1 and output.suffix.lower() in MASK_SUFFIXES:
        raise SceneError(f"{output} is a file; for {len(found)} scenes name a folder. The scenes: {_list_first(found)}")
    targets = [(scene, output if single else output / f"{_scene_name(scene)}_mask.tif") for scene in found]
    _check_targets(targets, options)
    return targets


def _list_first(scenes: Sequence[str], count: int = 4) -> str:
    """Format the first scenes, so that a misplaced word is seen."""
    return ", ".join(scenes[:count]) + (", …" if len(scenes) > count else "")


def _list_scenes(scene: str) -> list[str]:
    from kappamask.scenes import find_scenes

    if not Path(scene).is_dir():
        return [scene]
    try:
        return [str(path) for path in find_scenes(scene)]
    except SceneError:
        return [scene]  # whose own error says more


def _scene_name(scene: str) -> str:
    path = Path(os.path.abspath(scene))  # noqa: PTH100  (a link keeps its own name)
    path = path.parent if path.name.startswith(METADATA) else path
    while path.suffix.lower() in SCENE_SUFFIXES:
        path = path.with_suffix("")
    return path.name


def _check_targets(targets: list[tuple[str, Path]], options: "SceneOptions") -> None:
    from kappamask.scenes.writers.masks import list_output_files

    sources = {os.path.realpath(scene): scene for scene, _ in targets}
    written = set[str]()
    for scene, output in targets:
        extras = [output.with_suffix(EXTRAS[word]) for word in options.extras]
        for path in map(os.path.realpath, (*list_output_files(output, scores=options.scores), *extras)):
            if path in sources:
                raise SceneError("the mask, or its scores, must not replace the scene")
            if path in written:
                raise SceneError(f"two scenes have one name, {_scene_name(scene)}; mask them apart")
            written.add(path)


def is_finished(scene: str, files: list[Path], record: str, *, verify_pixels: bool = True) -> bool:
    """Tell whether a mask and its scores exist and are up to date.

    They have this record, and are newer than the scene.
    scene: its path, or a URL, whose age is not asked. files: the mask, then its scores if there are any.
    record: `SceneOptions.make_record`. verify_pixels: also decode every block, to detect files that were cut short.
    """
    from kappamask.scenes.writers.masks import read_mask

    try:
        if not all(path.is_file() for path in files) or read_mask(files[0]).attrs.get("options") != record:
            return False
        if _changed_ns(scene) > files[0].stat().st_mtime_ns:
            return False
        return not verify_pixels or all(map(_can_be_decoded, files))
    except (SceneError, OSError):
        return False


def _can_be_decoded(path: Path) -> bool:
    from kappamask.scenes.readers.netcdf import open_dates
    from kappamask.scenes.readers.raster import open_local_raster

    if path.suffix.lower() not in GEOTIFF:
        open_dates(path).max().compute()  # of scores, too
        return True
    with open_local_raster(path) as dataset:
        for _, window in dataset.block_windows(1):
            dataset.read(window=window)
    return True


def scene_fingerprint(scene: str) -> list[str | int]:
    """Return a scene's name, size in bytes and change time in ns, or its URL."""
    path = Path(scene)
    if not path.exists():
        return [scene]
    size = sum(file.stat().st_size for file in _list_files(path) if file.is_file())
    return [path.resolve().name, size, _changed_ns(scene)]


def _changed_ns(scene: str) -> int:
    """Return the latest change of a scene's files in ns; 0 for a URL."""
    path = Path(scene)
    times = [file.stat().st_mtime_ns for file in _list_files(path) if file.exists()]  # a link may lead nowhere
    return max(times, default=0)


def _list_files(path: Path) -> list[Path]:
    return [path, *(path.rglob("*") if path.is_dir() else ())]
