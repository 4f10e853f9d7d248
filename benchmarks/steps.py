"""Time the steps of a mask in one process: `python steps.py FOLDER`.

`regressions.py` fills the folder. Prints JSON, seconds by step. Only public names are used, so that the same file times
earlier versions, too; a step that a version does not know is left out.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final

STARTED = perf_counter()

import numpy as np  # noqa: E402
import xarray as xr  # noqa: E402

REPEATS: Final = 3
"""Of which the least counts."""
CHUNK_PX: Final = 512


def make_steps(folder: Path, scratch: Path) -> dict[str, Callable[[], Any]]:
    """Return what is timed, by the name that the table has."""
    from kappamask import cloud_mask, mask_scene, open_scene
    from kappamask.scenes import write_mask
    from kappamask.udf import clean
    from kappamask.udf.chunk import apply_datacube

    bands = json.loads((folder / "bands.json").read_text(encoding="utf-8"))
    numbers = np.load(folder / "array.npy")
    cube = xr.DataArray(numbers, dims=("bands", "y", "x"), coords={"bands": bands})
    few = cube.sel(bands=["B02", "B03", "B04", "B08"])
    chunk = cube[:, :CHUNK_PX, :CHUNK_PX].astype("float32")
    mask = cloud_mask(few, level="L1C", radiometry="dn_harmonized")
    product = folder / "product"

    def write_again() -> None:
        mask_scene(product, scratch / "mask.tif", level="L1C", radiometry="dn_harmonized", overwrite=True)

    return {
        "cloud_mask, 13 bands": lambda: cloud_mask(cube, level="L1C", radiometry="dn_harmonized"),
        "cloud_mask, 4 bands": lambda: cloud_mask(few, level="L1C", radiometry="dn_harmonized"),
        "UDF, a chunk of 512 px": lambda: apply_datacube(chunk, {"level": "L1C"}),
        "clean, 100 m, specks, holes": lambda: clean(
            mask, pixel_m=10, buffer_m=100, min_object_m2=5000, fill_holes_m2=5000
        ),
        "open_scene, JPEG 2000": lambda: open_scene(product, level="L1C").compute(),
        "write_mask": lambda: write_mask(mask, scratch / "plain.tif"),
        "mask_scene, JPEG 2000": write_again,
    }


def time_step(step: Callable[[], Any]) -> float | None:
    """Return the least of several times; None where this version does not know the step."""
    times = []
    try:
        for _ in range(REPEATS):
            began = perf_counter()
            step()
            times.append(perf_counter() - began)
    except (AttributeError, TypeError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return None
    return min(times)


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        steps = make_steps(folder, Path(scratch))
        first = perf_counter() - STARTED
        found = {"import and first mask": first} | {name: time_step(step) for name, step in steps.items()}
    print(json.dumps({name: seconds for name, seconds in found.items() if seconds is not None}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
