"""Convert DL_L8S2_UV, the U-Net of the University of Valencia: cloud or clear.

After its repository (IPL-UV/DL-L8S2-UV, model.py and utils.py; Lopez-Puigdollers, Mateo-Garcia and Gomez-Chova 2021),
MIT licence. Its bands are reflectance of Level-1C; the first layer, frozen, takes off their mean. That layer is called
`normalization` in the two published files, and `normalization_cloud` by the repository's code.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np

from kappamask.conversion.cards import TASK, build_item, describe_input, describe_output, list_classes
from kappamask.conversion.keras_file import Layer, read_layers
from kappamask.conversion.official_architectures import Architecture
from kappamask.conversion.onnx_graph import Convolution, Graph, Norm, WeightReader, to_onnx_kernel
from kappamask.files.download import hash_file
from kappamask.models.card import MISSING_CODE
from kappamask.models.errors import ConversionError

__all__ = [
    "ARCHITECTURE",
    "FILES",
    "LEVEL",
    "NAME",
    "add_network",
    "convert_weights",
]

NAME: Final = "dl-l8s2-uv"
LEVEL: Final = "L1C"
HEAD: Final = "sigmoid"
BANDS: Final = {4: ("B02", "B03", "B04", "B08"), 6: ("B02", "B03", "B04", "B08", "B11", "B12")}
"""Input channels -> bands."""
FILES: Final = {4: "landsatbiomeRGBI6.hdf5", 6: "landsatbiomeRGBISWIR7.hdf5"}
"""Input channels -> the published file."""
SCALING: Final = ("normalization", "normalization_cloud")
"""Names of the layer that scales the bands: in the published files, and in what the repository's code writes today."""
BLOCKS: Final = ("input", "pool1", "pool2", "up1", "up2")
WIDTHS: Final = (32, 64, 128)
LAYERS: Final = {
    SCALING[0]: 1, "upconv1": 1, "upconv2": 1, "linear_model": 1,
    **{f"{block}_{kind}": 2 for block in BLOCKS for kind in ("conv", "bn")},
}  # fmt: skip
"""Layers that the file must hold, by the beginning of their names."""
STRIDE: Final = 8
"""Its tool pads to multiples of 8, though two halvings need 4 only."""
WINDOW, LOCAL_WINDOW, OVERLAP = 544, 1056, 16
"""Its tool's patches are 1024 px and 16 px at each side; for workers half as large."""
OUTPUT_CODES: Final = (1, 4)
"""Clear and cloud: its probability of cloud is held against 0.5."""


def convert_weights(weights: Path, level: str) -> tuple[bytes, dict[str, Any]]:
    """Convert the HDF5 file `weights` to an ONNX file and a card.

    The number of bands follows from the file.

    Raises ConversionError if the file is damaged or of another network, or the level is not L1C.
    """
    if level != LEVEL:
        raise ConversionError(f"{NAME} is for {LEVEL} only, not {level}.")
    layers = _rename_scaling(read_layers(weights))
    bands, reader, graph = _choose_bands(weights.name, layers), WeightReader(weights.name, layers, LAYERS), Graph()
    source = hash_file(weights)
    facts = {"source_sha256": source, "architecture": NAME, "level": LEVEL, "head": HEAD}
    data = graph.model(add_network(graph, reader, len(bands)), len(bands), len(OUTPUT_CODES), facts).SerializeToString()
    return data, build_item(f"{NAME}-{len(bands)}b", _build_properties(bands, source), data)


def add_network(graph: Graph, reader: WeightReader, channels: int) -> str:
    """Add the network behind the input `image` (n, channels, y, x).

    Returns scores of clear and cloud, sum 1.
    """
    w = reader.next_layer(SCALING[0], kernel=(1, 1, channels, channels), bias=(channels,))
    first = _add_block(
        graph, reader, "input", graph.convolution("image", to_onnx_kernel(w["kernel"]), w["bias"]), channels, 0
    )
    second = _add_block(graph, reader, "pool1", _halve_image(graph, first), WIDTHS[0], 1)
    third = _add_block(graph, reader, "pool2", _halve_image(graph, second), WIDTHS[1], 2)
    up = graph.concatenate(_double_image(graph, reader, "upconv1", third, 2), second)
    fourth = _add_block(graph, reader, "up1", up, WIDTHS[2], 1)
    up = graph.concatenate(_double_image(graph, reader, "upconv2", fourth, 1), first)
    last = _add_block(graph, reader, "up2", up, WIDTHS[1], 0)
    w = reader.next_layer("linear_model", kernel=(1, 1, WIDTHS[0], 1), bias=(1,))
    cloud = graph.add("Sigmoid", graph.convolution(last, to_onnx_kernel(w["kernel"]), w["bias"]))
    return graph.concatenate(graph.add("Sub", graph.constant(np.ones(1, np.float32)), cloud), cloud)


def _rename_scaling(layers: dict[str, list[Layer]]) -> dict[str, list[Layer]]:
    """Give the scaling layer its published name, whichever of the two it has."""
    out: dict[str, list[Layer]] = {}
    for kind, found in layers.items():
        out.setdefault(SCALING[0] if kind in SCALING else kind, []).extend(found)
    return out


def _choose_bands(name: str, layers: dict[str, list[Layer]]) -> tuple[str, ...]:
    """Choose the bands of the file `name` by the channels of its scaling layer."""
    found = [layer.weights["bias"].size for layer in layers.get(SCALING[0], ()) if "bias" in layer.weights]
    if len(found) == 1 and found[0] in BANDS:
        return BANDS[found[0]]
    given = f"one of {' and '.join(map(str, found))} bands" if found else f"no layer named {' or '.join(SCALING)}"
    raise ConversionError(
        f"{name} holds {given}; needed is a DL_L8S2_UV network of 4 or 6 bands, {' or '.join(FILES.values())}; "
        "of KappaZeta's weights name --architecture unet or deeplabv3plus."
    )


def _add_block(graph: Graph, reader: WeightReader, block: str, x: str, inputs: int, level: int) -> str:
    """Add two separable convolutions, each with its normalisation in the pointwise part."""
    outputs = WIDTHS[level]
    for size in (inputs, outputs):
        shapes = {"depthwise_kernel": (3, 3, size, 1), "pointwise_kernel": (1, 1, size, outputs), "bias": (outputs,)}
        w = reader.next_layer(f"{block}_conv", **shapes)
        norm = Norm.read(reader, outputs, f"{block}_bn")
        depthwise = w["depthwise_kernel"].transpose(2, 3, 0, 1)
        x = graph.convolution(x, depthwise, group=size, pads=[1, 1, 1, 1])
        x = graph.relu(Convolution(to_onnx_kernel(w["pointwise_kernel"]), w["bias"]).fold_norm(norm).apply(graph, x))
    return x


def _halve_image(graph: Graph, x: str) -> str:
    return graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])


def _double_image(graph: Graph, reader: WeightReader, name: str, x: str, level: int) -> str:
    """Add a transposed convolution of 2 x 2 pixels: each pixel becomes four."""
    inputs, outputs = WIDTHS[level], WIDTHS[level - 1]
    w = reader.next_layer(name, kernel=(2, 2, outputs, inputs), bias=(outputs,))
    tensors = [graph.constant(to_onnx_kernel(w["kernel"])), graph.constant(w["bias"])]
    return graph.add("ConvTranspose", x, *tensors, kernel_shape=[2, 2], strides=[2, 2])


def _build_properties(bands: tuple[str, ...], source: str) -> dict[str, Any]:
    classes = list_classes((*OUTPUT_CODES, MISSING_CODE))
    return {
        "datetime": "2021-03-06T00:00:00Z",
        "description": "DL_L8S2_UV, converted from HDF5: cloud or clear, trained on Landsat 8.",
        "license": "MIT",
        "mlm:name": f"DL_L8S2_UV, {len(bands)} bands",
        "mlm:architecture": "U-Net of separable convolutions",
        **TASK,
        "mlm:input": [
            describe_input("Sentinel-2 L1C reflectance", bands, [{"type": "scale", "value": 1.0}] * len(bands))
        ],
        "mlm:output": [describe_output("probability of clear and of cloud", classes, len(OUTPUT_CODES))],
        "kappamask:levels": [LEVEL],
        "kappamask:required_bands": list(bands),
        "kappamask:fill": 0.0,
        "kappamask:level_plane": False,
        "kappamask:window": WINDOW,
        "kappamask:local_window": LOCAL_WINDOW,
        "kappamask:overlap": OVERLAP,
        "kappamask:stride": STRIDE,
        "kappamask:output_values": list(OUTPUT_CODES),
        "kappamask:provenance": f"University of Valencia, IPL-UV/DL-L8S2-UV; sha256 of the HDF5 file {source}",
    }


ARCHITECTURE: Final = Architecture(add_network, LAYERS, HEAD, stride=STRIDE, least_side=STRIDE)
