"""The scenes that a series of masks was made of: which belongs to which mask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import xarray as xr

from kappamask.models import SceneError
from kappamask.reports.grids import one_grid
from kappamask.reports.provenance import sensing_time
from kappamask.reports.series import Dated
from kappamask.scenes import open_scene, scan

__all__ = ["scenes_of"]


@dataclass(frozen=True)
class _Scene:
    when: datetime
    cube: xr.DataArray


def scenes_of(
    dates: Sequence[Dated], source: str | Path, *, bands: Sequence[str] | None = None
) -> list[xr.DataArray | None]:
    """For each mask the scene of the same day on the same grid, the nearest in time; None where there is none.

    source: a folder of scenes, or one file with a dimension t, as `open_scene` reads them; bands: as there.
    Raises SceneError if a scene cannot be read or has no date, or if no mask has a scene.
    """
    scenes = [*_opened(Path(source), bands)]
    found = [_nearest(one, scenes) for one in dates]
    if not any(scene is not None for scene in found):
        raise SceneError(f"No scene in {source} is of the day and the grid of a mask; give the scenes of the masks.")
    return found


def _opened(source: Path, bands: Sequence[str] | None) -> Iterator[_Scene]:
    for path in _listed(source):
        cube = open_scene(path, bands=bands)
        if "t" not in cube.dims:
            yield _Scene(sensing_time(path.name, cube.attrs), cube)
            continue
        for one in cube:
            seconds = (one["t"].values - np.datetime64(0, "s")) / np.timedelta64(1, "s")
            yield _Scene(datetime.fromtimestamp(float(seconds), UTC), one)


def _listed(source: Path) -> list[Path]:
    return scan(source) if source.is_dir() and source.suffix.lower() != ".zarr" else [source]


def _nearest(dated: Dated, scenes: list[_Scene]) -> xr.DataArray | None:
    same = [one for one in scenes if one.when.date() == dated.when.date() and one_grid(one.cube, dated.mask)]
    return min(same, key=lambda one: abs(one.when - dated.when)).cube if same else None
