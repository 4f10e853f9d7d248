"""Read the reference masks of Baetens, Desjardins and Hagolle 2019: whole tiles.

They were made by active learning (ALCD). Products are downloaded separately.

Layout and codes, as the record's own description has them (Zenodo 1460961): a folder for each scene, named as its L1C
product, with `Classification/classification_map.tif`; 0 no data, 1 not used, 2 low clouds, 3 high clouds, 4 cloud
shadows, 5 land, 6 water, 7 snow. `used_parameters.json` in the same folder names the product and the tile
(`cloudy_product_name`, `tile`), as two public readers take it. Maps have 60 m; the grid is taken from the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from kappamask.datasets.patch import ENOUGH, Patch, assign_split, translate_codes
from kappamask.datasets.products import find_products, read_reflectance, tag_low_sun
from kappamask.files.untrusted import parse_json
from kappamask.models import SceneError
from kappamask.scenes import open_scene
from kappamask.scenes.grid import read_grid, read_window, to_rasterio_crs
from kappamask.scenes.metadata import parse_tile
from kappamask.scenes.readers.raster import open_local_raster

__all__ = [
    "ClassifiedScene",
    "find",
    "read",
    "split",
]

MAP: Final = "Classification/classification_map.tif"
PARAMETERS: Final = "used_parameters.json"
CODES: Final = {2: 4, 3: 4, 4: 2, 5: 1, 6: 1, 7: 1}
"""High clouds are not the same as thin ones, so the clouds are one class; 0 and 1 are not judged."""
GROUND: Final = {"water": 6, "snow": 7}
FINEST: Final = (20.0, 10.0)
"""Metres at which a product is read, the first of which the map's pixels are a multiple."""
NEAR: Final = 1.0
"""Metres that the corners of a map may differ from those of its product."""


@dataclass(frozen=True)
class ClassifiedScene:
    """A classified scene: the map, the product that it is of, and its tile."""

    path: Path
    product: Path
    tile: str | None

    @property
    def group(self) -> str:
        """The tile, of which there may be several dates."""
        return self.tile or self.product.name


def find(folder: Path) -> Iterator[ClassifiedScene]:
    """Find the maps under `folder` whose product is there, too.

    As NAME.SAFE or a zip of it, in any folder below.

    Raises SceneError if there are maps, and no product of any of them.
    """
    maps = sorted(folder.rglob(MAP))
    held = find_products(folder) if maps else {}
    wanted = [(path, *_parse_scene(path)) for path in maps]
    found = [ClassifiedScene(path, held[name], tile) for path, name, tile in wanted if name in held]
    if maps and not found:
        raise SceneError(
            f"{folder} has {len(maps)} maps and none of their products; get {wanted[0][1]}.SAFE into that folder."
        )
    yield from found


def split(place: ClassifiedScene) -> str:
    """Assign the part by tile: the set was published whole."""
    return assign_split(place.group)


def read(place: ClassifiedScene) -> Patch:
    """Read the scene on the grid of its map.

    Raises SceneError if map and product do not fit, or one is damaged.
    """
    name = place.path.parents[1].name
    with open_local_raster(place.path) as dataset:
        grid = read_grid(dataset)
        labels = read_window(dataset, 1, slice(0, grid.height), slice(0, grid.width))
    cube = _average_to_grid(_open_cube(place, grid), grid, name)
    truth = translate_codes(labels, CODES)
    clear = max(int((truth == 1).sum()), 1)
    ground = {tag: bool((labels == code).sum() / clear >= ENOUGH) for tag, code in GROUND.items()}
    bands = tuple(map(str, cube["bands"].values))
    return Patch(
        name, place.group, split(place), str(cube.attrs["level"]), grid.transform.a, bands,
        read_reflectance(cube, name),
        truth, merges_thin=True, tags={**ground, **tag_low_sun(cube)},
    )  # fmt: skip


def _parse_scene(path: Path) -> tuple[str, str | None]:
    """Return the product's name and tile.

    From the file next to the map, or from the folder's name.
    """
    folder, parameters = path.parents[1].name, path.with_name(PARAMETERS)
    given = _read_parameters(parameters) if parameters.exists() else {}
    name = str(given.get("cloudy_product_name") or folder).removesuffix(".SAFE")
    return name, str(given.get("tile") or "").removeprefix("T") or parse_tile(name)


def _read_parameters(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SceneError(f"{path} cannot be read as JSON: {error}.") from error
    return found if isinstance(found, dict) else {}


def _open_cube(place: ClassifiedScene, grid: GeoBox) -> xr.DataArray:
    """Open the cube, of the right granule of products with several.

    Those are of before December 2016.
    """
    granules = sorted(place.product.glob(f"GRANULE/*_T{place.tile}_*"))
    finest = next((metres for metres in FINEST if grid.transform.a % metres == 0), FINEST[-1])
    return open_scene(granules[0] if len(granules) == 1 else place.product, resolution=finest)


def _average_to_grid(cube: xr.DataArray, grid: GeoBox, name: str) -> xr.DataArray:
    """Average the cube's pixels in each pixel of the map.

    Without data where one of them is.
    """
    own, other = cube.rio.bounds(), grid.boundingbox.bbox
    apart = np.abs(np.subtract(own, other)).max()
    times = round(grid.transform.a / (float(cube["x"][1]) - float(cube["x"][0])))
    if (
        cube.rio.crs != to_rasterio_crs(grid)
        or apart > NEAR
        or cube.shape[1:] != (grid.height * times, grid.width * times)
    ):
        raise SceneError(f"The map of {name} does not cover its product: {other} and {own}.")
    known = cube.where(cube != cube.attrs["_FillValue"])
    # Not mean(skipna=False), which fails in xarray 2026.9.
    means: xr.DataArray = known.coarsen(y=times, x=times).reduce(np.mean)
    located = means.fillna(cube.attrs["_FillValue"]).assign_attrs(cube.attrs)
    placed: xr.DataArray = located.rio.write_crs(cube.rio.crs)
    return placed
