"""Open each competitor once and mask arrays, uint16 (13, y, x), L1C.

Each does what its own documentation shows, on all cores.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import SENTINEL2_BANDS, ModelCard, load_card

BANDS: Final = SENTINEL2_BANDS[:13]
Array = NDArray[np.uint16]
Run = Callable[[Array], Any]
#: Window and step of the official tool: 512 px with 2 x 16 px of overlap.
OFFICIAL_SIDE, OFFICIAL_STEP = 512, 480
#: Where `random_weights` puts the official network.
OFFICIAL: Final = "official-l1c-unet/model.onnx"


def cube(array: Array) -> xr.DataArray:
    """The array with the labels that `cloud_mask` wants."""
    return xr.DataArray(array, dims=("bands", "y", "x"), coords={"bands": list(BANDS)})


def compact(_: Path) -> Run:
    """Our network through `cloud_mask`, windows, blending and all."""
    return _mask_windows(load_card("compact"))


def compact_int8(folder: Path) -> Run:
    """The same with convolutions of eight bits, which `prepare` has put into `folder`."""
    card, path = load_card("compact"), folder / "int8.onnx"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return _mask_windows(dataclasses.replace(card, file=path.name, sha256=sha256, folder=folder))


def official(folder: Path) -> Run:
    """Open the official U-Net with random weights, in its own tool's windows.

    It is converted with plain convolutions.
    """
    session = open_session(folder / OFFICIAL)

    def run(array: Array) -> None:
        for window in windows(array):
            scaled = window[None].astype(np.float32) / np.float32(1e4)
            session.run(None, {"image": scaled})[0].argmax(axis=1)

    return run


def ukis(_: Path) -> Run:
    """ukis-csmask with six bands, as its README runs it."""
    from ukis_csmask.mask import CSmask

    order = ["blue", "green", "red", "nir", "swir16", "swir22"]
    index = [BANDS.index(band) for band in ("B02", "B03", "B04", "B08", "B11", "B12")]

    def run(array: Array) -> Any:
        image = np.ascontiguousarray((array[index] / np.float32(1e4)).transpose(1, 2, 0))
        return CSmask(img=image, band_order=order, nodata_value=0, product_level="l1c").csm

    return run


def s2cloudless(_: Path) -> Run:
    """s2cloudless with its defaults, every pixel asked."""
    from s2cloudless import S2PixelCloudDetector

    detector = S2PixelCloudDetector(threshold=0.4, average_over=4, dilation_size=2, all_bands=True)
    return lambda array: detector.get_cloud_masks((array / np.float32(1e4)).transpose(1, 2, 0)[None])


#: Name, how it is opened, the ONNX file whose multiply-adds are counted, what it gives.
COMPETITORS: Final[dict[str, tuple[Callable[[Path], Run], str | None, str]]] = {
    "compact": (compact, "compact.onnx", "4 classes"),
    "compact int8": (compact_int8, "compact.onnx", "4 classes"),
    "official U-Net": (official, OFFICIAL, "6 classes, random weights"),
    "ukis-csmask": (ukis, "ukis.onnx", "cloud, shadow"),
    "s2cloudless": (s2cloudless, None, "cloud"),
}


def windows(array: Array) -> Iterator[Array]:
    """The official tool's windows, mirrored at the end."""
    pads = ((0, 0), *((16, 16 + -n % OFFICIAL_STEP) for n in array.shape[1:]))
    padded = np.pad(array, pads, mode="symmetric")
    for y in range(0, padded.shape[1] - OFFICIAL_STEP, OFFICIAL_STEP):
        for x in range(0, padded.shape[2] - OFFICIAL_STEP, OFFICIAL_STEP):
            yield padded[:, y : y + OFFICIAL_SIDE, x : x + OFFICIAL_SIDE]


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime on all cores."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _mask_windows(card: ModelCard) -> Run:
    from kappamask.udf import cloud_mask, inference

    inference.open_session(card, 0)
    return lambda array: cloud_mask(cube(array), model=card, level="L1C", radiometry="dn_harmonized")
