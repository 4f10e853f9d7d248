"""Sentinel-2 products as EOPF Zarr: bands of three resolutions in groups of their own, brought to one grid.

Read with plain xarray, because `xarray-eopf` decodes every band to float64, resamples by rules of its own, guesses the
product from its name, and brings S3 and HTTP clients with it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes.cf import packing_of, shared_nodata
from kappamask.scenes.cube import located, make_cube
from kappamask.scenes.eopf_images import BANDS, CLASSES, fitting, images, part_of
from kappamask.scenes.metadata import attributes, packing
from kappamask.scenes.names import baseline, choose, product_facts, whole
from kappamask.scenes.providers import by_baseline, settled
from kappamask.scenes.raster import NODATA
from kappamask.scenes.zarr_store import attributes_of, checked
from kappamask.udf.radiometry import AUXILIARY

__all__ = ["is_eopf", "open_eopf", "read_classification"]

da: Any = dask.array  # its annotations are partial
REMEDY = 'say which in the product\'s root attributes (.zattrs), as "radiometry": "dn_harmonized" or "dn_offset"'


def is_eopf(path: Path) -> bool:
    """Whether a folder is laid out as an EOPF product of Sentinel-2."""
    return path.joinpath(*BANDS[0].split("/")).is_dir()


def open_eopf(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float) -> xr.DataArray:
    """See `open_scene`, for a `checked` Zarr folder. AOT and WVP of Level-2A are bands too.

    Without `bands`, SceneError if the product lacks one of its level.
    """
    held = {band: choice for group in BANDS for band, choice in images(path, group).items()}
    if not held:
        raise SceneError(f"{path.name} holds no bands: needed is {BANDS[0]}/r10m/b02 and the like.")
    chosen = {band: fitting(held[band], metres) for band in SENTINEL2_BANDS if band in held}
    reflective = {band: image.variable for band, image in chosen.items() if band not in AUXILIARY}
    attrs = _facts(path, reflective, level)
    labels = choose(
        path.name, list(chosen), whole(path.name, list(chosen), attrs.get("level")) if bands is None else bands
    )
    target = min((image.grid for image in chosen.values()), key=lambda grid: grid.transform.a)
    nodata = shared_nodata(path.name, reflective.values()).get("_FillValue", NODATA)
    layers = [chosen[label].on(target, nodata, kernel)[None] for label in labels]
    return make_cube(da.concatenate(layers), labels, target, attrs, nodata)


def read_classification(path: Path, like: xr.DataArray) -> xr.DataArray | None:
    """Sen2Cor's classes of a Level-2A product, uint8 (y, x), lazy, each pixel repeated on the grid of `like`.

    None where the product has none. Raises SceneError if the folder is unsafe or damaged, or does not cover `like`.
    """
    held = images(checked(path), CLASSES).get("SCL")
    if held is None:
        return None
    image = held[0]
    codes = image.on(image.grid, NODATA, "nearest").astype(np.uint8)
    places = {"y": image.grid.y, "x": image.grid.x}
    classes = located(xr.DataArray(codes, dims=("y", "x"), coords=places, name="SCL"), image.grid)
    try:
        near = classes.sel(y=like["y"], x=like["x"], method="nearest", tolerance=image.grid.transform.a / 2)
    except KeyError as error:
        told = "its classification does not cover the cube; use those of one product"
        raise SceneError(f"{path.name}: {told}.") from error
    return near.assign_coords(y=like["y"], x=like["x"])


def _facts(path: Path, bands: Mapping[str, xr.DataArray], level: str | None) -> dict[str, Any]:
    facts = attributes_of(path)
    name = str(part_of(facts, "stac_discovery").get("id") or path.resolve().stem)
    texts, told = f"{path.resolve().name} {name}", part_of(facts, "stac_discovery", "properties")
    version = baseline(texts)
    tags = {"datetime": told.get("datetime") or told.get("start_datetime"), "processing_baseline": version}
    known = {key: value for key, value in tags.items() if value}
    packed = packing(path.name, [packing_of(path.name, band) for band in bands.values()])
    if packed is None and all(band.dtype.kind == "f" for band in bands.values()):
        packed, version = "reflectance", None
    signals = {"scale and offset": packed, f"processing baseline {version}": by_baseline(version)}
    if "radiometry" in facts:
        known, signals = known | {"radiometry": facts["radiometry"]}, {}
    return attributes(texts, known, level, settled(path.name, signals, REMEDY)) | product_facts(name)
