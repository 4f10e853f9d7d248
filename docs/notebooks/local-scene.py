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
# # A local scene
#
# A Sentinel-2 scene is opened, masked, looked at and judged. The pixels are real: a cloud-free Level-1C crop
# of a coast in Virginia. The clouds are painted, with the shadows that they throw, so the class of every
# pixel is known. To run the page yourself: `pip install '.[demo]' pandas jupyterlab`.

# %%
from pathlib import Path

import pandas as pd
from IPython.display import Image

from kappamask.evaluation import compute_scores
from kappamask.scenes import open_scene, write_mask, write_quicklook
from kappamask.udf import cloud_mask
from kappamask.workflows.demo import paint

painted = paint(Path("scenes"), seed=8)
[path.name for path in painted.folder.iterdir()]

# %% [markdown]
# ## Open
#
# `open_scene` reads what the file says of itself, and no pixel. Bands have labels; the level and what the
# numbers mean come from the file's tags.

# %%
scene = open_scene(painted.folder / "painted_L1C_2018-02-02.tif")
print(scene.sizes, scene.dtype)
print(*scene.bands.values)
print(scene.attrs)

# %% [markdown]
# ## Mask
#
# The call returns at once; `compute` does the work. The mask carries what it stands for.

# %%
mask = cloud_mask(scene).compute()
for key in ("flag_meanings", "level", "model_id", "radiometry", "radiometry_reason"):
    print(f"{key:18} {mask.attrs[key]}")

# %% [markdown]
# ## Look
#
# Natural colours, the outlines of the mask's classes, the mask, and the truth. The share of each class is next to
# its name.

# %%
Image(write_quicklook(scene, mask, "look.png", truth=painted.truth, title="Coast of Virginia, painted clouds"))

# %% [markdown]
# Compare the edges: the thin rim of a painted cloud is labelled to the pixel, which no person would do, so mask and
# truth differ there first. Then compare the shares in the legend: where the mask has more of a class than the truth,
# something else was taken for it, such as dark fields and water for shadow. The table below has the figures: that
# class's precision is low.
#
# ## Judge
#
# Dice is 1 where mask and truth agree on every pixel of a class, and 0 where they share none. *Precision* is
# the share of the pixels found that are right; *recall* is the share of the right ones that were found.

# %%
judged = compute_scores(painted.truth.values, mask.values)
pd.DataFrame({name: judged[name] for name in ("dice", "precision", "recall")}).round(3)

# %% [markdown]
# ## Fewer bands
#
# Three visible bands are enough for a mask. What is lost without the infrared is shadow above all, which then
# looks like water: see [choose bands](../how-to/bands.md) for real scenes. On one scene, more bands are not
# better for each class.

# %%
choices = {
    "B02 B03 B04 B08 B11 B12": ["B02", "B03", "B04", "B08", "B11", "B12"],
    "B02 B03 B04 B08": ["B02", "B03", "B04", "B08"],
    "B02 B03 B04": ["B02", "B03", "B04"],
}
found = {"all 13": mask.values}
found |= {name: cloud_mask(scene.sel(bands=bands)).values for name, bands in choices.items()}
pd.DataFrame({name: compute_scores(painted.truth.values, one)["dice"] for name, one in found.items()}).T.round(3)

# %% [markdown]
# ## A lower threshold
#
# By default a pixel is of the class with the highest score. With a threshold, cloud is taken where its score
# reaches that: with a lower one fewer clouds are missed, and more clear land is lost.

# %%
kept = {}
for threshold in (0.2, 0.35, 0.7):
    one = compute_scores(painted.truth.values, cloud_mask(scene, thresholds={"cloud": threshold}).values)
    kept[threshold] = {"precision": one["precision"]["cloud"], "recall": one["recall"]["cloud"]}
pd.DataFrame(kept).T.rename_axis("cloud from").round(3)

# %% [markdown]
# ## Write
#
# A Cloud Optimized GeoTIFF with colours, class names and overviews. QGIS draws it as it is.

# %%
write_mask(mask, "mask.tif")
