"""Choose the execution provider with which ONNX Runtime runs the network."""

import json
from typing import Any, Final, NamedTuple

from kappamask.models import DeviceError
from kappamask.models.hints import option

__all__ = ["DEVICES", "WINDOWS_PER_RUN", "check_device", "explain_unusable", "list_devices", "provider_of"]

DEVICES: Final = ("cpu", "cuda", "openvino", "auto")
"""Values of `MaskOptions.device`."""
WINDOWS_PER_RUN: Final = {"cuda": 8}
"""Windows of one size that a device gets at a time, where it is not one: a GPU is busy with many, a core with one."""


class _Provider(NamedTuple):
    """An execution provider of ONNX Runtime."""

    name: str
    package: str
    """Distribution of ONNX Runtime that has it; it takes the place of `onnxruntime`."""


PROVIDERS: Final = {
    "cuda": _Provider("CUDAExecutionProvider", "onnxruntime-gpu"),
    "openvino": _Provider("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}
"""Device -> provider; "auto" takes the first that is installed, else the CPU."""


def check_device(device: str) -> str:
    """Return the device that is meant: "auto" is the first whose provider is installed.

    Raises DeviceError for another word, or where ONNX Runtime has no provider for the device.
    """
    if device not in DEVICES:
        raise DeviceError(f"{option('device', device)} is unknown: known are {', '.join(DEVICES)}.")
    if device == "cpu":
        return device
    if device == "auto":
        return list_devices()[0]
    installed = _list_providers()
    if PROVIDERS[device].name not in installed:
        raise DeviceError(_explain_absent(device, installed))
    return device


def list_devices() -> list[str]:
    """List the devices for which ONNX Runtime has a provider, the fastest first."""
    installed = _list_providers()
    return [*(name for name, provider in PROVIDERS.items() if provider.name in installed), "cpu"]


def provider_of(device: str, threads: int) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of the provider of a device that `check_device` returned.

    All compute in float32, without the shorter formats that a device may use by itself: classes then agree.
    """
    if device == "cuda":
        return PROVIDERS[device].name, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    if device == "openvino":
        settings = {"INFERENCE_PRECISION_HINT": "f32"} | ({"INFERENCE_NUM_THREADS": str(threads)} if threads else {})
        return PROVIDERS[device].name, {"device_type": "CPU", "load_config": json.dumps({"CPU": settings})}
    return "CPUExecutionProvider", {}


def explain_unusable(device: str, used: list[str]) -> str:
    """Say that a provider is installed but does not start."""
    return (
        f"{PROVIDERS[device].name} is installed but did not start (ONNX Runtime would use {', '.join(used)}); "
        f"its driver or libraries are missing or of another version. {option('device', 'cpu')} needs neither."
    )


def _explain_absent(device: str, installed: list[str]) -> str:
    package = PROVIDERS[device].package
    return (
        f"{option('device', device)} needs {PROVIDERS[device].name}; this ONNX Runtime has {', '.join(installed)}. "
        f"Install it in place of the one that is there: pip uninstall -y onnxruntime {package} && pip install {package}"
    )


def _list_providers() -> list[str]:
    import onnxruntime

    return [str(name) for name in onnxruntime.get_available_providers()]
