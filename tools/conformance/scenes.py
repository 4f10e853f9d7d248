"""Write random scenes at the place and in the month of openEO's test suite."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

__all__ = ["write_scenes"]

WEST, NORTH, EPSG = 679_000, 5_152_600, 32632
SIDE_PX = 240
"""The suite's largest box is 960 x 840 m; this is 2400 m, so that neighbourhoods have pixels round it."""
BANDS = ("B02", "B03", "B04", "B08", "B8A", "B11", "B12")
DATES = ("2022-06-01", "2022-06-11", "2022-06-21", "2022-06-28")
"""The suite expects five calendar weeks in June."""


def write_scenes(folder: Path) -> None:
    """Write a Level-2A GeoTIFF of digital numbers for each date."""
    folder.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff", "count": len(BANDS), "height": SIDE_PX, "width": SIDE_PX, "dtype": "uint16", "nodata": 0,
        "crs": f"EPSG:{EPSG}", "transform": from_origin(WEST, NORTH, 10, 10),
    }  # fmt: skip
    for seed, date in enumerate(DATES):
        values = np.random.default_rng(seed).integers(1, 8000, (len(BANDS), SIDE_PX, SIDE_PX))
        with rasterio.open(folder / f"L2A_{date}.tif", "w", **profile) as file:
            file.write(values.astype("uint16"))
            file.descriptions = BANDS
            file.update_tags(datetime=f"{date}T10:10:00Z", level="L2A", radiometry="dn_harmonized")
