"""`kappamask doctor`: check that everything is installed and runs."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import chain
from time import perf_counter
from typing import Any

import typer
from packaging.requirements import Requirement

from kappamask.cli.options import AsJson, Model, print_result
from kappamask.models import KappaMaskError, ModelCard, load_card, read_weights
from kappamask.models.errors import format_install_command

__all__ = ["doctor"]

EXAMPLE = "kappamask doctor"
PACKAGES = ("kappamask-openeo", "numpy", "xarray", "onnxruntime", "openeo", "rasterio", "dask", "typer")
DISTRIBUTION = "kappamask-openeo"
EXTRAS = ("scenes", "client", "stac", "zarr", "backend", "demo", "datasets", "convert", "train")
"""Extras that a user may want, in the order of need."""
SIDE = 256
"""Side of the trial image, pixels."""


def doctor(model: Model = "compact", as_json: AsJson = False) -> None:
    """Check this installation: versions, extras, the network's file, and a small mask with its time."""
    trial = _try_network(model)
    extras = {name: [*_list_missing(wanted)] for name, wanted in _read_extras().items()}
    result = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: _find_version(name) for name in PACKAGES},
        "devices": _list_devices(),
        "extras": {name: {"present": not lacking, "missing": lacking} for name, lacking in extras.items()},
        "model": trial,
    }
    print_result(result, _format_lines(result), as_json)
    if not trial["works"]:
        raise typer.Exit(1)


def _read_extras() -> dict[str, list[Requirement]]:
    """Read what each extra, and the extras that it is made of, need."""
    wanted = [Requirement(text) for text in requires(DISTRIBUTION) or ()]
    return {name: list(dict.fromkeys(_list_packages(name, wanted))) for name in EXTRAS}


def _list_missing(wanted: list[Requirement]) -> Iterator[str]:
    """List packages that are not installed, or not in the needed version."""
    for one in wanted:
        found = _find_version(one.name)
        if found is None:
            yield one.name
        elif not one.specifier.contains(found, prereleases=True):
            yield f"{one.name}{one.specifier} ({found} is installed)"


def _list_packages(extra: str, wanted: list[Requirement]) -> Iterator[Requirement]:
    for one in wanted:
        if one.marker and one.marker.evaluate({"extra": extra}):
            if one.name == DISTRIBUTION:
                yield from chain.from_iterable(_list_packages(inner, wanted) for inner in sorted(one.extras))
            else:
                yield one


def _list_devices() -> list[str]:
    """List the devices for which ONNX Runtime has a provider."""
    from kappamask.udf.inference import list_devices

    return list_devices()


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _try_network(model: str) -> dict[str, Any]:
    """Verify the network's file and run it on an image of one grey."""
    try:
        card = load_card(model)
        size = len(read_weights(card))
        first, second = _time_mask(card), _time_mask(card)
    except (KappaMaskError, ImportError) as error:
        return {"id": model, "works": False, "problem": str(error)}
    times = {"first_seconds": round(first, 4), "seconds": round(second, 4)}
    return {"id": card.id, "works": True, "sha256": card.sha256, "bytes": size, "side": SIDE, **times}


def _time_mask(card: ModelCard) -> float:
    import numpy as np
    import xarray as xr

    from kappamask.udf import cloud_mask

    grey = np.full((len(card.bands), SIDE, SIDE), 0.1, dtype=np.float32)
    grey[[band == "B10" for band in card.bands]] = 0.002  # as clear ground has it: 0.1 would be a forgotten offset
    cube = xr.DataArray(grey, dims=("bands", "y", "x"), coords={"bands": list(card.bands)})
    started = perf_counter()
    cloud_mask(cube, level=card.levels[0], model=card, radiometry="reflectance")
    return perf_counter() - started


def _format_lines(result: dict[str, Any]) -> list[str]:
    model = result["model"]
    lines = [f"python {result['python']} on {result['platform']}, {result['cores']} cores"]
    lines += [f"{name} {found or 'not installed'}" for name, found in result["packages"].items()]
    lines.append(f"devices for --device: {', '.join(result['devices'])}")
    lines += [_format_extra(name, entry["missing"]) for name, entry in result["extras"].items()]
    if model["works"]:
        return [*lines, f"model {model['id']}: verified, {SIDE} x {SIDE} px in {model['seconds']:.3f} s"]
    return [*lines, f"model {model['id']}: {model['problem']}"]


def _format_extra(name: str, missing: list[str]) -> str:
    if not missing:
        return f"extra {name}: present"
    return f"extra {name}: lacks {', '.join(missing)}: {format_install_command(name)}"
