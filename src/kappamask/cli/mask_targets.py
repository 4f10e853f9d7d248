"""Which scenes are masked, and where each mask goes."""

import os
from collections.abc import Sequence
from pathlib import Path

import typer

from kappamask.cli.mask_extras import EXTRAS
from kappamask.cli.mask_options import Asked

__all__ = ["targets"]

KINDS = (".zip", ".safe", ".zarr", ".tif", ".tiff", ".nc", ".vrt", ".json", ".jp2", ".xml")
"""Suffixes that say what a scene is, not which."""
METADATA = "MTD_"
"""How the metadata file begins that stands for the product in whose folder it lies."""


def targets(scenes: Sequence[str], output: Path, asked: Asked) -> list[tuple[str, Path]]:
    """Each scene with its mask: `output`, or for several, or if that is a folder, NAME_mask.tif in it.

    A folder that is no scene stands for the scenes in it. Raises BadParameter for an output of a wrong kind, two scenes
    of a name, or a mask that would replace a scene.
    """
    from kappamask.scenes.masks import MASK_SUFFIXES

    found = [path for scene in scenes for path in _scenes(scene)]
    single = len(found) == 1 and not output.is_dir()
    if single and output.suffix.lower() not in MASK_SUFFIXES:
        raise _wrong(f"{output} must end in {' or '.join(MASK_SUFFIXES)}")
    if len(found) > 1 and output.suffix.lower() in MASK_SUFFIXES:
        raise _wrong(f"{output} is a file; for {len(found)} scenes name a folder")
    jobs = [(scene, output if single else output / f"{_name(scene)}_mask.tif") for scene in found]
    _check(jobs, asked)
    return jobs


def _scenes(scene: str) -> list[str]:
    from kappamask.models import SceneError
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
    from kappamask.scenes.masks import outputs

    sources = {os.path.realpath(scene): scene for scene, _ in jobs}
    written = set[str]()
    for scene, output in jobs:
        beside = [output.with_suffix(EXTRAS[word]) for word in asked.extras]
        for path in map(os.path.realpath, (*outputs(output, scores=asked.scores), *beside)):
            if path in sources:
                raise _wrong("the mask, or its scores, must not replace the scene")
            if path in written:
                raise _wrong(f"two scenes have one name, {_name(scene)}; mask them apart")
            written.add(path)


def _wrong(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--output")
