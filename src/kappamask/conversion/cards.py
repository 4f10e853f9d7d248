"""Write the card of a converted network: facts of its release and weights."""

from __future__ import annotations

import hashlib
from types import ModuleType
from typing import Any, Final

from kappamask.conversion.releases import FULL, RELEASE, Official

EXTENSIONS: Final = (
    "https://stac-extensions.github.io/mlm/v1.5.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
#: Value, name, colour and meaning, in the order of the network's outputs.
CLASSES: Final = (
    (0, "undefined", "000000", "the network's own doubt"),
    (1, "clear", "7fb069", "no cloud, no cloud shadow"),
    (2, "cloud_shadow", "355070", "ground in the shadow of a cloud"),
    (3, "semi_transparent_cloud", "b8c0cc", "cloud through which land is seen"),
    (4, "cloud", "ffffff", "opaque cloud"),
    (5, "missing", "d1495b", "no data"),
)
TITLES: Final = {"unet": "U-Net", "deeplabv3plus": "DeepLabv3+"}
#: 512 px of which the official tool keeps the middle 480.
WINDOW, OVERLAP = 512, 16
#: Of km_predict (raster_mosaic.py): zeros beyond the image, and no blending.
MOSAIC: Final = {"step": 480, "before": 0, "padding": "constant", "taper": "crop", "amount": 16}
QUANTIFICATION: Final = 10_000
SHA256_MULTIHASH: Final = "1220"


def write_document(
    data: bytes, architecture: str, level: str, release: Official, built: ModuleType, source: str
) -> dict[str, Any]:
    """Return the card as JSON.

    data: the ONNX file. source: sha256 of the HDF5 file.
    """
    properties = _build_properties(architecture, level, release, built, source)
    return build_item(f"official-{level.lower()}-{architecture}", properties, data)


def build_item(name: str, properties: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Build a STAC Item about the ONNX file `data`, stored next to it as `model.onnx`."""
    weights = {
        "href": "./model.onnx",
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


def _build_properties(
    architecture: str, level: str, release: Official, built: ModuleType, source: str
) -> dict[str, Any]:
    dims, shape = ["batch", "channel", "height", "width"], [-1, len(release.bands), -1, -1]
    largest = [value * FULL / QUANTIFICATION for value in release.largest]
    return {
        "datetime": f"{RELEASE}T00:00:00Z",
        "description": f"KappaZeta's official KappaMask weights ({level}), converted from HDF5.",
        "license": "Apache-2.0",
        "mlm:name": f"KappaMask {level} {TITLES[architecture]}",
        "mlm:architecture": TITLES[architecture],
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "ONNX",
        "mlm:pretrained": True,
        "mlm:input": [
            {
                "name": f"Sentinel-2 {level}: DN / 65535, divided by the band's largest value, not below 0",
                "bands": list(release.bands),
                "input": {"shape": shape, "dim_order": dims, "data_type": "float32"},
                "value_scaling": [
                    {"type": "min-max", "minimum": 0.0, "maximum": value, "kappamask:lower": 0.0} for value in largest
                ],
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": f"{built.HEAD} score of each class",
                "tasks": ["semantic-segmentation"],
                "result": {"shape": [-1, len(CLASSES), -1, -1], "dim_order": dims, "data_type": "float32"},
                "classification:classes": [
                    {"value": v, "name": n, "color_hint": c, "description": d} for v, n, c, d in CLASSES
                ],
            }
        ],
        "kappamask:levels": [level],
        "kappamask:required_bands": list(release.bands),
        "kappamask:fill": 0.0,
        "kappamask:level_plane": False,
        "kappamask:window": WINDOW,
        "kappamask:overlap": OVERLAP,
        "kappamask:resampling": "sinc",
        "kappamask:mosaic": MOSAIC,
        "kappamask:stride": built.STRIDE,
        "kappamask:least_side": built.LEAST_SIDE,
        "kappamask:output_values": [value for value, *_ in CLASSES],
        "kappamask:provenance": f"KappaZeta, release of {RELEASE}; sha256 of the HDF5 file {source}",
    }
