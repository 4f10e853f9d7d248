"""Test the core at its oldest versions: no dask, openeo or rasterio (run by .ci/run)."""

from importlib.util import find_spec

import numpy as np
import onnxruntime
import xarray as xr

from kappamask.models import list_cards
from kappamask.udf import clean, cloud_mask, to_scheme
from kappamask.udf.chunk import apply_datacube

for absent in ("dask", "openeo", "rasterio", "typer"):
    assert find_spec(absent) is None, f"{absent} is installed: this is not the core alone"

bands = ["B02", "B03", "B04", "B08", "B11", "B12"]
values = np.random.default_rng(0).integers(300, 6000, (2, len(bands), 70, 50), dtype=np.uint16)
cube = xr.DataArray(values, dims=("t", "bands", "y", "x"), coords={"bands": bands})
cube[:, :, :9] = 0
for card in list_cards():
    mask = cloud_mask(cube, level="L1C", model=card, radiometry="dn_harmonized")
    assert mask.shape == (2, 70, 50)
    assert (mask[:, :9] == 5).all()
    assert np.isin(mask[:, 9:], [1, 2, 3, 4]).all()
    chunk = apply_datacube(cube, {"level": "L1C", "model": card.id})
    np.testing.assert_array_equal(np.where(np.isnan(chunk[:, 0]), 5, chunk[:, 0]), mask)
    cleaned = clean(mask, buffer_m=30, min_object_m2=900, fill_holes_m2=900, pixel_m=10)
    assert set(np.unique(to_scheme(cleaned, "SCL"))) <= {0, 3, 4, 9, 10}
print(f"core alone: {len(list_cards())} networks, numpy {np.__version__}, xarray {xr.__version__}, "
      f"onnxruntime {onnxruntime.__version__}: 1 passed, 0 failed")  # fmt: skip
