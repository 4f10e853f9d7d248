"""Label predictions: coordinates, CF flag attributes and provenance."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from kappamask.udf import lazy
from kappamask.udf.predict import Prediction
from kappamask.udf.prepare import PreparedCube
from kappamask.udf.schemes import make_flag_attributes
from kappamask.udf.series import SCENE_FACTS

__all__ = ["join_dates", "label_result"]


def label_result(dates: Sequence[Prediction], prepared: PreparedCube, *, scores: bool) -> xr.DataArray | xr.Dataset:
    """Wrap the predictions of all dates as a mask with coordinates and provenance.

    dates: one prediction for each date of the cube.

    Returns uint8 ([t,] y, x); with `scores` a Dataset of `mask` and `score` ([t,] class, y, x).
    """
    card, provenance = prepared.spec.card, _make_provenance(prepared)
    like = prepared.cube.isel(bands=0, drop=True).drop_vars(SCENE_FACTS, errors="ignore")
    attributes = {"long_name": "KappaMask class", **make_flag_attributes(card), **provenance}
    mask = _to_dataarray(_stack_dates([m for m, _ in dates], like, ()), like, "mask", attributes)
    if not scores:
        return mask
    names = list(card.output_names)
    stacked = _stack_dates([s for _, s in dates], like, (len(names),))
    score = _to_dataarray(stacked, like, "score", {"long_name": "score of each class", **provenance}, names)
    return xr.Dataset({"mask": mask, "score": score}, attrs=provenance)


def _make_provenance(prepared: PreparedCube) -> dict[str, Any]:
    """Make the attributes that say how a mask was made."""
    spec, decision = prepared.spec, prepared.decision
    provenance = {
        "model_id": spec.card.id,
        "model_sha256": spec.card.sha256,
        "radiometry": decision.mode,
        "radiometry_reason": decision.reason,
        "level": spec.level,
        **_sensing_time(prepared.cube),
    }
    if spec.thresholds:
        provenance["thresholds"] = ", ".join(f"{name} {value:g}" for name, value in spec.thresholds)
    if spec.mosaic:
        provenance["mosaic"] = "own"  # the word of masks that are written already
    return provenance


def _sensing_time(cube: xr.DataArray) -> dict[str, str]:
    """Return the date of a single scene as an attribute.

    Reports and STAC items of the mask need it. The coordinate counts before the attribute, which xarray takes from
    the first date of a series.
    """
    if "t" in cube.dims:
        return {}
    if "t" in cube.coords and np.issubdtype(cube["t"].dtype, np.datetime64):
        return {"datetime": f"{np.datetime_as_string(cube['t'].values, unit='s')}Z"}
    return {"datetime": str(cube.attrs["datetime"])} if cube.attrs.get("datetime") else {}


def join_dates(masks: list[Any]) -> Any:
    """Join masks of dates; attributes that differ are listed date by date."""
    joined = xr.concat(masks, "t", combine_attrs="drop_conflicts")
    for key in ("radiometry", "radiometry_reason", "level"):
        values = [str(mask.attrs[key]) for mask in masks]
        if len(set(values)) > 1:
            for part in (joined, *(joined.data_vars.values() if isinstance(joined, xr.Dataset) else ())):
                part.attrs[key] = "; ".join(values)
    return joined


def _to_dataarray(
    data: Any, like: xr.DataArray, name: str, attributes: dict[str, Any], classes: list[str] | None = None
) -> xr.DataArray:
    dims = [*like.dims[:-2], *(["class"] if classes else []), *like.dims[-2:]]
    coords: dict[Hashable, Any] = dict(like.coords)
    if classes:
        coords["class"] = classes
    return xr.DataArray(data, dims=dims, coords=coords, name=name, attrs=attributes)


def _stack_dates(arrays: list[Any], like: xr.DataArray, extra: tuple[int, ...]) -> Any:
    if "t" not in like.dims:
        return arrays[0]
    if not arrays:
        return np.empty((0, *extra, *like.shape[-2:]), dtype=np.float32 if extra else np.uint8)
    return np.stack(arrays) if isinstance(arrays[0], np.ndarray) else lazy.stack_dates(arrays)
