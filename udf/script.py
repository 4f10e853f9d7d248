"""Find the KappaMask package on a back-end and mask chunks with it.

This text is uploaded as the UDF.

The package, ONNX Runtime and the network come as a dependency archive, unpacked in the folder
`kappamask_deps` of the worker's current directory, or are installed.
"""

import importlib
import platform
import sys
from pathlib import Path

import numpy
import xarray


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:  # type: ignore[type-arg]
    """Mask one chunk (see `kappamask.udf.chunk`)."""
    folder = str(Path("kappamask_deps").resolve())
    if Path(folder).is_dir() and folder not in sys.path:
        sys.path.append(folder)
    try:
        importlib.import_module("onnxruntime")
        chunk = importlib.import_module("kappamask.udf.chunk")
    except ImportError as error:
        raise ImportError(
            f"KappaMask's dependency archive is not usable here ({error}). Looked in {folder} and on sys.path, with "
            f"Python {platform.python_version()} and numpy {numpy.__version__}. Give the job the option "
            "udf-dependency-archives=['URL#kappamask_deps'], an archive made for this Python by `kappamask archive`."
        ) from error
    made: xarray.DataArray = chunk.apply_datacube(cube, context)
    return made
