"""Write the card of a converted network: facts of its release and weights.

What the weights lack is of KappaZeta's release of 2022-09-13 (data_generator.py of km_predict): the order of the bands
and their largest values. Inputs are DN / 65535 / max, negatives become 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kappamask.models import SENTINEL2_BANDS
from kappamask.models.card_document import DEFAULT_COLORS, DIMENSIONS, EXTENSIONS, SHA256_MULTIHASH

if TYPE_CHECKING:
    from kappamask.conversion.official_architectures import Architecture  # needs onnx, which cards do not

__all__ = [
    "OFFICIAL",
    "RELEASE",
    "TASK",
    "Official",
    "build_item",
    "describe_input",
    "describe_output",
    "list_classes",
    "list_maxima",
    "write_document",
]

RELEASE: Final = "2022-09-13"
FULL: Final = 65535
"""What digital numbers are divided by."""
L1C: Final = SENTINEL2_BANDS[:13]
L2A: Final = ("AOT", *(band for band in L1C if band != "B10"), "WVP")
#: Value, name, colour and meaning, in the order of the network's outputs.
CLASSES: Final = (
    (0, "undefined", DEFAULT_COLORS[0], "the network's own doubt"),
    (1, "clear", DEFAULT_COLORS[1], "no cloud, no cloud shadow"),
    (2, "cloud_shadow", DEFAULT_COLORS[2], "ground in the shadow of a cloud"),
    (3, "semi_transparent_cloud", DEFAULT_COLORS[3], "cloud through which land is seen"),
    (4, "cloud", DEFAULT_COLORS[4], "opaque cloud"),
    (5, "missing", DEFAULT_COLORS[5], "no data"),
)
TITLES: Final = {"unet": "U-Net", "deeplabv3plus": "DeepLabv3+"}
#: 512 px of which the official tool keeps the middle 480.
WINDOW, OVERLAP = 512, 16
#: Of km_predict (raster_mosaic.py): zeros beyond the image, and no blending.
MOSAIC: Final = {"step": 480, "before": 0, "padding": "constant", "taper": "crop", "amount": 16}
QUANTIFICATION: Final = 10_000
TASK: Final[dict[str, Any]] = {
    "mlm:tasks": ["semantic-segmentation"],
    "mlm:framework": "ONNX",
    "mlm:pretrained": True,
}


@dataclass(frozen=True)
class Official:
    """An official network: its bands in order, and for each the largest DN / 65535."""

    bands: tuple[str, ...]
    largest: tuple[float, ...]

    def __post_init__(self) -> None:
        assert len(self.bands) == len(self.largest)


# fmt: off
OFFICIAL: Final = {
    ("unet", "L1C"): Official(L1C, (
        0.21, 0.326, 0.264, 0.298, 0.245, 0.258, 0.266, 0.364, 0.259, 0.165, 0.055, 0.203, 0.208,
    )),
    ("unet", "L2A"): Official(tuple(band for band in L2A if band != "B07"), (
        0.003906309604644775, 0.2833447754383087, 0.27905699610710144, 0.2668497860431671, 0.2558480203151703,
        0.250980406999588, 0.24597543478012085, 0.24182498455047607, 0.24206912517547607, 0.2535133957862854,
        0.2232242375612259, 0.23524834215641022, 0.07557793706655502,
    )),
    ("deeplabv3plus", "L1C"): Official(L1C, (
        0.2065003365278244, 0.3510643243789673, 0.3327534794807434, 0.3624475598335266, 0.29547569155693054,
        0.29562827944755554, 0.29103532433509827, 0.3791866898536682, 0.2850232720375061, 0.18451209366321564,
        0.0799115002155304, 0.24786755442619324, 0.24827954173088074,
    )),
    ("deeplabv3plus", "L2A"): Official(L2A, (
        0.010711833834648132, 0.32552072405815125, 0.3022507131099701, 0.28221559524536133, 0.2690470814704895,
        0.27560845017433167, 0.2571450471878052, 0.2557412087917328, 0.2529335618019104, 0.2544899582862854,
        0.2657511234283447, 0.2381628155708313, 0.2401922643184662, 0.14035248756408691,
    )),
}
# fmt: on


def write_document(
    data: bytes, architecture: str, level: str, release: Official, built: Architecture, source: str
) -> dict[str, Any]:
    """Return the card as JSON.

    data: the ONNX file. source: sha256 of the HDF5 file.
    """
    properties = _build_properties(architecture, level, release, built, source)
    return build_item(f"official-{level.lower()}-{architecture}", properties, data)


def build_item(name: str, properties: dict[str, Any], data: bytes, file: str = "model.onnx") -> dict[str, Any]:
    """Build a STAC Item about the ONNX file `data`, stored next to it as `file`."""
    weights = {
        "href": f"./{file}",
        "type": "application/octet-stream; framework=onnx",
        "roles": ["mlm:model"],
        "file:checksum": SHA256_MULTIHASH + hashlib.sha256(data).hexdigest(),
        "file:size": len(data),
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(EXTENSIONS),
        "id": name,
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": {"weights": weights},
    }


def describe_input(
    name: str, bands: Sequence[str], scaling: Sequence[dict[str, Any]], channels: int | None = None
) -> dict[str, Any]:
    """Describe the input of a network in the words of the MLM extension.

    channels: with those that are no bands; left out, one for each band.
    """
    shape = [-1, channels or len(bands), -1, -1]
    return {
        "name": name,
        "bands": list(bands),
        "input": {"shape": shape, "dim_order": list(DIMENSIONS), "data_type": "float32"},
        "value_scaling": list(scaling),
        "pre_processing_function": None,
    }


def describe_output(name: str, classes: Sequence[dict[str, Any]], channels: int) -> dict[str, Any]:
    """Describe the scores of a network in the words of the MLM extension."""
    return {
        "name": name,
        "tasks": ["semantic-segmentation"],
        "result": {"shape": [-1, channels, -1, -1], "dim_order": list(DIMENSIONS), "data_type": "float32"},
        "classification:classes": list(classes),
    }


def list_classes(codes: Iterable[int]) -> list[dict[str, Any]]:
    """List the rows of `CLASSES` with these codes as a card has them."""
    wanted = {*codes}
    return [{"value": v, "name": n, "color_hint": c, "description": d} for v, n, c, d in CLASSES if v in wanted]


def _build_properties(
    architecture: str, level: str, release: Official, built: Architecture, source: str
) -> dict[str, Any]:
    name = f"Sentinel-2 {level}: DN / {FULL}, divided by the band's largest value, not below 0"
    codes = [value for value, *_ in CLASSES]
    return {
        "datetime": f"{RELEASE}T00:00:00Z",
        "description": f"KappaZeta's official KappaMask weights ({level}), converted from HDF5.",
        "license": "Apache-2.0",
        "mlm:name": f"KappaMask {level} {TITLES[architecture]}",
        "mlm:architecture": TITLES[architecture],
        **TASK,
        "mlm:input": [describe_input(name, release.bands, _list_scalings(release))],
        "mlm:output": [describe_output(f"{built.head} score of each class", list_classes(codes), len(codes))],
        "kappamask:levels": [level],
        "kappamask:required_bands": list(release.bands),
        "kappamask:fill": 0.0,
        "kappamask:level_plane": False,
        "kappamask:window": WINDOW,
        "kappamask:overlap": OVERLAP,
        "kappamask:resampling": "sinc",
        "kappamask:mosaic": MOSAIC,
        "kappamask:stride": built.stride,
        "kappamask:least_side": built.least_side,
        "kappamask:output_values": codes,
        "kappamask:provenance": f"KappaZeta, release of {RELEASE}; sha256 of the HDF5 file {source}",
    }


def _list_scalings(release: Official) -> list[dict[str, Any]]:
    return [
        {"type": "min-max", "minimum": 0.0, "maximum": value, "kappamask:lower": 0.0} for value in list_maxima(release)
    ]


def list_maxima(release: Official) -> list[float]:
    """List the largest value of each band, in reflectance."""
    return [value * FULL / QUANTIFICATION for value in release.largest]
