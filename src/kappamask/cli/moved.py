"""A batch that is asked for again with another folder: its masks come there, and nothing is paid twice."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from kappamask.openeo_process.journal import Journal, Part

__all__ = ["moved"]


def moved(book: "Journal", parts: "Sequence[Part]", asked: "Sequence[Part]") -> "list[Part]":
    """The journal's `parts`, each with the folder of its like in `asked`; what was fetched elsewhere is copied.

    The files of the earlier folder stay; the journal knows the new ones only. A part that another client works on
    stays where that one wants it.
    """
    after = [_moved(book, part, one.folder) for part, one in zip(parts, asked, strict=True)]
    old = [part for part, now in zip(parts, after, strict=True) if part.folder != now.folder]
    if old:
        day, place, now = datetime.fromtimestamp(old[0].changed, tz=UTC).date(), old[0].folder, asked[0].folder
        typer.echo(
            f"the same was submitted before, last at work on {day}, for {Path(place).parent}: its masks come to "
            f"{Path(now).parent} as well, and nothing is paid again",
            err=True,
        )
    return after


def _moved(book: "Journal", part: "Part", folder: str) -> "Part":
    if part.folder == folder:
        return part
    with book.claimed(part.fingerprint) as mine:
        if mine is None:
            return part
        _copy(mine, Path(folder))
        return book.change(mine, folder=folder)


def _copy(part: "Part", folder: Path) -> None:
    """What the part has fetched, and last its manifest."""
    from kappamask.openeo_process.download import MANIFEST, fetched

    names = [path.name for path in fetched(Path(part.folder), str(part.job))]
    for name in [*names, MANIFEST] if names else []:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{name}.part"
        shutil.copyfile(Path(part.folder) / name, draft)
        draft.replace(folder / name)
