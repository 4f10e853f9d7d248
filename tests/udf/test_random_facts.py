"""Cubes with random facts: every mask is right, or an error says what to type.

KAPPAMASK_FUZZ_RUNS (`make fuzz`: 3000) sets how many cubes are made; the tally is printed at the end.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from doors import scene_with_clouds
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from kappamask.models import KappaMaskError
from kappamask.udf import clean, cloud_mask

RUNS = int(os.environ.get("KAPPAMASK_FUZZ_RUNS", "60"))
SIDE, HOLE = 96, np.s_[..., :20, :30]
TALLY: Counter[str] = Counter()
SUBJECTS = {
    "bands that are only numbered": "number the layers|only number",
    "an area of one number that is not declared": "in all bands, which no surface does",
    "pixels that leave the offset open": "leave it open",
    "metadata that the pixels contradict": r"read as \w+ \((?!from the pixels)|said to be",
    "an offset left in, or taken away twice": "left in|taken away twice",
    "another scale": "another scale",
}
"""What an error of a cube asks about -> words of its message, the first that fits."""
SUBSETS = {
    "three": ("B02", "B03", "B04"),
    "four": ("B02", "B03", "B04", "B08"),
    "six": ("B02", "B03", "B04", "B08", "B11", "B12"),
    "all": ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"),
}
COMMON = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22"}
ENCODINGS = {
    "reflectance": lambda values: values,
    "dn_harmonized": lambda values: values * 10_000,
    "dn_offset": lambda values: values * 10_000 + 1_000,
    "offset left in": lambda values: values + 0.1,
    "offset taken twice": lambda values: values - 0.1,
    "harmonized twice": lambda values: values * 10_000 - 1_000,
    "percents": lambda values: values * 100,
}
"""What the numbers are; the last four are faults of a preparation, which no mask should be made of."""
STATED = {
    "nothing": {},
    "radiometry": {"radiometry": None},
    "baseline 02.05": {"processing_baseline": "02.05"},
    "baseline 05.09": {"processing_baseline": "05.09"},
    "packing": {"scale_factor": 0.0001, "add_offset": -0.1},
}
Truths = dict[tuple[str, bool], np.ndarray]
WHAT_TO_TYPE = re.compile(r"radiometry=|bands=|nodata|level=|rename|declare|pixel")


@dataclass(frozen=True)
class Facts:
    """What is true of a cube, and what it says of itself."""

    subset: str
    names: str
    encoding: str
    stated: str
    dtype: str
    fill: float | None
    is_fill_declared: bool
    rows: int
    columns: int
    is_lazy: bool

    def bands(self) -> tuple[str, ...]:
        return SUBSETS[self.subset]

    def case(self) -> tuple[str, bool]:
        return self.subset, self.fill is not None


FACTS = st.builds(
    Facts,
    subset=st.sampled_from(list(SUBSETS)),
    names=st.sampled_from(["canonical", "short", "lower", "common", "numbered"]),
    encoding=st.sampled_from([*list(ENCODINGS)[:3] * 2, *list(ENCODINGS)[3:]]),
    stated=st.sampled_from(["nothing", *STATED]),
    dtype=st.sampled_from(["uint16", "int16", "int32", "float32", "float64"]),
    fill=st.sampled_from([None, 0.0, -9999.0, 65535.0, float("nan")]),
    is_fill_declared=st.booleans(),
    rows=st.sampled_from([1, -1]),
    columns=st.sampled_from([1, -1]),
    is_lazy=st.booleans(),
)


@pytest.fixture(scope="module")
def scene() -> xr.DataArray:
    """Reflectance (bands, y, x) of real ground under painted clouds."""
    cube = scene_with_clouds(192).isel(y=slice(60, 60 + SIDE), x=slice(80, 80 + SIDE))
    return cube.astype(np.float32) / np.float32(10_000)


@pytest.fixture(scope="module")
def truths(scene) -> Truths:
    """Mask with each subset of bands, with and without the hole.

    Nothing is left to doubt; masks are (y, x).
    """
    return make_truths(scene)


def make_truths(scene: xr.DataArray) -> Truths:
    holed = scene.copy(deep=True)
    holed.values[HOLE] = np.nan
    return {
        (name, has_hole): cloud_mask(cube.sel(bands=list(bands)), level="L1C", radiometry="reflectance").values
        for name, bands in SUBSETS.items()
        for has_hole, cube in ((False, scene), (True, holed))
    }


@pytest.fixture(scope="module", autouse=True)
def tally():
    yield
    print("\n" + "\n".join(f"{count:6d}  {what}" for what, count in sorted(TALLY.items())))


def spell_bands(facts: Facts) -> list[str]:
    spell = {
        "canonical": lambda band, _: band,
        "short": lambda band, _: re.sub("B0", "B", band),
        "lower": lambda band, _: band.lower(),
        "common": lambda band, _: COMMON.get(band, band),
        "numbered": lambda _, number: f"b{number}",
    }[facts.names]
    return [spell(band, number) for number, band in enumerate(facts.bands(), 1)]


def make_cube(scene: xr.DataArray, facts: Facts) -> xr.DataArray:
    """Make a cube of which the facts are true."""
    numbers = ENCODINGS[facts.encoding](scene.sel(bands=list(facts.bands())).values.astype(np.float64))
    if np.issubdtype(facts.dtype, np.integer):
        limits = np.iinfo(facts.dtype)
        numbers = np.clip(np.rint(numbers), limits.min, limits.max)
    if facts.fill is not None:
        numbers[HOLE] = facts.fill
    cube = scene.sel(bands=list(facts.bands())).copy(data=numbers.astype(facts.dtype))
    cube = cube.assign_coords(bands=spell_bands(facts)).isel(
        y=slice(None, None, facts.rows), x=slice(None, None, facts.columns)
    )
    cube.attrs = {"level": "L1C"} | STATED[facts.stated]
    if facts.stated == "radiometry":
        cube.attrs["radiometry"] = facts.encoding
    if facts.fill is not None and facts.is_fill_declared:
        cube.attrs["nodata"] = facts.fill
    cube.encoding = {}
    return cube.chunk({"y": 50, "x": 40}) if facts.is_lazy else cube


def is_possible(facts: Facts) -> bool:
    """Return whether numbers of this type can hold these facts."""
    if facts.encoding == "harmonized twice" and facts.dtype == "uint16":
        return False  # dark pixels are lost in such a file: 0 in all bands
    is_integer = np.issubdtype(facts.dtype, np.integer)
    holds_fractions = "dn" in facts.encoding or facts.encoding == "harmonized twice"
    if is_integer and not holds_fractions:
        return False
    if facts.fill is None:
        return True
    if np.isnan(facts.fill):
        return not is_integer
    return not is_integer or np.iinfo(facts.dtype).min <= facts.fill <= np.iinfo(facts.dtype).max


def judge(mask: xr.DataArray, facts: Facts, truth: np.ndarray) -> str:
    """Say what a mask is: right, or how it is wrong."""
    codes = mask.values[:: facts.rows, :: facts.columns]
    missing = np.zeros(codes.shape, bool)
    if facts.fill is not None:
        missing[HOLE] = True
    if not (codes[missing] == 5).all():
        return f"WRONG: missing pixels called {sorted(set(codes[missing].tolist()) - {5})}"
    if (codes[~missing] == 5).any():
        return "WRONG: valid pixels called missing"
    return "right" if (codes == truth).mean() > 0.97 else "WRONG: other classes"


def try_facts(scene: xr.DataArray, facts: Facts, truth: np.ndarray) -> str:
    """Make the mask of a cube with these facts, and say what came of it."""
    try:
        mask = cloud_mask(make_cube(scene, facts)).compute()
    except KappaMaskError as error:
        return name_error(error)
    return judge(mask, facts, truth)


def name_error(error: KappaMaskError) -> str:
    """Say what an error asks about, or that it does not say what to type."""
    if not WHAT_TO_TYPE.search(str(error)):
        return f"BARE ERROR: {error}"
    about = next((what for what, words in SUBJECTS.items() if re.search(words, str(error))), "other facts")
    return f"error that says what to type, {about}"


@settings(max_examples=RUNS, deadline=None, derandomize=RUNS < 1000, suppress_health_check=list(HealthCheck))
@given(facts=FACTS.filter(is_possible))
def test_a_mask_is_right_or_an_error_says_what_to_type(scene, truths, facts):
    found = try_facts(scene, facts, truths[facts.case()])
    TALLY[found.partition(":")[0]] += 1
    assert not found.startswith(("WRONG", "BARE")), (found, facts)


@settings(max_examples=RUNS, deadline=None, derandomize=RUNS < 1000, suppress_health_check=list(HealthCheck))
@given(facts=FACTS.filter(is_possible), other=st.sampled_from(list(ENCODINGS)))
def test_dates_of_different_facts_are_each_right_or_refused(scene, truths, facts, other):
    second = replace(facts, encoding=other)
    assume(is_possible(second))
    dates = [make_cube(scene, one) for one in (facts, second)]
    try:
        mask = cloud_mask(xr.concat(dates, "t", combine_attrs="drop_conflicts")).compute()
    except KappaMaskError as error:
        found = [name_error(error)]
    else:
        found = [judge(one, facts, truths[facts.case()]) for one in mask]
    TALLY.update(f"two dates: {one.partition(':')[0]}" for one in found)
    assert not [one for one in found if one.startswith(("WRONG", "BARE"))], (found, facts, other)


UNITS = {32631: 1.0, 32733: 1.0, 2263: 1200 / 3937, 2222: 0.3048}
"""EPSG code -> metres of its unit."""


@settings(max_examples=RUNS, deadline=None, derandomize=RUNS < 1000, suppress_health_check=list(HealthCheck))
@given(
    epsg=st.sampled_from([None, *UNITS]),
    pixel_m=st.sampled_from([5.0, 10.0, 20.0, 25.0, 30.0, 60.0]),
    buffer_m=st.integers(10, 200),
    rows=st.sampled_from([1, -1]),
    is_lazy=st.booleans(),
)
def test_a_buffer_is_in_metres_or_an_error_asks_for_the_pixel(epsg, pixel_m, buffer_m, rows, is_lazy):
    codes = np.where(np.random.default_rng(buffer_m).random((64, 64)) < 0.004, 4, 1).astype(np.uint8)
    side = pixel_m / UNITS.get(epsg, 1.0)
    coords = {"y": 2e5 - rows * side * np.arange(64), "x": 4e5 + side * np.arange(64)}
    mask = xr.DataArray(codes, dims=("y", "x"), coords=coords)
    mask = mask if epsg is None else mask.rio.write_crs(epsg)
    away = np.hypot(*np.ogrid[-64:65, -64:65])[:, :] * pixel_m <= buffer_m
    expected = np.where(binary_dilation(codes == 4, away), 4, 1)
    try:
        found = clean(mask.chunk(y=30, x=40) if is_lazy else mask, buffer_m=buffer_m).values
    except KappaMaskError as error:
        message = str(error)
    else:
        TALLY["buffer: right"] += 1
        np.testing.assert_array_equal(found, expected)
        return
    TALLY["buffer: error that says what to type"] += 1
    assert epsg is None and "pixel_m" in message


def test_the_oracle_knows_a_wrong_mask(truths):
    facts = Facts("six", "canonical", "reflectance", "nothing", "float32", None, False, 1, 1, False)
    shifted = xr.DataArray(np.roll(truths["six", False], 30, axis=1), dims=("y", "x"))
    assert judge(shifted, facts, truths["six", False]).startswith("WRONG")
    right = truths["six", False]
    assert judge(xr.DataArray(right, dims=("y", "x")), facts, right) == "right"
