"""Time the compact network next to its peers and the machine's own limit.

`make bench` times everything in one run, so compare the rows with each other, not with another day's. With `--product`
(`make bench PRODUCT=1`) also a whole product of 10980 x 10980 px from JPEG 2000, reading apart.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from arguments import make_parser
from competitors import BANDS, COMPETITORS
from macs import gmac_per_megapixel
from random_weights import resolve_peer

HERE = Path(__file__).resolve().parent
PRODUCT_MPX = 10980**2 / 1e6
WIDTHS = (8, 9, 7, 10, 9, 8, 8, 8)
CHUNK = """
import json, sys
from time import perf_counter
import numpy, xarray
started = perf_counter()
from kappamask.models import load_card
from kappamask.udf import inference
from kappamask.udf.chunk import apply_datacube
inference.open_session(load_card("compact"), 1)
ready = perf_counter() - started
values = numpy.load(sys.argv[1])[:, :512, :512].astype("float32")
cube = xarray.DataArray(values, dims=("bands", "y", "x"), coords={"bands": json.loads(sys.argv[2])})
def peak():
    status = open("/proc/self/status").read()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
before, times = peak(), []
for _ in range(5):
    started = perf_counter()
    apply_datacube(cube, {"level": "L1C"})
    times.append(perf_counter() - started)
print(json.dumps([ready, min(times), before, peak()]))
"""


def prepare(folder: Path) -> None:
    """Write the array, the demo's real scene under painted clouds, and the networks."""
    from kappamask.models import load_card
    from kappamask.workflows.demo import paint

    array = paint(folder / "scene", 8).cube.values
    np.save(folder / "array.npy", array)
    card = load_card("compact")
    (folder / "compact.onnx").write_bytes((card.folder / card.file).read_bytes())
    if importlib.util.find_spec("ukis_csmask"):
        found = importlib.util.find_spec("ukis_csmask").submodule_search_locations[0]
        (folder / "ukis.onnx").write_bytes((Path(found) / "model_6b_l1c.onnx").read_bytes())
    resolve_peer("official-l1c-unet", folder, plain=True)
    if importlib.util.find_spec("torch"):
        _quantise(folder, array)


def _quantise(folder: Path, array: np.ndarray[Any, Any]) -> None:
    from kappamask.conversion.quantise import quantise
    from kappamask.training.augmentation import to_input

    corners = [(0, 0), (0, 512), (512, 0), (512, 512)]
    images = [to_input(array[:, y : y + 512, x : x + 512] / np.float32(1e4), "L1C") for y, x in corners]
    quantise(folder / "compact.onnx", folder / "int8.onnx", images)


def run_worker(command: list[str]) -> dict[str, Any] | str:
    """Return what the worker measured, or the last thing that it printed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=HERE)  # noqa: S603  our own code
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return json.loads(said[-1]) if done.returncode == 0 else (said[-1] if said else f"exit {done.returncode}")


def find_least(function: Callable[[], Any], repeats: int = 3) -> float:
    """Return the least of several times in seconds."""
    times = []
    for _ in range(repeats):
        began = perf_counter()
        function()
        times.append(perf_counter() - began)
    return min(times)


def matmul_seconds(n: int = 3072) -> float:
    """Return the least seconds that a product of two large matrices takes, the machine's limit."""
    a = np.random.default_rng(0).random((n, n), dtype=np.float32)
    return find_least(lambda: a @ a)


def matmul_gflops(n: int = 3072) -> float:
    """Return the billions of multiplications and additions in a second of `matmul_seconds`."""
    return 2 * n**3 / matmul_seconds(n) / 1e9


def make_row(name: str, folder: Path, limit: float, ours: float | None) -> dict[str, Any]:
    """Measure one competitor, with its share of the machine's limit."""
    counted = COMPETITORS[name][1]
    if not (found := run_worker([sys.executable, "worker.py", name, str(folder)])) or isinstance(found, str):
        return {"name": name, "failed": found}
    gmac = gmac_per_megapixel(folder / counted) if counted else None
    pace = found["seconds_per_megapixel"]
    share = 2 * gmac / pace / limit if gmac else None
    return {"name": name, "gmac_per_megapixel": gmac, "of_limit": share, "against_ours": pace / (ours or pace)} | found


def make_table(folder: Path) -> list[dict[str, Any]]:
    """Measure all competitors; the first one is ours, the others are compared with it."""
    limit, rows = matmul_gflops(), []
    print(f"{platform.processor() or platform.machine()}, matrix multiply {limit:.0f} GFLOPS on all cores")
    titles = ("s/Mpx", "product", "ratio", "GMAC/Mpx", "of limit", "start", "idle", "peak")
    print(" " * 16 + "".join(f"{title:>{width}}" for title, width in zip(titles, WIDTHS, strict=True)))
    for name in COMPETITORS:
        rows.append(make_row(name, folder, limit, rows[0].get("seconds_per_megapixel") if rows else None))
        print(_format_line(rows[-1]), flush=True)
    return rows


def _format_line(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"{row['name']:<16}did not run: {row['failed']}"
    pace, gmac = row["seconds_per_megapixel"], row["gmac_per_megapixel"]
    counted = f"{gmac:>10.1f}{row['of_limit']:>9.0%}" if gmac else f"{'-':>10}{'-':>9}"
    memory = f"{row['idle_mb']:>5.0f} MB{row['peak_mb']:>5.0f} MB"
    return (
        f"{row['name']:<16}{pace:>8.3f}{pace * PRODUCT_MPX:>7.0f} s{row['against_ours']:>7.1f}{counted}"
        f"{row['start_seconds']:>6.2f} s{memory}"
    )


def main(*, with_product: bool = False) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        rows = make_table(folder)
        command = [sys.executable, "-c", CHUNK, str(folder / "array.npy"), json.dumps(list(BANDS))]
        ready, chunk, before, after = run_worker(command)
    print(
        f"UDF, one 512 px chunk, one thread: {chunk:.3f} s; worker: start {ready:.2f} s, {before:.0f} to {after:.0f} MB"
    )
    whole = rows[0].get("seconds_per_megapixel", float("nan")) * PRODUCT_MPX
    print(f"compact on a whole product: {whole:.0f} s at 10 m, {whole / 4:.0f} s at 20 m, reading apart")
    if with_product:
        from product import measure

        measure()


if __name__ == "__main__":
    arguments = make_parser(__doc__)
    arguments.add_argument("--product", action="store_true", help="also a whole product from JPEG 2000")
    main(with_product=arguments.parse_args().product)
