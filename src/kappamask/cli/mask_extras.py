"""What can go beside a mask: a picture, a page, a style for QGIS, a STAC item."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kappamask.cli.options import extra

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["EXTRAS", "add_extras", "check_extras", "lacking"]

EXTRAS = {"quicklook": ".png", "report": ".html", "style": ".qml", "stac": ".json"}
"""Word -> suffix of the file, which has the mask's name; the item, last, lists the others."""
KEYS = {"report": "page"}
"""Keys of assets in the item, where they are not the words."""


def check_extras(wanted: Sequence[str], output: Path, cube: "xr.DataArray") -> None:
    """Raises SceneError, before a mask is made, for what could not be made beside it: no item without a date."""
    if "stac" in wanted:
        with extra("report"):
            from kappamask.reports.provenance import sensing_time

        sensing_time(output.name, cube.attrs)


def lacking(output: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """Those that are not there yet."""
    return tuple(word for word in wanted if not output.with_suffix(EXTRAS[word]).exists())


def add_extras(wanted: Sequence[str], scene: str, cube: "xr.DataArray", files: list[Path]) -> list[Path]:
    """Write what is wanted beside the mask `files[0]`, whose scores are `files[1]` if there are any; the new files.

    cube: the scene that was masked, or a picture of it in the same size.
    """
    made: dict[str, Path] = {}
    for word in (word for word in EXTRAS if word in wanted):
        made[KEYS.get(word, word)] = _add(word, scene, cube, files, made)
    return [*made.values()]


def _add(word: str, scene: str, cube: "xr.DataArray", files: list[Path], made: dict[str, Path]) -> Path:
    mask, scores = files[0], files[1] if len(files) > 1 else None
    if word == "quicklook":
        from kappamask.scenes import quicklook, read_mask

        return quicklook(cube, read_mask(mask), mask.with_suffix(EXTRAS[word]))
    with extra("report"):
        from kappamask.reports import write_page, write_stac, write_style
    if word == "report":
        from kappamask.scenes.reader import read_scl

        scl = read_scl(scene, cube)
        return write_page(mask.with_suffix(EXTRAS[word]), mask, scene=cube, scl=scl, scores_file=scores)
    if word == "style":
        return write_style(mask)
    return write_stac(mask, scene=cube, files=made | ({"scores": scores} if scores else {}))
