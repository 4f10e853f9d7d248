"""Build the dependency archive of a worker, and test it in a clean environment.

It holds ONNX Runtime without its dependencies (none is needed to run a network), this package's `models` and
`udf` with one network, and no numpy, xarray or protobuf, which the worker has and which must not be shadowed.
The same content makes the same bytes. A release of this package has the archive of the network that comes with it.
"""

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, metadata
from pathlib import Path
from typing import Any

import requests

from kappamask.files.atomic import atomic_write
from kappamask.models import JobError, ModelCard, load_card, read_weights
from kappamask.models.package import FOLDER, list_package_files
from kappamask.openeo_process.graph import make_udf

__all__ = [
    "FOLDER",
    "build",
    "find_release_fault",
    "is_for_here",
    "name_archive",
    "release_url",
    "require_url",
    "run_smoke_test",
]

PYTHON = platform.python_version().rpartition(".")[0]
PLATFORM = "manylinux_2_28_x86_64"
"""Of openEO's workers; the oldest that current ONNX Runtime wheels support."""
TIMEOUT_S = 20.0
"""After which an address that does not answer counts as one that is not there."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold; one time for all files makes archives reproducible."""
UNUSED = (
    "onnxruntime/tools/", "onnxruntime/transformers/", "onnxruntime/quantization/", "onnxruntime/datasets/",
    "onnxruntime/backend/", "onnxruntime/capi/libonnxruntime.so",
)  # fmt: skip
"""Parts of ONNX Runtime that are not loaded to run a network on a CPU: those that prepare networks or need the package
onnx, and the shared library for other languages (35 MB), of which the Python module has its own copy."""
WORKER_HAS = ("numpy", "xarray", "pandas", "packaging", "python-dateutil", "six", "pytz", "tzdata")
"""What xarray needs to be imported; every openEO worker has these."""
SMOKE_TEST = """
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


def require_url(archive: str) -> None:
    """Raise JobError for an archive whose address no back-end can read."""
    if "://" not in archive:
        raise JobError(
            f"The archive {archive!r} is no address: the back-end cannot read files of this machine. Upload it, and "
            "give the https:// address."
        )


def locate_archive(archive: str) -> str:
    """Return an address as it is, of a file its full path.

    Raises JobError if the file is not there.
    """
    if "://" in archive:
        return archive
    if not Path(archive).is_file():
        raise JobError(f"There is no archive {archive}: `kappamask archive -o .` makes one, or give its address.")
    return str(Path(archive).resolve())


def name_archive(model_id: str, python: str | None = None) -> str:
    """Return `kappamask-deps-MODEL-cpXY.zip`, the name of the archive in a release."""
    return f"kappamask-deps-{model_id}-cp{(python or PYTHON).replace('.', '')}.zip"


def release_url(model_id: str, python: str | None = None) -> str:
    """Return the URL of the archive in the release of this version."""
    about = metadata("kappamask-openeo")
    return f"{about['Home-page']}/releases/download/v{about['Version']}/{name_archive(model_id, python)}"


def find_release_fault(url: str) -> str | None:
    """Find why `url` cannot be read, such as "HTTP 404"; else None."""
    try:
        response = requests.head(url, allow_redirects=True, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        return f"no answer, {type(error).__name__}"
    return None if response.ok else f"HTTP {response.status_code}"


def build(
    output_dir: str | Path,
    *,
    model: str | Path | ModelCard = "compact",
    python: str | None = None,
    hashed: bool = True,
) -> Path:
    """Write `kappamask-deps-MODEL-cpXY-HASH.zip` into `output_dir`; its path.

    python: version of the workers' Python, such as "3.11"; left out, that of this process. For this process'
    Python on Linux x86-64 the installed ONNX Runtime is taken, for another pip downloads the wheel of the same version.
    hashed: with the hash of its content in the name, by which a back-end's job tells one archive from another; else
    the name is that of `name_archive`.
    Raises JobError if ONNX Runtime cannot be fetched, and CardError or WeightsError for the network.
    """
    card = load_card(model)
    read_weights(card)
    python = python or PYTHON
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".archive-") as scratch:
        files = {**dict(_iter_runtime(python, Path(scratch))), **dict(list_package_files(card))}
        part = Path(scratch) / "archive.zip"
        _write(part, files)
        target = folder / name_archive(card.id, python)
        if hashed:
            target = target.with_stem(f"{target.stem}-{hashlib.sha256(part.read_bytes()).hexdigest()[:12]}")
        with atomic_write(target) as draft:
            part.replace(draft)
    return target


def is_for_here(python: str | None = None) -> bool:
    """Tell whether an archive for this Python can run in this process' environment."""
    return (python or PYTHON, platform.system(), platform.machine()) == (PYTHON, "Linux", "x86_64")


def _write(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])


def _iter_runtime(python: str, scratch: Path) -> Iterator[tuple[str, bytes]]:
    files = _installed_runtime() if is_for_here(python) else _downloaded_runtime(python, scratch)
    for name, content in files:
        if not name.startswith(UNUSED) and "__pycache__" not in name:
            yield name, content


def _installed_runtime() -> Iterator[tuple[str, bytes]]:
    for file in distribution("onnxruntime").files or []:
        if file.parts[0] == "onnxruntime":
            yield file.as_posix(), Path(str(file.locate())).read_bytes()


def _downloaded_runtime(python: str, scratch: Path) -> Iterator[tuple[str, bytes]]:
    try:
        wanted = f"onnxruntime=={distribution('onnxruntime').version}"
    except PackageNotFoundError:
        wanted = "onnxruntime"
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(scratch),
        "--python-version", python, "--implementation", "cp", "--platform", PLATFORM, wanted,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  fixed words, no shell
    wheels = list(scratch.glob("onnxruntime-*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise JobError(f"{wanted} for Python {python} on {PLATFORM} could not be downloaded: {reason}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in wheel.namelist():
            if name.startswith("onnxruntime/") and not name.endswith("/"):
                yield name, wheel.read(name)


def run_smoke_test(archive: Path, model: str = "compact", **context: Any) -> None:
    """Mask a small cube with the UDF and the archive, without other packages.

    context: further keys of the UDF's context. The archive must be for this process' Python.
    Raises JobError with the last line of what went wrong.
    """
    with tempfile.TemporaryDirectory(prefix="kappamask-smoke-") as folder:
        work = Path(folder)
        with zipfile.ZipFile(archive) as content:
            content.extractall(work / FOLDER)
        (work / "udf.py").write_text(make_udf().code, encoding="utf-8")
        python = _clean_environment(work / "env")
        command = [str(python), "-I", "-c", SMOKE_TEST, json.dumps({"model": model, **context})]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode or done.stdout.strip() != "ok":
            reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise JobError(f"{archive.name} does not work in a clean environment: {reason}")


def _clean_environment(folder: Path) -> Path:
    """Make a virtual environment that has only the worker's libraries, linked; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)  # noqa: S603
    (site,) = folder.glob("lib/python*/site-packages")
    for source in (path for name in WORKER_HAS for path in _installed_paths(name)):
        if not (site / source.name).exists():
            (site / source.name).symlink_to(source)
    return folder / "bin" / "python"


def _installed_paths(name: str) -> set[Path]:
    """List the top-level files and folders of a distribution.

    None if it is not installed, as pytz is not with a newer pandas.
    """
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return set()
    tops = {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}
    return {path for path in (Path(str(found.locate_file(top))) for top in tops) if path.exists()}
