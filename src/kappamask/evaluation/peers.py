"""Open masks to compare, under one interface: networks, other tools, rasters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.evaluation.metrics import CLASSES
from kappamask.models import CardError, CubeError, ModelCard, SceneError, WeightsError, load_card
from kappamask.models.errors import missing_extra
from kappamask.models.schemes import find_scheme, is_kappamask, scheme_names
from kappamask.scenes import read_mask
from kappamask.scenes.writers.masks import MASK_SUFFIXES
from kappamask.udf import from_scheme
from kappamask.udf.schemes import CLEAR, CLOUD, MISSING, SHADOW

__all__ = [
    "Answer",
    "Peer",
    "list_classes",
    "make_csmask_peer",
    "make_s2cloudless_peer",
    "make_threshold_peer",
    "open_peer",
    "read_rasters",
    "repeat_to_shape",
]

ALL: Final = frozenset(CLASSES.values())
_FETCHED: Final = [f"official-{level}-{kind}" for level in ("l1c", "l2a") for kind in ("unet", "deeplabv3plus")]
WEIGHTS: Final = {name: f"kappamask models fetch {name}" for name in _FETCHED} | {
    "dl-l8s2-uv": "kappamask models convert landsatbiomeRGBISWIR7.hdf5 --architecture dl-l8s2-uv --level L1C -o uv/, "
    "the file being that of github.com/IPL-UV/DL-L8S2-UV, dl_l8s2_uv/weights, and name uv/ as the peer",
}
"""Networks that the package does not hold -> how their weights come here."""
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
    if scheme := {known.casefold(): known for known in scheme_names()}.get(name.casefold()):
        return _open_rasters(scheme, Path(folder) if folder else data)
    try:
        return _open_card(load_card(spec))
    except CardError as error:
        if spec in WEIGHTS:
            raise WeightsError(f"Its weights are not here: {WEIGHTS[spec]}.") from error
        if Path(spec).exists():
            raise WeightsError(str(error)) from error
        known = ", ".join([*_list_tools(), *scheme_names(), *WEIGHTS])
        raise SceneError(f"No peer {spec!r}: known are {known}, SCHEME=FOLDER, and networks. {error}") from error


def list_classes(scheme: str) -> frozenset[int]:
    """List the KappaMask classes 1 to 4 that a mask in this scheme distinguishes."""
    return ALL if is_kappamask(scheme) else ALL & {*find_scheme(scheme).classes_by_code.values()}


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
    """A reader of a patch's mask: PATCH_SCHEME.tif (or .nc), or PATCH.tif, anywhere under `folder`.

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
        codes = from_scheme(read_mask(path), scheme)
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
    """Reflectance (band, y, x). Raises CubeError where the patch lacks a band."""
    lacking = [band for band in bands if band not in patch.bands]
    if lacking:
        raise CubeError(f"{name} needs {', '.join(lacking)}, which the data set does not have at every scene.")
    return patch.stack(bands)


def _to_answer(codes: NDArray[np.uint8], planes: Planes) -> Answer:
    """`codes`, missing where a band has no data."""
    return Answer(np.where(np.isfinite(planes).all(axis=0), codes, np.uint8(MISSING)))


def _import_or_explain(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # OSError: a library of the system that it loads, as libgomp
        needed = getattr(error, "name", None) or f"{module} ({error})"
        raise missing_extra(needed, extra, user="It") from error


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
