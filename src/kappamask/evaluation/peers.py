"""Masks that are judged, under one interface: networks, other tools, rasters that others made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.evaluation.metrics import CLASSES
from kappamask.models import CardError, ModelCard, SceneError, WeightsError, load_card
from kappamask.models.schemes import is_own, scheme_names, scheme_of

__all__ = ["Answer", "Peer", "classes_of", "open_peer"]

ALL: Final = frozenset(CLASSES.values())
_FETCHED: Final = [f"official-{level}-{kind}" for level in ("l1c", "l2a") for kind in ("unet", "deeplabv3plus")]
WEIGHTS: Final = {name: f"kappamask models fetch {name}" for name in _FETCHED} | {
    "dl-l8s2-uv": "kappamask models convert landsatbiomeRGBISWIR7.hdf5 --architecture dl-l8s2-uv --level L1C -o uv/, "
    "the file being that of github.com/IPL-UV/DL-L8S2-UV, dl_l8s2_uv/weights, and name uv/ as the peer",
}
"""Networks that the package does not hold -> how their weights come here."""


class Answer(NamedTuple):
    """A mask of a patch, KappaMask codes (y, x), and where the peer has them the scores of classes 1 to 4 (4, y, x)."""

    mask: NDArray[np.uint8]
    scores: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Peer:
    """One that masks patches. `run` raises a KappaMaskError that says why, where it cannot."""

    name: str
    title: str
    tells: frozenset[int]
    """KappaMask classes that it can say; of others it is not judged."""
    run: Callable[[Patch], Answer]
    timed: bool = True
    """Whether `run` makes the mask; False where it reads what others made, at a cost that is not known."""
    sha256: str = ""
    """Of a network's file, so that a figure can be told from that of another one of the same name."""


def open_peer(spec: str, data: Path) -> Peer:
    """The peer that `spec` names.

    spec: a tool (ukis-csmask, s2cloudless, threshold), the id or path of a network's card, or for rasters a class
        scheme, as SCL, Fmask or MAJA, with their folder as SCL=FOLDER; left out, they lie in the data set's. The tool
        s2cloudless is run; rasters that it made are S2cloudless=FOLDER.
    data: the folder of the data set.
    Raises MissingExtraError if the tool is not installed, WeightsError if a network's weights are not here or its card
    is damaged, SceneError for no such peer.
    """
    if spec in _tools():
        return _tools()[spec]()
    name, _, folder = spec.partition("=")
    if scheme := {known.casefold(): known for known in scheme_names()}.get(name.casefold()):
        return _of_rasters(scheme, Path(folder) if folder else data)
    try:
        return _of_card(load_card(spec))
    except CardError as error:
        if spec in WEIGHTS:
            raise WeightsError(f"Its weights are not here: {WEIGHTS[spec]}.") from error
        if Path(spec).exists():
            raise WeightsError(str(error)) from error
        known = ", ".join([*_tools(), *scheme_names(), *WEIGHTS])
        raise SceneError(f"No peer {spec!r}: known are {known}, SCHEME=FOLDER, and networks. {error}") from error


def classes_of(scheme: str) -> frozenset[int]:
    """KappaMask classes 1 to 4 that a mask in this scheme can tell, by the table of schemes."""
    return ALL if is_own(scheme) else ALL & {*scheme_of(scheme).readings.values()}


def _of_card(card: ModelCard) -> Peer:
    return Peer(card.id, card.title, ALL & {*card.output}, partial(_network, card), sha256=card.sha256)


def _network(card: ModelCard, patch: Patch) -> Answer:
    from kappamask.udf import cloud_mask

    cube = xr.DataArray(patch.reflectance, dims=("bands", "y", "x"), coords={"bands": list(patch.bands)})
    made = cloud_mask(cube, level=patch.level, model=card, radiometry="reflectance", scores=True)
    order = [card.output.index(code) for code in CLASSES.values() if code in card.output]
    scores = made["score"].values[order] if len(order) == len(CLASSES) else None
    return Answer(made["mask"].values, scores)


def _tools() -> Mapping[str, Callable[[], Peer]]:
    from kappamask.evaluation import tools

    return {"ukis-csmask": tools.csmask, "s2cloudless": tools.s2cloudless, "threshold": tools.threshold}


def _of_rasters(scheme: str, folder: Path) -> Peer:
    from kappamask.evaluation.rasters import read_rasters

    return Peer(scheme, f"Rasters of {scheme}", classes_of(scheme), read_rasters(scheme, folder), timed=False)
