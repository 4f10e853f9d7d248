"""Other tools as peers, each as its own documentation runs it, and a threshold as the floor."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, Final
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.evaluation.peers import Answer, Peer, classes_of
from kappamask.models import CubeError, MissingExtraError
from kappamask.udf.classes import CLEAR, CLOUD, MISSING, SHADOW

__all__ = ["csmask", "s2cloudless", "threshold"]

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


def threshold() -> Peer:
    """Cloud where B04 is brighter than `BRIGHT`, clear elsewhere: who is worse than this need not be run."""
    return Peer("threshold", f"B04 above {BRIGHT}", classes_of("S2cloudless"), _threshold)


def csmask() -> Peer:
    """ukis-csmask, of DLR: cloud and shadow. Raises MissingExtraError."""
    module = _imported("ukis_csmask.mask", "ukis")
    tells = frozenset(UKIS_CODES.tolist())
    return Peer("ukis-csmask", "ukis-csmask 1.0 of DLR, its own networks", tells, partial(_csmask, module.CSmask))


def s2cloudless() -> Peer:
    """s2cloudless, of Sinergise: cloud or not, pixel by pixel. Raises MissingExtraError."""
    detector = _imported("s2cloudless", "s2cloudless").S2PixelCloudDetector(**SETTINGS)
    title = "s2cloudless of Sinergise, threshold 0.4, averaged over 4 px, widened by 2 px"
    return Peer("s2cloudless", title, classes_of("S2cloudless"), partial(_s2cloudless, detector))


def _threshold(patch: Patch) -> Answer:
    (red,) = _planes(patch, ("B04",), "threshold")
    return _answer(np.where(red > BRIGHT, np.uint8(CLOUD), np.uint8(CLEAR)), red[None])


def _csmask(tool: Callable[..., Any], patch: Patch) -> Answer:
    bands = [band for band in UKIS if band in patch.bands]
    used = bands if len(bands) == len(UKIS) else [*UKIS][:UKIS_NEEDS]
    planes = _planes(patch, used, "ukis-csmask")
    image = np.ascontiguousarray(np.nan_to_num(planes).transpose(1, 2, 0))
    names = [UKIS[band] for band in used]
    with _foreign("ukis-csmask"):
        found = tool(img=image, band_order=names, nodata_value=0, product_level=patch.level.lower()).csm[..., 0]
    return _answer(UKIS_CODES[found.astype(np.uint8)], planes)


def _s2cloudless(detector: Any, patch: Patch) -> Answer:
    planes = _planes(patch, S2CLOUDLESS, "s2cloudless")
    with _foreign("s2cloudless"):
        found = detector.get_cloud_masks(np.nan_to_num(planes).transpose(1, 2, 0)[None])[0]
    return _answer(S2CLOUDLESS_CODES[found.astype(np.uint8)], planes)


def _planes(patch: Patch, bands: Sequence[str], name: str) -> Planes:
    """Reflectance (band, y, x). Raises CubeError where the patch lacks a band."""
    lacking = [band for band in bands if band not in patch.bands]
    if lacking:
        raise CubeError(f"{name} needs {', '.join(lacking)}, which the data set does not have at every scene.")
    return patch.stack(bands)


def _answer(codes: NDArray[np.uint8], planes: Planes) -> Answer:
    """`codes`, missing where a band has no data."""
    return Answer(np.where(np.isfinite(planes).all(axis=0), codes, np.uint8(MISSING)))


def _imported(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # OSError: a library of the system that it loads, as libgomp
        needed = getattr(error, "name", None) or f"{module} ({error})"
        raise MissingExtraError(f"It needs {needed}: pip install 'kappamask-openeo[{extra}]'.") from error


@contextmanager
def _foreign(name: str) -> Iterator[None]:
    """Code of others, which may fail in its own ways: a CubeError with its words. What it warns of at every patch is
    not told, for a thousand lines of it would hide all else.
    """
    try:
        with catch_warnings():
            simplefilter("ignore")
            yield
    except Exception as error:  # theirs: LightGBM's and ONNX Runtime's own are no kin of any other
        raise CubeError(f"{name} failed: {type(error).__name__}: {error}.") from error
