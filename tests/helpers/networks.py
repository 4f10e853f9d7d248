"""Small real networks with cards, whose scores can be worked out by hand."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kappamask.models import ModelCard, load_card

BANDS = ["B02", "B03", "B04", "B08", "B10"]
CLASSES = [
    (0, "undefined", "000000"), (1, "clear", "7fb069"), (2, "cloud_shadow", "355070"),
    (3, "semi_transparent_cloud", "b8c0cc"), (4, "cloud", "ffffff"), (5, "missing", "d1495b"),
]  # fmt: skip


def brightness_network(channels: int = 6, reach: int = 1) -> bytes:
    """Make scores that follow the mean of B02 over (2 * reach + 1)² pixels.

    From dark to bright: shadow, then clear, thin, cloud.
    """
    side = 2 * reach + 1
    kernel = np.zeros((1, channels, side, side), np.float32)
    kernel[0, 0] = 1 / side**2
    centres = np.array([0.15, 0.02, 0.3, 0.6], np.float32).reshape(1, 4, 1, 1)
    nodes = [
        helper.make_node("Pad", ["image", "pads"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "kernel"], ["mean"]),
        helper.make_node("Sub", ["mean", "centres"], ["away"]),
        helper.make_node("Mul", ["away", "away"], ["squared"]),
        helper.make_node("Mul", ["squared", "sharpness"], ["logit"]),
        helper.make_node("Softmax", ["logit"], ["score"], axis=1),
    ]
    constants = {
        "kernel": kernel,
        "centres": centres,
        "sharpness": np.float32([-50.0]),
        "pads": np.array([0, 0, reach, reach, 0, 0, reach, reach], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, "y", "x"])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 4, "y", "x"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return serialise(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def serialise(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString())


def card_document(sha256: str, **properties: object) -> dict[str, object]:
    """A valid card of the brightness network: reflectance goes in as it is."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "brightness",
        "properties": {
            "mlm:name": "Brightness of B02",
            "mlm:input": [{"bands": BANDS, "value_scaling": [{"type": "scale", "value": 1.0}] * len(BANDS)}],
            "mlm:output": [
                {"classification:classes": [{"value": v, "name": n, "color_hint": c} for v, n, c in CLASSES]}
            ],
            "license": "Apache-2.0",
            "kappamask:levels": ["L1C", "L2A"],
            "kappamask:required_bands": ["B02", "B03", "B04"],
            "kappamask:fill": -2.0,
            "kappamask:level_plane": True,
            "kappamask:window": 64,
            "kappamask:overlap": 8,
            "kappamask:stride": 16,
            "kappamask:output_values": [1, 2, 3, 4],
            "kappamask:provenance": "made by a test",
            **properties,
        },
        "assets": {"weights": {"href": "./model.onnx", "file:checksum": f"1220{sha256}"}},
    }


def write_model(folder: Path, network: bytes | None = None, **properties: object) -> ModelCard:
    """A folder with card.json and model.onnx, as `kappamask models convert` writes; its card."""
    data = network or brightness_network()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    document = card_document(hashlib.sha256(data).hexdigest(), **properties)
    (folder / "card.json").write_text(json.dumps(document))
    return load_card(folder)
