"""Read Sentinel-2 products in EOPF Zarr, with all bands on one grid.

Read without `xarray-eopf`, which decodes bands to float64, resamples by own rules, and brings S3 and HTTP clients.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import dask.array
import numpy as np
import xarray as xr
from dask.array import Array
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.models.band_names import choose_bands, find_band, require_all_bands
from kappamask.models.cleaning import PIXEL_M
from kappamask.scenes.grid import check_regular, halve_grid, make_cube, to_coordinates, write_grid
from kappamask.scenes.metadata import (
    collect_attributes,
    find_baseline_radiometry,
    name_reason,
    parse_baseline,
    parse_product_name,
    read_packing_mode,
    resolve_radiometry,
)
from kappamask.scenes.readers.lazy_variables import find_common_nodata, halve_lazily, read_packing, upsample_lazily
from kappamask.scenes.readers.raster import NODATA_DN
from kappamask.scenes.readers.zarr import open_group
from kappamask.scenes.readers.zarr_metadata import check_store, read_attributes
from kappamask.udf.radiometry_metadata import AUXILIARY

__all__ = [
    "BANDS",
    "CLASSES",
    "ZarrImage",
    "choose_resolution",
    "get_nested_mapping",
    "is_eopf",
    "list_images",
    "open_eopf",
    "read_classification",
]

BANDS: Final = ("measurements/reflectance", "quality/atmosphere")
CLASSES: Final = "conditions/mask/l2a_classification"
RESOLUTIONS: Final = ("r10m", "r20m", "r60m")
"""Groups of reflectance, of AOT and WVP, and of the scene classification, and in each of them; the finest first."""
LABELS: Final = {"scl": "SCL"}
"""Images that are no bands."""
CRS_KEYS: Final = ("horizontal_CRS_code", "horizontal_crs_code", "proj:code", "proj:epsg")
"""Root attributes, in other_metadata and stac_discovery, as versions of EOPF spell them."""
ENOUGH: Final = 2
"""Coordinates along an axis that tell its pixels' size."""
NEAR: Final = 1e-6
"""Metres: rounding of corners computed from coordinates."""
da: Any = dask.array  # its annotations are partial
REMEDY = 'say which in the root attributes (in zarr.json or .zattrs): "radiometry": "dn_harmonized" or "dn_offset"'


@dataclass(frozen=True)
class ZarrImage:
    """A band at one resolution, not read yet."""

    product: str
    source: Path
    """The folder of its array."""
    variable: xr.DataArray
    """Numbers as stored, dims (y, x)."""
    grid: GeoBox
    """Of the pixels that are read."""
    half: bool = False
    """Whether means of 2 x 2 pixels are read."""

    def resample_to(self, target: GeoBox, nodata: float, kernel: str) -> Array:
        """Resample the image by `kernel` to `target`, as a dask array (y, x).

        Each pixel of the image must hold whole pixels of `target`.
        Raises SceneError if it covers another area; computing raises it where the image is damaged.
        """
        ratio = round(self.grid.transform.a / target.transform.a)
        own, other = self.grid.boundingbox.bbox, target.boundingbox.bbox
        gaps = [abs(a - b) for a, b in zip(own, other, strict=True)]
        if max(gaps) > NEAR or (self.grid.width * ratio, self.grid.height * ratio) != (target.width, target.height):
            raise SceneError(
                f"{self.product}: {self.variable.name} covers {own}, other bands {other}; "
                "use a whole product, or cut all groups at whole pixels of 60 m."
            )
        if self.half:
            return halve_lazily(self.source, self.product, self.variable, nodata)
        return upsample_lazily(self.source, self.product, self.variable, ratio, nodata, kernel)


def list_images(path: Path, group: str) -> dict[str, list[ZarrImage]]:
    """List the images of a group of a `check_store` product, by band label.

    Each has all its resolutions, the finest first.
    """
    found: dict[str, list[ZarrImage]] = {}
    crs = _read_crs(path)
    for resolution in RESOLUTIONS:
        folder = path.joinpath(*group.split("/"), resolution)
        if not folder.is_dir():
            continue
        dataset = _sort_axes(open_group(path, f"{group}/{resolution}"))
        grid = _make_grid(path.name, dataset, crs)
        for key, variable in dataset.data_vars.items():
            label = LABELS.get(str(key)) or find_band(str(key))
            if label and variable.dims == ("y", "x"):
                found.setdefault(label, []).append(ZarrImage(path.name, folder / str(key), variable, grid))
    return found


def _sort_axes(dataset: xr.Dataset) -> xr.Dataset:
    """Turn rows that run northwards and columns that run westwards, as their coordinates say."""
    signs = {"y": -1, "x": 1}
    wrong = [axis for axis, sign in signs.items() if dataset.sizes.get(axis, 0) >= ENOUGH and axis in dataset.coords]
    wrong = [axis for axis in wrong if (dataset[axis].values[-1] - dataset[axis].values[0]) * signs[axis] < 0]
    return dataset.isel({axis: slice(None, None, -1) for axis in wrong})


def choose_resolution(choice: list[ZarrImage], metres: float) -> ZarrImage:
    """Choose the finest of a band's images that is no finer than `metres`.

    Where all are finer, that is the coarsest, halved.
    Of 10 m, as fine as can be, simply the finest.
    """
    if metres <= PIXEL_M:
        return choice[0]
    enough = [image for image in choice if image.grid.transform.a >= metres - NEAR]
    if enough:
        return enough[0]
    last = choice[-1]
    return replace(last, half=True, grid=halve_grid(last.grid))


def get_nested_mapping(facts: Any, *keys: str) -> Mapping[str, Any]:
    """Return a mapping inside mappings, or an empty one where it is something else."""
    for key in keys:
        facts = facts.get(key) if isinstance(facts, Mapping) else None
    return facts if isinstance(facts, Mapping) else {}


def _make_grid(name: str, dataset: xr.Dataset, crs: CRS | None) -> GeoBox:
    """Make a grid from the coordinates, which are pixel centres.

    Raises SceneError if there are none, or if they are not north-up.
    """
    if not {"x", "y"} <= set(dataset.coords) or min(dataset.sizes["x"], dataset.sizes["y"]) < ENOUGH:
        raise SceneError(f"{name}: a group of bands lacks the coordinates x and y.")
    x, y = (dataset[axis].values.astype(np.float64) for axis in ("x", "y"))
    check_regular(name, dataset["x"])
    check_regular(name, dataset["y"])
    across, down = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    if across <= 0 or down >= 0:
        raise SceneError(f"{name} is not north-up: x must grow and y must fall.")
    corner = Affine(across, 0, x[0] - across / 2, 0, down, y[0] - down / 2)
    return GeoBox((len(y), len(x)), corner, crs)


def _read_crs(path: Path) -> CRS | None:
    """Read the one coordinate reference system that the root attributes name.

    Raises SceneError for several, or for one that is not valid.
    """
    facts = read_attributes(path)
    places = (get_nested_mapping(facts, "other_metadata"), get_nested_mapping(facts, "stac_discovery", "properties"))
    codes = {str(place[key]) for place in places for key in CRS_KEYS if place.get(key)}
    try:
        found = {CRS.from_epsg(int(code.upper().removeprefix("EPSG:"))).to_epsg() for code in codes}
    except (CRSError, ValueError) as error:
        raise SceneError(f"{path.name} names a coordinate reference system that is none: {error}.") from error
    if len(found) > 1:
        raise SceneError(f"{path.name} names several coordinate reference systems: {', '.join(sorted(codes))}.")
    return CRS.from_epsg(found.pop()) if found else None


def is_eopf(path: Path) -> bool:
    """Tell whether a folder is laid out as an EOPF product of Sentinel-2."""
    return path.joinpath(*BANDS[0].split("/")).is_dir()


def open_eopf(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float) -> xr.DataArray:
    """See `open_scene`, for a `check_store` Zarr folder. AOT and WVP of Level-2A are bands too.

    Without `bands`, SceneError if the product lacks one of its level.
    """
    held = {band: choice for group in BANDS for band, choice in list_images(path, group).items()}
    if not held:
        raise SceneError(f"{path.name} holds no bands: needed is {BANDS[0]}/r10m/b02 and the like.")
    chosen = {band: choose_resolution(held[band], metres) for band in SENTINEL2_BANDS if band in held}
    reflective = {band: image.variable for band, image in chosen.items() if band not in AUXILIARY}
    attrs = _read_facts(path, reflective, level)
    wanted = require_all_bands(path.name, list(chosen), attrs.get("level")) if bands is None else bands
    labels = choose_bands(path.name, list(chosen), wanted)
    target = min((image.grid for image in chosen.values()), key=lambda grid: grid.transform.a)
    declared = find_common_nodata(path.name, reflective.values())
    nodata = declared.get("_FillValue", np.nan if _are_decoded(reflective) else NODATA_DN)
    layers = [chosen[label].resample_to(target, nodata, kernel)[None] for label in labels]
    return make_cube(da.concatenate(layers), labels, target, attrs, nodata)


def read_classification(path: Path, like: xr.DataArray) -> xr.DataArray | None:
    """Read Sen2Cor's classes of a Level-2A product: uint8 (y, x), lazy.

    Each pixel is repeated on the grid of `like`.
    None where the product has none. Raises SceneError if the folder is unsafe or damaged, or does not cover `like`.
    """
    held = list_images(check_store(path), CLASSES).get("SCL")
    if held is None:
        return None
    image = held[0]
    codes = image.resample_to(image.grid, NODATA_DN, "nearest").astype(np.uint8)
    coords = to_coordinates(image.grid)
    classes = write_grid(xr.DataArray(codes, dims=("y", "x"), coords=coords, name="SCL"), image.grid)
    try:
        near = classes.sel(y=like["y"], x=like["x"], method="nearest", tolerance=image.grid.transform.a / 2)
    except KeyError as error:
        raise SceneError(f"{path.name}: its SCL does not cover the cube; use those of one product.") from error
    return near.assign_coords(y=like["y"], x=like["x"])


def _are_decoded(bands: Mapping[str, xr.DataArray]) -> bool:
    """Tell whether bands are reflectances, of which 0 is one."""
    return bool(bands) and all(band.dtype.kind == "f" for band in bands.values())


def _read_facts(path: Path, bands: Mapping[str, xr.DataArray], level: str | None) -> dict[str, Any]:
    facts = read_attributes(path)
    name = str(get_nested_mapping(facts, "stac_discovery").get("id") or path.resolve().stem)
    texts, properties = f"{path.resolve().name} {name}", get_nested_mapping(facts, "stac_discovery", "properties")
    version = parse_baseline(texts)
    tags = {"datetime": properties.get("datetime") or properties.get("start_datetime"), "processing_baseline": version}
    known = {key: value for key, value in tags.items() if value}
    packings = [read_packing(path.name, band) for band in bands.values()]
    source, packed = "scale and offset", read_packing_mode(path.name, packings)
    if packed is None and _are_decoded(bands):
        packed, version, source = "reflectance", None, "floating-point numbers"
    signals = {source: packed, f"processing baseline {version}": find_baseline_radiometry(version)}
    if "radiometry" in facts:
        known, signals = known | {"radiometry": facts["radiometry"]}, {}
    found = resolve_radiometry(path.name, signals, REMEDY)
    stated = name_reason(found.mode, found.reason) if found else {}
    return collect_attributes(texts, known, level, found.mode if found else None) | stated | parse_product_name(name)
