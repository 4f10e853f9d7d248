"""Files and items that deny an offset which their numbers hold are asked about."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from kappamask import mask_scene
from kappamask.models import RadiometryError
from kappamask.scenes import open_scene
from kappamask.udf import cloud_mask

BANDS = ["B02", "B03", "B04"]


def numbers():
    """Digital numbers with the offset: woods and fields."""
    ground = np.where(np.indices((96, 96))[0] // 16 % 2, 500, 900)
    return (ground * np.random.default_rng(3).normal(1, 0.05, (3, 96, 96)) + 1000).astype("uint16")


def geotiff(path, values, names, *, packed=False, **tags):
    shape = {"count": len(values), "height": 96, "width": 96, "dtype": "uint16", "crs": "EPSG:32631"}
    with rasterio.open(path, "w", driver="GTiff", transform=from_origin(5e5, 5e6, 10, 10), **shape) as file:
        file.write(values)
        file.descriptions = names
        file.update_tags(**tags)
        if packed:
            file.scales = (1e-4,) * len(values)
    return path


def item(folder, scaled):
    for band, plane in zip(BANDS, numbers(), strict=True):
        geotiff(folder / f"{band}.tif", plane[None], (None,))
    assets = {band: {"href": f"./{band}.tif", "type": "image/tiff; application=geotiff"} for band in BANDS}
    if scaled:
        assets = {band: asset | {"raster:bands": [{"scale": 1e-4, "offset": 0}]} for band, asset in assets.items()}
    facts = {"datetime": "2021-06-01T10:00:00Z"} | ({} if scaled else {"s2:processing_baseline": "03.01"})
    raw = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "geometry": None, "collection": "sentinel-2-l2a"}
    links = [{"rel": "self", "href": "https://planetarycomputer.microsoft.com/x"}]
    path = folder / "x.json"
    path.write_text(json.dumps(raw | {"properties": facts, "links": [] if scaled else links, "assets": assets}))
    return path


DOORS = {
    "tag": lambda folder: geotiff(folder / "x.tif", numbers(), BANDS, processing_baseline="02.05"),
    "scale": lambda folder: geotiff(folder / "x.tif", numbers(), BANDS, packed=True),
    "item with scale": lambda folder: item(folder, scaled=True),
    "item with baseline": lambda folder: item(folder, scaled=False),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_false_statement_is_asked_about(tmp_path, brightness, door):
    path = DOORS[door](tmp_path)
    cube = open_scene(path, level="L2A")
    for asked in (
        lambda: cloud_mask(cube.compute(), model=brightness),
        lambda: cube.kappamask.mask(model=brightness).compute(),
        lambda: mask_scene(path, tmp_path / "mask.tif", model=brightness, level="L2A"),
    ):
        with pytest.raises(RadiometryError, match=r"said to be dn_harmonized .*may be dn_offset"):
            asked()
    given = cloud_mask(cube, model=brightness, radiometry="dn_offset")
    assert given.attrs["radiometry"] == "dn_offset"


def test_what_somebody_says_in_a_tag_is_believed(tmp_path, brightness):
    path = geotiff(tmp_path / "x.tif", numbers(), BANDS, radiometry="dn_harmonized")
    mask = cloud_mask(open_scene(path, level="L2A"), model=brightness)
    assert mask.compute().attrs["radiometry"] == "dn_harmonized"
