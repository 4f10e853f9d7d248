"""A message says what to type where the caller is.

That is Python, the command, or a UDF's context.
"""

import pickle

import numpy as np
import pytest
import xarray as xr
from files import geotiff

from kappamask.models import CardError, CubeError, KappaMaskError, MissingExtraError, RadiometryError, WeightsError
from kappamask.models.hints import Door, by_door, option, render_hints, use_door
from kappamask.udf import clean, cloud_mask
from kappamask.udf.chunk import apply_datacube

RGB = ["B02", "B03", "B04"]
CLOUDY = (6000, 9000)
"""Digital numbers that may hold the offset or not."""


def cube(bands: list[str] | None = RGB, dtype: str = "uint16", **attrs: object) -> xr.DataArray:
    numbers = np.random.default_rng(1).integers(*CLOUDY, (3, 64, 64)).astype(dtype)
    coords = {} if bands is None else {"bands": bands}
    return xr.DataArray(numbers, dims=("bands", "y", "x"), coords=coords, attrs=attrs)


SPELLINGS = [
    (("level", "L1C"), "level='L1C'", "--level L1C", '"level": "L1C"'),
    (("bands", ["B02", "B03"]), "bands=['B02', 'B03']", "--bands B02,B03", '"bands": ["B02", "B03"]'),
    (
        ("thresholds", {"cloud": 0.3}),
        "thresholds={'cloud': 0.3}",
        "--threshold cloud=0.3",
        '"thresholds": {"cloud": 0.3}',
    ),
    (("scores", True), "scores=True", "--scores", '"scores": true'),
    (("buffer_m",), "buffer_m", "--buffer-m", "buffer_m"),
    (("pixel_m", 10), "pixel_m=10", "--pixel-m 10", "pixel_m=10"),
]


@pytest.mark.parametrize(("asked", "python", "command", "context"), SPELLINGS)
def test_each_door_has_its_spelling(asked: tuple, python: str, command: str, context: str) -> None:
    message = f"Say {option(*asked)}, or leave {{it}}."
    for door, spelling in zip(Door, (python, command, context), strict=True):
        assert render_hints(message, door) == f"Say {spelling}, or leave {{it}}."


@pytest.mark.parametrize("kind", [CubeError, CardError, WeightsError, MissingExtraError, RadiometryError])
def test_an_error_shows_the_door_in_use_even_after_it_was_pickled(kind: type[KappaMaskError]) -> None:
    error = pickle.loads(pickle.dumps(kind(f"Unknown: {option('level', 'L1C')}.")))
    assert str(error) == "Unknown: level='L1C'."
    with use_door(Door.COMMAND):
        assert str(error) == "Unknown: --level L1C."
        assert str(CubeError(f"wrapped: {error}")) == "wrapped: Unknown: --level L1C."
    assert str(error) == "Unknown: level='L1C'."
    assert error.message(Door.CONTEXT) == 'Unknown: "level": "L1C".'


def test_a_part_that_a_context_has_no_word_for_is_as_in_python() -> None:
    assert render_hints(by_door(python="a", command="b"), Door.CONTEXT) == "a"


def test_a_door_is_left_after_an_error() -> None:
    with pytest.raises(CubeError), use_door(Door.COMMAND):
        raise CubeError("no")
    assert str(CubeError(option("scheme"))) == "scheme"


def from_python(array: xr.DataArray) -> str:
    with pytest.raises(KappaMaskError) as caught:
        cloud_mask(array)
    return str(caught.value)


def from_udf(array: xr.DataArray, context: dict) -> str:
    with pytest.raises(KappaMaskError) as caught:
        apply_datacube(array.astype("float32"), context)
    return str(caught.value)


def test_an_unknown_level_is_asked_for_at_each_door(kappamask, tmp_path) -> None:
    said = from_python(cube(radiometry="dn_harmonized"))
    assert "level='L1C'" in said and "--level" not in said
    said = from_udf(cube(), {})
    assert '"level": "L1C"' in said and "level='" not in said
    done = kappamask(
        "mask", geotiff(tmp_path / "scene.tif", names=tuple(RGB), values=cube().values), "-o", tmp_path / "m.tif"
    )
    assert done.code == 1 and "--level L1C" in done.err and "level='" not in done.err


def test_numbered_bands_are_named_at_each_door(kappamask, tmp_path) -> None:
    numbered = ["b1", "b2", "b3"]
    assert "bands=['B02', …]" in from_python(cube(numbered))
    said = from_udf(cube(None), {"level": "L1C"})
    assert '"bands": ["B02", …]' in said and "--bands" not in said and "bands=[" not in said
    path = geotiff(tmp_path / "scene_L1C.tif", names=tuple(numbered), values=cube().values)
    done = kappamask("mask", path, "-o", tmp_path / "m.tif")
    assert done.code == 1 and "--bands B02,…" in done.err and "bands=[" not in done.err


def test_a_doubtful_radiometry_is_asked_for_at_each_door(kappamask, tmp_path) -> None:
    assert "radiometry='dn_offset'" in from_python(cube(level="L1C"))
    assert '"radiometry": "dn_offset"' in from_udf(cube(), {"level": "L1C", "radiometry": "auto"})
    path = geotiff(tmp_path / "scene_L1C.tif", names=tuple(RGB), values=cube().values)
    done = kappamask("mask", path, "-o", tmp_path / "m.tif")
    assert done.code == 1 and "--radiometry dn_offset" in done.err and "radiometry='" not in done.err


def test_a_wrong_buffer_is_named_at_each_door() -> None:
    mask = xr.DataArray(np.ones((8, 8), np.uint8), dims=("y", "x"))
    with pytest.raises(CubeError, match=r"^buffer_m is -1"):
        clean(mask, buffer_m=-1)
    assert from_udf(cube(), {"level": "L1C", "buffer_m": -1}).startswith("buffer_m is -1")


def test_what_a_udf_logs_has_no_marks(caplog) -> None:
    from kappamask.udf import chunk

    chunk._given_warnings.cache_clear()
    twice = cube().astype("float32") - 9000
    apply_datacube(twice, {"level": "L1C", "radiometry": "dn_harmonized"})
    chunk._given_warnings.cache_clear()
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any('"radiometry": "dn_offset"' in message for message in warned)
    assert not any("\x1e" in message for message in warned)


@pytest.mark.parametrize(
    "name", ["\x1eno mark\x1f", '\x1e{"python": 1}\x1f', "\x1e[1]\x1f", f"\x1e{'[' * 100_000}\x1f"]
)
def test_a_name_that_looks_like_a_mark_stays_as_it_is(name: str) -> None:
    assert render_hints(f"{name} says {option('level', 'L1C')}", Door.COMMAND) == f"{name} says --level L1C"
