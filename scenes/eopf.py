"""Sentinel-2 products as EOPF Zarr: bands of three resolutions in groups of their own, brought to the 10 m grid.

Read with plain xarray, because `xarray-eopf` decodes every band to float64, resamples by rules of its own, guesses the
product from its name, and brings S3 and HTTP clients with it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import dask.array
import numpy as np
import xarray as xr
from dask.array import Array
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes.cf import packing_of, shared_nodata
from kappamask.scenes.cube import located, make_cube
from kappamask.scenes.dataset import AUXILIARY
from kappamask.scenes.grid import Grid, check_regular
from kappamask.scenes.metadata import attributes, packing
from kappamask.scenes.names import band_name, baseline, choose
from kappamask.scenes.providers import by_baseline, settled
from kappamask.scenes.raster import NODATA
from kappamask.scenes.stored import finer
from kappamask.scenes.zarr_store import attributes_of, checked, open_group

__all__ = ["is_eopf", "open_eopf", "read_classification"]

da: Any = dask.array  # its annotations are partial
BANDS = ("measurements/reflectance", "quality/atmosphere")
CLASSES = "conditions/mask/l2a_classification"
RESOLUTIONS = ("r10m", "r20m", "r60m")
"""Where EOPF products of Sentinel-2 hold reflectance, AOT and WVP, and the scene classification; the finest first."""
REMEDY = 'say which in the product\'s root attributes (.zattrs), as "radiometry": "dn_harmonized" or "dn_offset"'


LABELS = {"scl": "SCL"}
"""Images that are no bands."""
CRS_KEYS = ("horizontal_CRS_code", "horizontal_crs_code", "proj:code", "proj:epsg")
"""Root attributes, in other_metadata and stac_discovery, as versions of EOPF spell them."""
ENOUGH = 2
"""Coordinates along an axis that tell its pixels' size."""
NEAR = 1e-6
"""Metres: rounding of corners computed from coordinates."""


class _Image(NamedTuple):
    source: Path
    variable: xr.DataArray
    grid: Grid


def is_eopf(path: Path) -> bool:
    """Whether a folder is laid out as an EOPF product of Sentinel-2."""
    return path.joinpath(*BANDS[0].split("/")).is_dir()


def open_eopf(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str) -> xr.DataArray:
    """See `open_scene`, for a `checked` Zarr folder. AOT and WVP of Level-2A are bands too."""
    facts = attributes_of(path)
    images = {band: image for group in BANDS for band, image in _images(path, group, facts).items()}
    if not images:
        raise SceneError(f"{path.name} holds no bands: needed is {BANDS[0]}/r10m/b02 and the like.")
    labels = choose(path.name, [band for band in SENTINEL2_BANDS if band in images], bands)
    target = min((image.grid for image in images.values()), key=lambda grid: grid.transform.a)
    reflective = {band: image.variable for band, image in images.items() if band not in AUXILIARY}
    nodata = shared_nodata(path.name, reflective.values()).get("_FillValue", NODATA)
    layers = [_on(path, images[label], target, nodata, kernel)[None] for label in labels]
    return make_cube(da.concatenate(layers), labels, target, _facts(path, facts, reflective, level), nodata)


def read_classification(path: Path, like: xr.DataArray) -> xr.DataArray | None:
    """Sen2Cor's classes of a Level-2A product, uint8 (y, x), lazy, each pixel repeated on the grid of `like`.

    None where the product has none. Raises SceneError if the folder is unsafe or damaged, or does not cover `like`.
    """
    image = _images(checked(path), CLASSES, attributes_of(path)).get("SCL")
    if image is None:
        return None
    coordinates = {"y": image.grid.y, "x": image.grid.x}
    codes = _on(path, image, image.grid, NODATA, "nearest").astype(np.uint8)
    classes = located(xr.DataArray(codes, dims=("y", "x"), coords=coordinates, name="SCL"), image.grid)
    try:
        near = classes.sel(y=like["y"], x=like["x"], method="nearest", tolerance=image.grid.transform.a / 2)
    except KeyError as error:
        raise SceneError(
            f"{path.name}: its classification does not cover the cube; use those of one product."
        ) from error
    return near.assign_coords(y=like["y"], x=like["x"])


def _images(path: Path, group: str, facts: Mapping[str, Any]) -> dict[str, _Image]:
    """What a group holds, by label, each at its finest resolution."""
    found: dict[str, _Image] = {}
    for resolution in RESOLUTIONS:
        folder = path.joinpath(*group.split("/"), resolution)
        if folder.is_dir():
            dataset = open_group(path, f"{group}/{resolution}")
            grid = _grid(path.name, dataset, _crs(path.name, facts))
            for key, variable in dataset.data_vars.items():
                label = LABELS.get(str(key)) or band_name(str(key))
                if label and variable.dims == ("y", "x"):
                    found.setdefault(label, _Image(folder / str(key), variable, grid))
    return found


def _grid(name: str, dataset: xr.Dataset, crs: CRS | None) -> Grid:
    """From the coordinates, which are the centres of pixels; SceneError if there are none, or they are not north-up."""
    if not {"x", "y"} <= set(dataset.coords) or min(dataset.sizes["x"], dataset.sizes["y"]) < ENOUGH:
        raise SceneError(f"{name}: a group of bands lacks the coordinates x and y.")
    x, y = (dataset[axis].values.astype(np.float64) for axis in ("x", "y"))
    check_regular(name, dataset["x"])
    check_regular(name, dataset["y"])
    across, down = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    if across <= 0 or down >= 0:
        raise SceneError(f"{name} is not north-up: x must grow and y must fall.")
    corner = Affine(across, 0, x[0] - across / 2, 0, down, y[0] - down / 2)
    return Grid(crs, corner, len(x), len(y))


def _crs(name: str, facts: Mapping[str, Any]) -> CRS | None:
    """The one coordinate reference system that the root attributes name; SceneError for several, or for nonsense."""
    places = (_part(facts, "other_metadata"), _part(facts, "stac_discovery", "properties"))
    codes = {str(place[key]) for place in places for key in CRS_KEYS if place.get(key)}
    try:
        found = {CRS.from_epsg(int(code.upper().removeprefix("EPSG:"))).to_epsg() for code in codes}
    except (CRSError, ValueError) as error:
        raise SceneError(f"{name} names a coordinate reference system that is none: {error}.") from error
    if len(found) > 1:
        raise SceneError(f"{name} names several coordinate reference systems: {', '.join(sorted(codes))}.")
    return CRS.from_epsg(found.pop()) if found else None


def _on(path: Path, image: _Image, target: Grid, nodata: float, kernel: str) -> Array:
    """An image on the finest grid; SceneError if its pixels do not hold whole pixels of that."""
    ratio = round(image.grid.transform.a / target.transform.a)
    gaps = [abs(a - b) for a, b in zip(image.grid.bounds, target.bounds, strict=True)]
    if max(gaps) > NEAR or (image.grid.width * ratio, image.grid.height * ratio) != (target.width, target.height):
        raise SceneError(
            f"{path.name}: {image.variable.name} covers {image.grid.bounds}, other bands {target.bounds}; "
            "use a whole product, or cut all groups at whole pixels of 60 m."
        )
    return finer(image.source, path.name, image.variable, ratio, nodata, kernel)


def _facts(
    path: Path, facts: Mapping[str, Any], bands: Mapping[str, xr.DataArray], level: str | None
) -> dict[str, str]:
    texts = f"{path.resolve().name} {_part(facts, 'stac_discovery').get('id', '')}"
    told, version = _part(facts, "stac_discovery", "properties"), baseline(texts)
    tags = {"datetime": told.get("datetime") or told.get("start_datetime"), "processing_baseline": version}
    known = {key: value for key, value in tags.items() if value}
    packed = packing(path.name, [packing_of(path.name, band) for band in bands.values()])
    if packed is None and all(band.dtype.kind == "f" for band in bands.values()):
        packed, version = "reflectance", None
    if "radiometry" in facts:
        return attributes(texts, known | {"radiometry": facts["radiometry"]}, level)
    signals = {"scale and offset": packed, f"processing baseline {version}": by_baseline(version)}
    return attributes(texts, known, level, settled(path.name, signals, REMEDY))


def _part(facts: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """A mapping inside mappings, empty where something else is there."""
    for key in keys:
        facts = facts.get(key, {}) if isinstance(facts, Mapping) else {}
    return facts if isinstance(facts, Mapping) else {}
