"""Open masks to compare, under one interface: networks, other tools, rasters."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.evaluation.metrics import CLASSES
from kappamask.evaluation.tools import (
    ALL,
    Answer,
    Peer,
    list_classes,
    make_csmask_peer,
    make_s2cloudless_peer,
    make_threshold_peer,
)
from kappamask.models import CardError, ModelCard, SceneError, WeightsError, load_card
from kappamask.models.schemes import list_schemes
from kappamask.scenes import read_mask
from kappamask.scenes.writers.masks import MASK_SUFFIXES
from kappamask.udf import from_scheme

__all__ = ["Answer", "Peer", "open_peer", "read_rasters", "repeat_to_shape"]

_FETCHED: Final = [f"official-{level}-{kind}" for level in ("l1c", "l2a") for kind in ("unet", "deeplabv3plus")]
WEIGHTS: Final = {name: f"kappamask models fetch {name}" for name in _FETCHED} | {
    "dl-l8s2-uv": "kappamask models convert landsatbiomeRGBISWIR7.hdf5 --architecture dl-l8s2-uv --level L1C -o uv/, "
    "the file being that of github.com/IPL-UV/DL-L8S2-UV, dl_l8s2_uv/weights, and name uv/ as the peer",
}
"""Networks that the package does not hold -> how their weights come here."""


def open_peer(spec: str, data: Path) -> Peer:
    """Open the peer that `spec` names.

    spec: a tool (ukis-csmask, s2cloudless, threshold), the id or path of a network's card, or for rasters a class
        scheme, as SCL, Fmask or MAJA, with their folder as SCL=FOLDER; left out, they lie in the data set's. The tool
        s2cloudless is run; rasters that it made are S2cloudless=FOLDER.
    data: the folder of the data set.
    Raises MissingExtraError if the tool is not installed, WeightsError if a network's weights are not here or its card
    is damaged, SceneError for no such peer.
    """
    if spec in _list_tools():
        return _list_tools()[spec]()
    name, _, folder = spec.partition("=")
    if scheme := {known.casefold(): known for known in list_schemes()}.get(name.casefold()):
        return _open_rasters(scheme, Path(folder) if folder else data)
    try:
        return _open_card(load_card(spec))
    except CardError as error:
        if spec in WEIGHTS:
            raise WeightsError(f"Its weights are not here: {WEIGHTS[spec]}.") from error
        if Path(spec).exists():
            raise WeightsError(str(error)) from error
        known = ", ".join([*_list_tools(), *list_schemes(), *WEIGHTS])
        raise SceneError(f"No peer {spec!r}: known are {known}, SCHEME=FOLDER, and networks. {error}") from error


def _open_card(card: ModelCard) -> Peer:
    return Peer(card.id, card.title, ALL & {*card.output}, partial(_open_network, card), sha256=card.sha256)


def _open_network(card: ModelCard, patch: Patch) -> Answer:
    from kappamask.udf import cloud_mask

    cube = xr.DataArray(patch.reflectance, dims=("bands", "y", "x"), coords={"bands": list(patch.bands)})
    made = cloud_mask(cube, level=patch.level, model=card, radiometry="reflectance", scores=True)
    order = [card.output.index(code) for code in CLASSES.values() if code in card.output]
    scores = made["score"].values[order] if len(order) == len(CLASSES) else None
    return Answer(made["mask"].values, scores)


def _list_tools() -> Mapping[str, Callable[[], Peer]]:

    return {"ukis-csmask": make_csmask_peer, "s2cloudless": make_s2cloudless_peer, "threshold": make_threshold_peer}


def _open_rasters(scheme: str, folder: Path) -> Peer:

    return Peer(scheme, f"Rasters of {scheme}", list_classes(scheme), read_rasters(scheme, folder), timed=False)


def read_rasters(scheme: str, folder: Path) -> Callable[[Patch], Answer]:
    """Make a reader of masks: PATCH_SCHEME.tif (or .nc), or PATCH.tif, under `folder`.

    The rasters lie on the patch's grid, or are coarser by a whole number; of a patch that is a window of a product,
    PRODUCT_SCHEME.tif is that of the whole product. The reader raises SceneError for no such
    folder or file or a grid that does not fit, CubeError for codes that the scheme has not.
    """
    found = {path.stem.casefold(): path for path in sorted(folder.rglob("*")) if path.suffix.lower() in MASK_SUFFIXES}

    def read(patch: Patch) -> Answer:
        scene, corner = patch.window or (patch.name, None)
        names = [f"{scene}_{scheme}".casefold(), scene.casefold()]
        path = next((found[name] for name in names if name in found), None)
        if path is None:
            raise SceneError(f"There is no {scene}_{scheme}.tif under {folder.name}.")
        codes = from_scheme(read_mask(path, scheme=scheme), scheme)
        cut = codes if corner is None else _crop_to_patch(codes, corner, patch, path.name)
        return Answer(repeat_to_shape(np.asarray(cut.values), patch.truth.shape, path.name))

    return read


def _crop_to_patch(codes: xr.DataArray, corner: tuple[int, int], patch: Patch, name: str) -> xr.DataArray:
    """Crop a whole product's codes (y, x) to the patch's window.

    Its pixels may be coarser by a whole number.
    """
    times = float(codes["x"][1] - codes["x"][0]) / (patch.pixel_m or np.nan)
    spans = [(start, start + size) for start, size in zip(corner, patch.truth.shape, strict=True)]
    if not times >= 1 or any(edge % times for span in spans for edge in span):
        raise SceneError(f"{name} has pixels {times:g} times the patch's, and its window is no whole number of them.")
    y, x = (slice(int(first / times), int(last / times)) for first, last in spans)
    return codes.isel(y=y, x=x)


def repeat_to_shape(codes: NDArray[np.uint8], shape: tuple[int, ...], name: str = "mask") -> NDArray[np.uint8]:
    """Repeat codes (y, x) to `shape`, as SCL of 20 m is to 10 m.

    Raises SceneError if it is no whole multiple.
    """
    times = [wanted // given for wanted, given in zip(shape, codes.shape, strict=True)]
    if min(times) < 1 or tuple(n * t for n, t in zip(codes.shape, times, strict=True)) != shape or len({*times}) > 1:
        raise SceneError(f"{name} has {codes.shape} pixels (y, x), the patch {shape}; warp it to the patch's grid.")
    return codes.repeat(times[0], axis=0).repeat(times[0], axis=1)
