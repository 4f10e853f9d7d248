"""Arrays of codes and scores, dressed as labelled cubes that say how they were made."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from kappamask.udf import lazy
from kappamask.udf.classes import flag_attributes
from kappamask.udf.prepare import Reading
from kappamask.udf.radiometry import Decision

__all__ = ["dressed"]


def dressed(
    dates: list[Any], cube: xr.DataArray, reading: Reading, decision: Decision, scores: bool
) -> xr.DataArray | xr.Dataset:
    """The mask of all dates with the cube's coordinates; a Dataset with `mask` and `score` if `scores`.

    dates: one (mask (y, x), scores (class, y, x) or None) for each date of `cube`.
    """
    provenance = {
        "model_id": reading.card.id,
        "model_sha256": reading.card.sha256,
        "radiometry": decision.mode,
        "radiometry_reason": decision.reason,
        "level": reading.level,
    }
    if reading.thresholds:
        provenance["thresholds"] = ", ".join(f"{name} {value:g}" for name, value in reading.thresholds)
    if reading.mosaic:
        provenance["mosaic"] = "own"
    like = cube.isel(bands=0, drop=True)
    attributes = {"long_name": "KappaMask class", **flag_attributes(reading.card), **provenance}
    mask = _labelled(_stacked([m for m, _ in dates], like, ()), like, "mask", attributes)
    if not scores:
        return mask
    names = list(reading.card.output_names)
    stacked = _stacked([s for _, s in dates], like, (len(names),))
    score = _labelled(stacked, like, "score", {"long_name": "score of each class", **provenance}, names)
    return xr.Dataset({"mask": mask, "score": score}, attrs=provenance)


def _labelled(
    data: Any, like: xr.DataArray, name: str, attributes: dict[str, Any], classes: list[str] | None = None
) -> xr.DataArray:
    dims = [*like.dims[:-2], *(["class"] if classes else []), *like.dims[-2:]]
    coords: dict[Hashable, Any] = dict(like.coords)
    if classes:
        coords["class"] = classes
    return xr.DataArray(data, dims=dims, coords=coords, name=name, attrs=attributes)


def _stacked(arrays: list[Any], like: xr.DataArray, extra: tuple[int, ...]) -> Any:
    if "t" not in like.dims:
        return arrays[0]
    if not arrays:
        return np.empty((0, *extra, *like.shape[-2:]), dtype=np.float32 if extra else np.uint8)
    return np.stack(arrays) if isinstance(arrays[0], np.ndarray) else lazy.stack(arrays)
