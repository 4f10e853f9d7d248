"""Run other cloud masking tools under the interface of a peer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.evaluation.metrics import CLASSES
from kappamask.models import CubeError
from kappamask.models.errors import make_extra_error
from kappamask.models.schemes import find_scheme, is_kappamask
from kappamask.udf.schemes import CLEAR, CLOUD, MISSING, SHADOW

__all__ = ["Answer", "Peer", "list_classes", "make_csmask_peer", "make_s2cloudless_peer", "make_threshold_peer"]

ALL: Final = frozenset(CLASSES.values())
BRIGHT: Final = 0.25
"""Reflectance of B04 from which on Sen2Cor's first step is sure of cloud (its ATBD, T2 of the red band)."""
UKIS: Final = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22"}
"""Bands of ukis-csmask's better network, and its names of them; the first four are enough for the other."""
UKIS_NEEDS: Final = 4
UKIS_CODES: Final = np.array([CLEAR, CLOUD, SHADOW], np.uint8)
"""Its codes 0 to 2: background, cloud, cloud shadow (README of ukis-csmask 1.0.0)."""
S2CLOUDLESS: Final = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")
"""The ten bands that its classifier takes, in order (README of s2cloudless)."""
S2CLOUDLESS_CODES: Final = np.array([CLEAR, CLOUD], np.uint8)
SETTINGS: Final = {"threshold": 0.4, "average_over": 4, "dilation_size": 2, "all_bands": False}
"""Those of its authors' published examples. The package's own are 1 and 1 px, and they leave them to its users
(sentinel-hub/sentinel2-cloud-detector, issue 30)."""
Planes = NDArray[np.float32]


class Answer(NamedTuple):
    """A mask of a patch, KappaMask codes (y, x), and perhaps scores.

    Scores of classes 1 to 4, (4, y, x).
    """

    mask: NDArray[np.uint8]
    scores: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Peer:
    """One that masks patches. `run` raises a KappaMaskError that says why, where it cannot."""

    name: str
    title: str
    predicts: frozenset[int]
    """KappaMask classes that it can say; of others it is not judged."""
    run: Callable[[Patch], Answer]
    timed: bool = True
    """Whether `run` makes the mask; False where it reads what others made, at a cost that is not known."""
    sha256: str = ""
    """Of a network's file, which distinguishes figures of networks with the same name."""


def list_classes(scheme: str) -> frozenset[int]:
    """List the KappaMask classes 1 to 4 that a mask in this scheme distinguishes."""
    return ALL if is_kappamask(scheme) else ALL & {*find_scheme(scheme).classes_by_code.values()}


def make_threshold_peer() -> Peer:
    """Make the peer that calls cloud what is brighter than `BRIGHT` in B04.

    A mask that is worse than this is of no use.
    """
    return Peer("threshold", f"B04 above {BRIGHT}", list_classes("S2cloudless"), _run_threshold)


def make_csmask_peer() -> Peer:
    """Make the peer ukis-csmask, of DLR: cloud and shadow. Raises MissingExtraError."""
    module = _import_or_explain("ukis_csmask.mask", "ukis")
    predicts = frozenset(UKIS_CODES.tolist())
    return Peer(
        "ukis-csmask", "ukis-csmask 1.0 of DLR, its own networks", predicts, partial(_run_csmask, module.CSmask)
    )


def make_s2cloudless_peer() -> Peer:
    """Make the peer s2cloudless, of Sinergise: cloud or not, pixel by pixel.

    Raises MissingExtraError.
    """
    detector = _import_or_explain("s2cloudless", "s2cloudless").S2PixelCloudDetector(**SETTINGS)
    title = "s2cloudless of Sinergise, threshold 0.4, averaged over 4 px, widened by 2 px"
    return Peer("s2cloudless", title, list_classes("S2cloudless"), partial(_run_s2cloudless, detector))


def _run_threshold(patch: Patch) -> Answer:
    (red,) = _stack_reflectance(patch, ("B04",), "threshold")
    return _to_answer(np.where(red > BRIGHT, np.uint8(CLOUD), np.uint8(CLEAR)), red[None])


def _run_csmask(tool: Callable[..., Any], patch: Patch) -> Answer:
    bands = [band for band in UKIS if band in patch.bands]
    used = bands if len(bands) == len(UKIS) else [*UKIS][:UKIS_NEEDS]
    planes = _stack_reflectance(patch, used, "ukis-csmask")
    image = np.ascontiguousarray(np.nan_to_num(planes).transpose(1, 2, 0))
    names = [UKIS[band] for band in used]
    with _translate_errors("ukis-csmask"):
        found = tool(img=image, band_order=names, nodata_value=0, product_level=patch.level.lower()).csm[..., 0]
    return _to_answer(UKIS_CODES[found.astype(np.uint8)], planes)


def _run_s2cloudless(detector: Any, patch: Patch) -> Answer:
    planes = _stack_reflectance(patch, S2CLOUDLESS, "s2cloudless")
    with _translate_errors("s2cloudless"):
        found = detector.get_cloud_masks(np.nan_to_num(planes).transpose(1, 2, 0)[None])[0]
    return _to_answer(S2CLOUDLESS_CODES[found.astype(np.uint8)], planes)


def _stack_reflectance(patch: Patch, bands: Sequence[str], name: str) -> Planes:
    """Stack reflectance (band, y, x). Raises CubeError where the patch lacks a band."""
    lacking = [band for band in bands if band not in patch.bands]
    if lacking:
        raise CubeError(f"{name} needs {', '.join(lacking)}, which the data set does not have at every scene.")
    return patch.stack(bands)


def _to_answer(codes: NDArray[np.uint8], planes: Planes) -> Answer:
    """Make the answer of `codes`, missing where a band has no data."""
    return Answer(np.where(np.isfinite(planes).all(axis=0), codes, np.uint8(MISSING)))


def _import_or_explain(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # OSError: a library of the system that it loads, as libgomp
        needed = getattr(error, "name", None) or f"{module} ({error})"
        raise make_extra_error(needed, extra, user="It") from error


@contextmanager
def _translate_errors(name: str) -> Iterator[None]:
    """Turn errors of other tools into a CubeError with their words.

    Warnings are silenced: a thousand lines at every patch would hide all else.
    """
    try:
        with catch_warnings():
            simplefilter("ignore")
            yield
    except Exception as error:  # theirs: LightGBM's and ONNX Runtime's own are no kin of any other
        raise CubeError(f"{name} failed: {type(error).__name__}: {error}.") from error
