"""Match the masks of a series with their scenes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from kappamask.models import KappaMaskError, SceneError
from kappamask.reports.provenance import find_sensing_time, is_same_grid
from kappamask.scenes import find_scenes, open_scene

if TYPE_CHECKING:
    from kappamask.reports.series import Dated

__all__ = ["match_scenes"]


@dataclass(frozen=True)
class _Scene:
    when: datetime
    cube: xr.DataArray


def match_scenes(
    dates: Sequence["Dated"],
    source: str | Path,
    *,
    bands: Sequence[str] | None = None,
    failed: Callable[[str, KappaMaskError], None] | None = None,
) -> list[xr.DataArray | None]:
    """Find for each mask the scene of the same day on the same grid.

    Of several the nearest in time; None where there is none.
    source: a folder of scenes, or one file with a dimension t, as `open_scene` reads them; bands: as there.
    failed: called with the name of a file in a folder that is no scene or has no date, and why; the others go on.

    Raises SceneError if no mask has a scene, and without `failed` if a scene cannot be read or has no date.
    """
    scenes = [scene for path in _list_scenes(Path(source)) for scene in _try_scene(path, bands, failed)]
    found = [_find_nearest(one, scenes) for one in dates]
    if not any(scene is not None for scene in found):
        raise SceneError(f"No scene in {source} is of the day and the grid of a mask; give the scenes of the masks.")
    return found


def _try_scene(
    path: Path, bands: Sequence[str] | None, failed: Callable[[str, KappaMaskError], None] | None
) -> list[_Scene]:
    try:
        return [*_open_dates_of(path, bands)]
    except KappaMaskError as error:
        if failed is None:
            raise
        failed(path.name, error)
        return []


def _open_dates_of(path: Path, bands: Sequence[str] | None) -> Iterator[_Scene]:
    cube = open_scene(path, bands=bands)
    if "t" not in cube.dims:
        yield _Scene(find_sensing_time(path.name, cube.attrs), cube)
        return
    for one in cube:
        seconds = (one["t"].values - np.datetime64(0, "s")) / np.timedelta64(1, "s")
        yield _Scene(datetime.fromtimestamp(float(seconds), UTC), one)


def _list_scenes(source: Path) -> list[Path]:
    return find_scenes(source) if source.is_dir() and source.suffix.lower() != ".zarr" else [source]


def _find_nearest(dated: "Dated", scenes: list[_Scene]) -> xr.DataArray | None:
    same = [one for one in scenes if one.when.date() == dated.when.date() and is_same_grid(one.cube, dated.mask)]
    return min(same, key=lambda one: abs(one.when - dated.when)).cube if same else None
