"""The dependency archive: what a worker needs beside numpy and xarray, in one zip.

It holds ONNX Runtime without its dependencies (none is needed to run a network), this package's `models` and
`udf` with one network, and no numpy, xarray or protobuf, which the worker has and which must not be shadowed.
The same content makes the same bytes, and their hash is in the name.
"""

import hashlib
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from kappamask.models import JobError, ModelCard, load_card, read_weights
from kappamask.models.package import FOLDER, package_files

__all__ = ["FOLDER", "build", "is_for_here"]

PYTHON = platform.python_version().rpartition(".")[0]
PLATFORM = "manylinux_2_28_x86_64"
"""Of openEO's workers; the oldest that current ONNX Runtime wheels support."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold; one time for all files makes archives reproducible."""
UNUSED = ("onnxruntime/tools/", "onnxruntime/transformers/", "onnxruntime/quantization/", "onnxruntime/datasets/")
"""Parts of ONNX Runtime that prepare networks, not run them: 300 of the 318 files of version 1.32."""


def build(output_dir: str | Path, *, model: str | Path | ModelCard = "compact", python: str | None = None) -> Path:
    """Write `kappamask-deps-MODEL-cpXY-HASH.zip` into `output_dir`; its path.

    python: version of the workers' Python, such as "3.11"; left out, that of this process. For this process'
    Python on Linux x86-64 the installed ONNX Runtime is taken, for another pip downloads the wheel of the same version.
    Raises JobError if ONNX Runtime cannot be had, and CardError or WeightsError for the network.
    """
    card = load_card(model)
    read_weights(card)
    python = python or PYTHON
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".archive-") as scratch:
        files = {**dict(_runtime(python, Path(scratch))), **dict(package_files(card))}
        part = Path(scratch) / "archive.zip"
        _write(part, files)
        digest = hashlib.sha256(part.read_bytes()).hexdigest()[:12]
        target = folder / f"kappamask-deps-{card.id}-cp{python.replace('.', '')}-{digest}.zip"
        part.replace(target)
    return target


def is_for_here(python: str | None = None) -> bool:
    """Whether an archive for this Python can run in this process' environment."""
    return (python or PYTHON, platform.system(), platform.machine()) == (PYTHON, "Linux", "x86_64")


def _write(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])


def _runtime(python: str, scratch: Path) -> Iterator[tuple[str, bytes]]:
    files = _installed() if is_for_here(python) else _downloaded(python, scratch)
    for name, content in files:
        if not name.startswith(UNUSED) and "__pycache__" not in name:
            yield name, content


def _installed() -> Iterator[tuple[str, bytes]]:
    for file in distribution("onnxruntime").files or []:
        if file.parts[0] == "onnxruntime":
            yield file.as_posix(), Path(str(file.locate())).read_bytes()


def _downloaded(python: str, scratch: Path) -> Iterator[tuple[str, bytes]]:
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
