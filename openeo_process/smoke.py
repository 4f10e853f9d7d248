"""Does a dependency archive work in a worker? Try it in an environment that has numpy 2, xarray and nothing else."""

import json
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from kappamask.models import JobError
from kappamask.openeo_process.archive import FOLDER
from kappamask.openeo_process.graph import udf

__all__ = ["smoke_test"]

WORKER_HAS = ("numpy", "xarray", "pandas", "packaging", "python-dateutil", "six", "pytz", "tzdata")
"""What xarray needs to be imported; every openEO worker has these."""
TRIAL = """
import json, pathlib, sys
import numpy, xarray
assert int(numpy.__version__.split(".")[0]) >= 2, f"numpy {numpy.__version__} is not numpy 2"
space = {}
exec(pathlib.Path("udf.py").read_text(), space)
bands = ["B02", "B03", "B04", "B08", "B10", "B11", "B12"]
values = numpy.linspace(300, 6000, len(bands) * 48 * 64, dtype="float32").reshape(len(bands), 48, 64)
cube = xarray.DataArray(values, dims=("bands", "y", "x"), coords={"bands": bands})
mask = space["apply_datacube"](cube, json.loads(sys.argv[1]))
assert mask.shape == (1, 48, 64) and numpy.isin(mask.values, [1, 2, 3, 4]).all(), mask
assert "kappamask_deps" in sys.modules["onnxruntime"].__file__
print("ok")
"""


def smoke_test(archive: Path, model: str = "compact", **context: Any) -> None:
    """Unpack `archive` beside the UDF's text and mask a small cube, in a process that can see nothing else.

    context: further keys of the UDF's context. The archive must be for this process' Python.
    Raises JobError with the last line of what went wrong.
    """
    with tempfile.TemporaryDirectory(prefix="kappamask-smoke-") as folder:
        work = Path(folder)
        with zipfile.ZipFile(archive) as content:
            content.extractall(work / FOLDER)
        (work / "udf.py").write_text(udf().code, encoding="utf-8")
        python = _clean_environment(work / "env")
        command = [str(python), "-I", "-c", TRIAL, json.dumps({"model": model, **context})]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode or done.stdout.strip() != "ok":
            reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise JobError(f"{archive.name} does not work in a clean environment: {reason}")


def _clean_environment(folder: Path) -> Path:
    """A virtual environment that sees the worker's libraries of this one, linked, and no others; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)  # noqa: S603
    (site,) = folder.glob("lib/python*/site-packages")
    for source in (path for name in WORKER_HAS for path in _installed(name)):
        if not (site / source.name).exists():
            (site / source.name).symlink_to(source)
    return folder / "bin" / "python"


def _installed(name: str) -> set[Path]:
    """Top-level files and folders of a distribution; none if it is not installed, as pytz beside a newer pandas."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return set()
    tops = {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}
    return {path for path in (Path(str(found.locate_file(top))) for top in tops) if path.exists()}
