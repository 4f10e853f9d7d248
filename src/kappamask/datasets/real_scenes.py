"""Read the table of real scenes that networks are trained and tested on.

Place, kinds, part and rule of each.

`real_scenes.json` names every image. Its places are either for training or for validation, never both.
`read_scene` reads an image, `label_scene` labels it by the rule of its row.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets import class_sets, labelling
from kappamask.datasets.class_sets import Labels
from kappamask.datasets.labelling import Limits
from kappamask.datasets.patch import DIGITAL
from kappamask.datasets.planes import BANDS, Planes
from kappamask.models import SceneError

__all__ = ["Row", "Scene", "find_file", "label_scene", "read_rows", "read_scene", "read_sources"]

Teacher = Callable[[Planes, str], tuple[NDArray[Any], NDArray[Any]]]
WHOLE: Final = {
    "clear": class_sets.CLEAR,
    "cloud": class_sets.CLOUD,
    "semi_transparent": class_sets.SEMI_TRANSPARENT,
    "clear_or_semi_transparent": class_sets.CLEAR_OR_SEMI_TRANSPARENT,
    "cloud_of_either_kind": class_sets.CLOUD_OF_EITHER_KIND,
}
"""Rules by which a whole image is of one set of classes; cirrus that B10 shows is added."""
USUAL_BLUE: Final = {"L1C": 0.12, "L2A": 0.05}
"""Reflectance of B02 of clear ground where a scene shows none: medians of the clear images of the table."""
NEAREST_DATES: Final = 4
"""Clear dates, the nearest ones, whose median is the ground of a date."""


@dataclass(frozen=True)
class Row:
    """A row of the table: one image of one file."""

    file: str
    index: int | None
    """Number of the image in the file; None where the file holds one."""
    place: str
    kinds: tuple[str, ...]
    split: str
    """`train` or `validation`; the same for all images of a place."""
    rule: str
    options: Mapping[str, Any] = field(default_factory=dict)
    ground: bool = False
    """Whether the image is clear ground for the simulator to paint clouds on."""

    @property
    def name(self) -> str:
        """Name that tells the image from all others."""
        return self.file if self.index is None else f"{self.file}:{self.index}"


@dataclass(frozen=True)
class Scene:
    """An image with its level, and labels drawn by hand where there are any."""

    reflectance: Planes
    """(13, y, x) in the order of `BANDS`, NaN where absent."""
    level: str
    codes: NDArray[np.uint8] | None = None
    """(y, x), as `gt_kappa` of the file; None where nobody drew any."""
    shadow_labelled: bool = True


@cache
def read_rows() -> tuple[Row, ...]:
    """Read the table."""
    return tuple(Row(**row | {"kinds": tuple(row["kinds"])}) for row in _read_document()["scenes"])


def read_sources() -> dict[str, tuple[str, str]]:
    """Return for every file of the table where it comes from, and under which licence."""
    known = _read_document()["sources"]
    return {
        file: next((one["source"], one["licence"]) for one in known if file.startswith(one["files"]))
        for file in dict.fromkeys(row.file for row in read_rows())
    }


@cache
def _read_document() -> dict[str, Any]:
    return dict(json.loads(resources.files("kappamask.datasets").joinpath("real_scenes.json").read_text("utf-8")))


def read_scene(row: Row, folder: Path) -> Scene:
    """Read the image of `row` under `folder`. Raises SceneError if its file is not there."""
    archive = _read_archive(find_file(row.file, folder))
    number = row.index or 0
    codes = archive.get("gt_kappa")
    drawn = codes if codes is None or codes.ndim == 2 else codes[number]
    has_shadow = archive.get("shadow_labelled")
    return Scene(
        _to_planes(archive, number),
        _parse_level(row.file),
        drawn,
        bool(has_shadow[number]) if has_shadow is not None else True,
    )


def label_scene(row: Row, folder: Path, teacher: Teacher) -> Labels:
    """Label the image of `row` by its rule.

    teacher: gives class codes (y, x) of two networks for reflectance (13, y, x) and a level; asked by some rules only.
    Raises SceneError for an unknown rule.
    """
    scene = read_scene(row, folder)
    if row.rule == "hand":
        return _label_drawn(scene, row)
    if row.rule in WHOLE:
        sets = _label_whole(scene, row)
    elif row.rule == "teacher":
        sets = labelling.label_by_teacher(
            scene.reflectance, teacher(scene.reflectance, scene.level), _get_limits(row, scene)
        )
    elif row.rule == "difference":
        ground = _estimate_ground(row, folder)
        sets = labelling.label_by_difference(scene.reflectance, ground, shadow=row.options.get("shadow", True))
    elif row.rule == "outline":
        assert scene.codes is not None, f"{row.name} has no outlines"
        teachers = teacher(scene.reflectance, scene.level)
        sets = labelling.label_by_outline(scene.reflectance, scene.codes, teachers, _get_limits(row, scene))
    else:
        raise SceneError(f"{row.name} has the rule {row.rule!r}; known are {', '.join(WHOLE)}, hand, teacher, "
                         "difference and outline.")  # fmt: skip
    if not row.options.get("b10", True) or np.isnan(scene.reflectance[BANDS.index("B10")]).all():
        return Labels(sets, sets)
    return labelling.label_cirrus(scene.reflectance, sets)


def _label_whole(scene: Scene, row: Row) -> class_sets.Sets:
    blue = scene.reflectance[BANDS.index("B02")]
    sets = np.full(blue.shape, WHOLE[row.rule], np.uint8)
    if "ground_blue" in row.options:
        sets[blue - row.options["ground_blue"] > labelling.THICK_EXCESS] = class_sets.CLOUD
    return np.where(np.isnan(blue), np.uint8(class_sets.NOT_JUDGED), sets).astype(np.uint8)


def _label_drawn(scene: Scene, row: Row) -> Labels:
    assert scene.codes is not None
    if row.options.get("as_drawn"):
        sets = class_sets.from_codes(scene.codes, merges_thin=not row.options.get("tells_kinds", True))
        return Labels(sets, sets)
    return labelling.label_by_hand(
        scene.reflectance, scene.codes,
        shadow=row.options.get("shadow", "drawn" if scene.shadow_labelled else "absent"),
        tells_thin=row.options.get("tells_thin", True),
    )  # fmt: skip


def _get_limits(row: Row, scene: Scene) -> Limits:
    known: dict[str, Any] = {"usual_blue": USUAL_BLUE[scene.level]}
    known |= {key: tuple(value) if key == "exclude" else value for key, value in row.options.items() if key != "b10"}
    return Limits(**known)


def _estimate_ground(row: Row, folder: Path) -> Planes:
    """Estimate the ground: the median of the other clear dates nearest to that of `row`."""
    clear = [other.index for other in read_rows() if other.file == row.file and "ground" in other.kinds]
    dates = sorted((i for i in clear if i is not None and i != row.index), key=lambda i: abs(i - (row.index or 0)))
    archive = _read_archive(find_file(row.file, folder))
    return np.median([_to_planes(archive, i) for i in dates[:NEAREST_DATES]], axis=0)


def _to_planes(archive: Mapping[str, NDArray[Any]], number: int) -> Planes:
    numbers = archive["dn"] if archive["dn"].ndim == 3 else archive["dn"][number]
    out = np.full((len(BANDS), *numbers.shape[:2]), np.nan, np.float32)
    for i, band in enumerate(map(str, archive["bands"])):
        out[BANDS.index(band)] = np.where(numbers[..., i] == 0, np.nan, numbers[..., i] / DIGITAL)
    return out


@lru_cache(maxsize=2)
def _read_archive(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def find_file(name: str, folder: Path) -> Path:
    """Find the file `name` of the table under `folder`.

    Raises SceneError if it is not there.
    """
    found = next((path for path in (folder / f"{name}.npz", folder / "real" / f"{name}.npz") if path.is_file()), None)
    if found is None:
        raise SceneError(
            f"{folder} holds neither {name}.npz nor real/{name}.npz; docs/training-rounds.md names sources."
        )
    return found


def _parse_level(name: str) -> str:
    return "L2A" if "_l2a_" in f"_{name}_" else "L1C"
