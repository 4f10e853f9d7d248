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
# # openEO
#
# An openEO back-end runs a *process graph* where the data are. Here one runs on this machine: the same graph
# goes to Copernicus Data Space with another URL, another way to log in, and an archive that lies where that
# back-end can read it. To run the page yourself: `pip install '.[demo]' jupyterlab`.

# %%
import platform
from contextlib import ExitStack
from pathlib import Path

import openeo
import rioxarray
from IPython.display import Image

from kappamask.backend.server import running_server
from kappamask.openeo_process import cloud_mask, fetch, load, submit
from kappamask.openeo_process.archive import build
from kappamask.openeo_process.job import job_options
from kappamask.scenes import read_mask, write_quicklook
from kappamask.workflows.demo import paint

# %% [markdown]
# ## A back-end with one scene
#
# Real Sentinel-2 pixels under painted clouds, in a folder. `running_server` offers the folder as the
# collection `SENTINEL2_L1C`, named as on Copernicus Data Space. In a terminal `kappamask serve --scenes
# scenes/` does the same.

# %%
scene = paint(Path("scenes"), seed=8)
opened = ExitStack()
server = opened.enter_context(running_server(scene.folder))  # in a program: with running_server(…) as server:
connection = openeo.connect(server.url).authenticate_basic(server.user, server.password)
connection.list_collection_ids()

# %% [markdown]
# ## The graph
#
# `load` asks for a little more than the area, so that pixels at its edge have neighbours. `cloud_mask` adds
# the UDF and computes nothing: it returns an `openeo.DataCube` that you can go on with.

# %%
python = platform.python_version().rpartition(".")[0]  # of the back-end's workers: here the same as yours
area = {"west": 440_000, "south": 4_169_000, "east": 443_600, "north": 4_172_600, "crs": "EPSG:32618"}
cube = load(connection, "SENTINEL2_L1C", area=area, dates=scene.dates)
mask = cloud_mask(cube, level="L1C", clip_to=area, python=python)
[node["process_id"] for node in mask.flat_graph().values()]

# %% [markdown]
# The chunks: 512 px with 64 px of overlap, one date at a time.

# %%
(chunks,) = [n for n in mask.flat_graph().values() if n["process_id"] == "apply_neighborhood"]
for key in ("size", "overlap"):
    print(key, {side["dimension"]: side["value"] for side in chunks["arguments"][key]})

# %% [markdown]
# ## The job
#
# Workers have neither ONNX Runtime nor this package; both come in one archive. For a back-end elsewhere,
# upload the archive and give its `https://` address.

# %%
archive = build(Path("archive"))
job = submit(mask, archive=archive.resolve().as_uri(), title="Cloud mask", wait=True)
print(archive.name, f"{archive.stat().st_size / 1e6:.0f} MB")
print(job.status())

# %%
files = fetch(job, "masks")
[path.name for path in files]

# %% [markdown]
# What the job said while it ran:

# %%
for entry in job.logs():
    print(entry["level"], entry["message"][:110])

# %% [markdown]
# ## The mask

# %%
(path,) = [file for file in files if file.suffix == ".tif"]
found = read_mask(path).compute()
shown = scene.cube.sel(x=found.x, y=found.y, method="nearest", tolerance=1)
truth = scene.truth.sel(x=found.x, y=found.y, method="nearest", tolerance=1)
Image(write_quicklook(shown, found, "look.png", truth=truth, title="Coast of Virginia, painted clouds"))

# %% [markdown]
# The file is cut to the area that was asked for, on the scene's own grid:

# %%
print(found.rio.bounds(), found.rio.crs)
print(area)

# %% [markdown]
# ## Go on in the graph
#
# openEO's `mask` process blanks pixels where another cube is true. This graph would load, mask and blank on
# the back-end, and only clear pixels would travel:

# %%
codes = mask.band("mask")
clear = cube.filter_bbox(**area).mask((codes == 2) | (codes == 3) | (codes == 4))
clear.download("clear.tif", job_options=job_options(archive.resolve().as_uri()))
blanked = rioxarray.open_rasterio("clear.tif", masked=True)
print(f"{float(blanked[0].notnull().mean()):.1%} of the pixels are left")

# %%
opened.close()
