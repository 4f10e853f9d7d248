"""Devices: absent ones are errors, and classes do not depend on them."""

import numpy as np
import onnxruntime
import pytest
import xarray as xr
from udf_chunks import chunk_cube

from kappamask.models import DeviceError
from kappamask.udf import cloud_mask, inference
from kappamask.workflows.scene_options import SceneOptions

INSTALLED = onnxruntime.get_available_providers()


def mask(**options):
    return cloud_mask(chunk_cube((96, 160)), level="L1C", radiometry="dn_harmonized", **options)


@pytest.mark.parametrize(("device", "package"), [("cuda", "onnxruntime-gpu"), ("openvino", "onnxruntime-openvino")])
def test_a_device_without_its_provider_says_what_to_install(device, package, monkeypatch):
    monkeypatch.setattr(inference, "_list_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match=f"pip install {package}"):
        mask(device=device)


def test_an_unknown_device_names_those_that_are_known():
    with pytest.raises(DeviceError, match=r"'tpu'.*cpu, cuda, openvino, auto"):
        mask(device="tpu")


@pytest.mark.parametrize(
    ("installed", "device"),
    [
        (["CPUExecutionProvider"], "cpu"),
        (["OpenVINOExecutionProvider", "CPUExecutionProvider"], "openvino"),
        (["CUDAExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"], "cuda"),
    ],
)
def test_auto_takes_the_fastest_that_is_installed(installed, device, monkeypatch):
    monkeypatch.setattr(inference, "_list_providers", lambda: installed)
    assert inference.check_device("auto") == device


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.skipif("CUDAExecutionProvider" in INSTALLED, reason="here the provider may start")
def test_a_provider_that_does_not_start_is_an_error_and_not_the_cpu_in_silence(monkeypatch):
    monkeypatch.setattr(inference, "_list_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    inference.open_session.cache_clear()
    with pytest.raises(DeviceError, match="CUDAExecutionProvider"):
        mask(device="cuda")


@pytest.mark.skipif("OpenVINOExecutionProvider" not in INSTALLED, reason="needs onnxruntime-openvino")
def test_openvino_gives_the_same_classes():
    assert (mask(device="openvino") != mask()).mean() <= 1e-4


def test_several_windows_at_a_time_give_what_single_ones_give(monkeypatch):
    """Windows of two sizes, and one without a valid pixel, among them."""
    tile = chunk_cube((240, 240))
    cube = xr.DataArray(np.tile(tile.values, (1, 5, 9)), dims=tile.dims, coords={"bands": tile.bands})
    cube[:, :, :400] = np.nan
    cube[:, 500:, 900:1100] = np.nan
    options = {"level": "L1C", "radiometry": "dn_harmonized", "scores": True}
    alone = cloud_mask(cube, **options)
    monkeypatch.setitem(inference.WINDOWS_PER_RUN, "cpu", 3)
    together = cloud_mask(cube, **options)
    assert (alone.mask == together.mask).all()
    np.testing.assert_allclose(alone.score, together.score, atol=1e-5)


def test_a_record_of_the_processor_is_as_it_was_before_there_were_devices():
    assert "device" not in SceneOptions().make_record("s3://bucket/scene.tif")
    assert "device" not in SceneOptions(device="auto").make_record("s3://bucket/scene.tif") or len(INSTALLED) > 2
