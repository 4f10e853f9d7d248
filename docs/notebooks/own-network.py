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
# # Bring your own network
#
# Any ONNX network that gives a score for each class can be used everywhere in this package, once a *card* says
# what it expects. Here a network is made by hand, from four operators, so that you see all there is to
# it. Yours comes from PyTorch or elsewhere; the card is the same. To run the page yourself: `pip install
# '.[convert]' pandas jupyterlab`.
#
# ## A network
#
# It averages B02 over 3 x 3 pixels and goes by brightness alone: dark is shadow, then clear, then thin cloud,
# bright is cloud. No good network, but one whose answer you can work out on paper.

# %%
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import xarray as xr
from IPython.display import Image
from onnx import TensorProto, helper, numpy_helper

from kappamask.models import load_card
from kappamask.scenes import write_quicklook
from kappamask.udf import cloud_mask

BANDS = ["B02", "B03", "B04"]
CENTRES = {"clear": 0.12, "cloud_shadow": 0.02, "semi_transparent_cloud": 0.3, "cloud": 0.6}  # reflectance of B02

kernel = np.zeros((1, len(BANDS), 3, 3), np.float32)
kernel[0, 0] = 1 / 9
constants = {
    "kernel": kernel,
    "centres": np.float32(list(CENTRES.values())).reshape(1, 4, 1, 1),
    "sharpness": np.float32([-200]),
}
nodes = [
    helper.make_node("Conv", ["image", "kernel"], ["mean"], pads=[1, 1, 1, 1]),
    helper.make_node("Sub", ["mean", "centres"], ["away"]),
    helper.make_node("Mul", ["away", "away"], ["squared"]),
    helper.make_node("Mul", ["squared", "sharpness"], ["logit"]),
]
graph = helper.make_graph(
    nodes,
    "brightness",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", len(BANDS), "y", "x"])],
    [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n", 4, "y", "x"])],
    [numpy_helper.from_array(value, name) for name, value in constants.items()],
)
network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

folder = Path("my-network")
folder.mkdir()
onnx.save(network, folder / "brightness.onnx")

# %% [markdown]
# ## Its card
#
# The card is a STAC Item. It says which band each channel holds and how it is scaled, what each output
# channel stands for, and how large the squares are that the network is run on. `file:checksum` is the sha256
# of the network: another file under the same name is refused.

# %%
classes = [
    (0, "undefined", "000000"),
    (1, "clear", "7fb069"),
    (2, "cloud_shadow", "355070"),
    (3, "semi_transparent_cloud", "b8c0cc"),
    (4, "cloud", "ffffff"),
    (5, "missing", "d1495b"),
]
card = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "brightness",
    "properties": {
        "mlm:name": "Brightness of B02",
        "license": "CC0-1.0",
        "mlm:input": [{"bands": BANDS, "value_scaling": [{"type": "scale", "value": 1.0}] * len(BANDS)}],
        "mlm:output": [{"classification:classes": [{"value": v, "name": n, "color_hint": c} for v, n, c in classes]}],
        "kappamask:provenance": "made by hand in a notebook",
        "kappamask:levels": ["L1C", "L2A"],
        "kappamask:required_bands": ["B02"],
        "kappamask:fill": 0.0,
        "kappamask:level_plane": False,
        "kappamask:window": 256,
        "kappamask:overlap": 16,
        "kappamask:stride": 1,
        "kappamask:output_values": [1, 2, 3, 4],
        "kappamask:activation": "softmax",
    },
    "assets": {
        "weights": {
            "href": "./brightness.onnx",
            "file:checksum": "1220" + hashlib.sha256((folder / "brightness.onnx").read_bytes()).hexdigest(),
        }
    },
}
(folder / "card.json").write_text(json.dumps(card, indent=2))
load_card(folder).output_names

# %% [markdown]
# ## Run it
#
# On an image that grows brighter from left to right and has no data in one corner. Missing is no answer of
# the network: it comes from the pixels.

# %%
brightness = np.linspace(0.01, 0.81, 256, dtype=np.float32)
reflectance = np.tile(brightness, (3, 256, 1))
reflectance[:, :64, :128] = np.nan
cube = xr.DataArray(reflectance, dims=("bands", "y", "x"), coords={"bands": BANDS})

result = cloud_mask(cube, model=folder, level="L2A", radiometry="reflectance", scores=True)
Image(write_quicklook(cube, result["mask"], "look.png", title="Brighter from left to right"))

# %% [markdown]
# The scores along one row. Halfway between two centres, two classes are equally likely.

# %%
along = result["score"].isel(y=128, x=slice(0, None, 32))
pd.DataFrame(along.values, along["class"].values, brightness[::32].round(2)).round(3)

# %% [markdown]
# ## Use it elsewhere
#
# - Command: `kappamask mask SCENE -o mask.tif --model my-network/`
# - openEO: `cloud_mask(cube, model="my-network")`, with `kappamask archive --model my-network/ -o .` for the archive.
