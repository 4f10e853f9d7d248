"""Readers of the published data sets, on tiny files of their exact formats."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed (pip install 'kappamask-openeo[datasets]')")

from labelled import L1C, cloudsen12, kappazeta

from kappamask.datasets import DATASETS, arrays, open_dataset
from kappamask.datasets.patch import assign_split
from kappamask.models import SceneError

NORTH = "S2A_MSIL1C_20200529T094041_N0209_R036_T35VLF_20200529T101010_tile_3_18.nc"
LABELS = np.array([[0, 1, 2, 3], [4, 5, 1, 1]], np.uint8)


def numbers(bands: int = 13, shape: tuple[int, int] = (2, 4)) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(1, 12000, (bands, *shape), dtype=np.uint16)


@pytest.mark.parametrize("name", ["kappaset", "kappazeta-north"])
def test_kappazeta_files_come_as_reflectance_and_codes(tmp_path: Path, name: str) -> None:
    dn = numbers()
    dn[:, 1, 3] = 0
    kappazeta(tmp_path / "May" / NORTH, dn, LABELS)
    patches = open_dataset(name, tmp_path)
    assert len(patches) == 1
    patch = patches[0]
    assert patch.bands == L1C and patch.level == "L1C" and patch.group == "T35VLF_20200529T101010"
    expected = np.where((dn == 0).all(axis=0), np.nan, dn / 1e4)
    np.testing.assert_allclose(patch.reflectance, expected, atol=5e-5)
    np.testing.assert_array_equal(patch.truth, [[0, 1, 2, 3], [4, 0, 1, 0]])
    assert not patch.merges_thin


def test_an_offset_is_taken_away_where_the_baseline_says_so(tmp_path: Path) -> None:
    dn = numbers() + np.uint16(1000)
    kappazeta(tmp_path / NORTH.replace("N0209", "N0400"), dn, LABELS)
    np.testing.assert_allclose(open_dataset("kappaset", tmp_path)[0].reflectance, (dn - 1000.0) / 1e4, atol=5e-5)


def test_cloudsen12_is_read_where_it_lies(tmp_path: Path) -> None:
    image, labels = numbers(), np.array([[0, 1, 2, 3], [99, 0, 0, 1]], np.uint8)
    image[:, 1, 0] = 99
    rows = {"roi_id": "ROI_0001", "tortilla:data_split": "test"}
    patches = {
        "a": (image, labels, rows),
        "b": (image + 1, labels, rows | {"tortilla:data_split": "train"}),
        "scribble": (image, labels, rows | {"label_type": "scribble"}),
        "large": (image, labels, rows | {"real_proj_shape": 2000}),
    }
    cloudsen12(tmp_path / "cloudsen12-l1c.0000.part.taco", patches)
    found = open_dataset("cloudsen12", tmp_path)
    assert [patch.name for patch in found] == ["a_L1C", "b_L1C"]
    assert [patch.name for patch in found.part("train")] == ["b_L1C"] and len(found.part("validation")) == 0
    patch = found[0]
    assert (patch.level, patch.bands, patch.split, patch.group) == ("L1C", L1C, "test", "ROI_0001")
    np.testing.assert_array_equal(patch.truth, [[1, 4, 3, 2], [0, 1, 1, 4]])
    np.testing.assert_allclose(patch.reflectance[:, 0], image[:, 0] / 1e4, rtol=1e-6)
    assert np.isnan(patch.reflectance[:, 1, 0]).all() and np.isfinite(patch.reflectance[:, 1, 1:]).all()


def test_what_the_format_s_own_writer_wrote_is_read() -> None:
    """Golden file of tacotoolbox 0.3.3, see tools/goldens/taco.py.

    Image and labels of `a`, then of `b`, from seed 0.
    """
    rng = np.random.default_rng(0)
    images = [rng.integers(1, 12000, (13, 8, 8), dtype=np.uint16) for _ in "ab"]
    found = open_dataset("cloudsen12", Path(__file__).with_name("tacotoolbox.taco"))
    assert [(patch.name, patch.split, patch.group) for patch in found] == [
        ("a_L1C", "test", "ROI_a"), ("b_L1C", "train", "ROI_b"),
    ]  # fmt: skip
    for patch, image in zip(found, images, strict=True):
        np.testing.assert_allclose(patch.reflectance, image / 1e4, rtol=1e-6)
        np.testing.assert_array_equal(patch.truth, np.array([1, 4, 3, 2])[np.arange(64) % 4].reshape(8, 8))
        assert patch.tags == {"low_sun": False}, "place and time are where the writer puts them"


def test_level_2a_has_no_cirrus_band_and_keeps_its_by_products(tmp_path: Path) -> None:
    image = numbers(14)
    cloudsen12(tmp_path / "l2a.taco", {"a": (image, np.zeros((2, 4), np.uint8), {})})
    patch = open_dataset("cloudsen12", tmp_path)[0]
    assert patch.level == "L2A" and "B10" not in patch.bands and len(patch.reflectance) == len(patch.bands) == 14
    assert patch.bands[-2:] == ("AOT", "WVP"), "KappaZeta's networks of Level-2A need them"
    np.testing.assert_allclose(patch.reflectance[12:], image[12:] / 1e4, rtol=1e-6)
    stack = patch.stack(L1C)
    assert np.isnan(stack[10]).all()
    np.testing.assert_allclose(stack[12], image[11] / 1e4, rtol=1e-6)


def test_cloudsen12_tells_of_a_low_sun_where_it_has_place_and_time(tmp_path: Path) -> None:
    one, place = (numbers(), np.zeros((2, 4), np.uint8)), {"stac:centroid": "POINT (24.75 59.4)"}
    seconds = {"winter": 1545388800.0, "summer": 1529576400.0, "unknown": None}
    cloudsen12(tmp_path / "a.taco", {name: (*one, place | {"stac:time_start": at}) for name, at in seconds.items()})
    tags = {patch.name: dict(patch.tags) for patch in open_dataset("cloudsen12", tmp_path)}
    assert tags == {"winter_L1C": {"low_sun": True}, "summer_L1C": {"low_sun": False}, "unknown_L1C": {}}


def test_own_archives(tmp_path: Path) -> None:
    dn = numbers(3).transpose(1, 2, 0)
    np.savez(tmp_path / "labelled_field.npz", dn=dn, bands=["B02", "B03", "B04"], gt_kappa=LABELS % 5)
    patch = open_dataset("arrays", tmp_path)[0]
    assert patch.bands == ("B02", "B03", "B04") and not patch.merges_thin
    np.testing.assert_allclose(patch.reflectance, dn.transpose(2, 0, 1) / 1e4, rtol=1e-6)


def test_a_product_is_in_one_part_only_and_the_parts_are_as_large_as_planned() -> None:
    parts = [assign_split(f"T35VLF_{i}") for i in range(4000)]
    shares = [parts.count(name) / 4000 for name in ("train", "validation", "test")]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.02)
    assert assign_split("T35VLF_1") == assign_split("T35VLF_1")


def test_both_sets_of_kappazeta_have_a_tile_in_the_same_part() -> None:
    dates = ["20200529T094041", "20200601T094041", "20190701T094041"]
    names = [Path(f"S2A_MSIL1C_{date}_N0209_R036_T35VLF_{date}_tile_1_1.nc") for date in dates]
    parts = {DATASETS[data].split(name) for data in ("kappaset", "kappazeta-north") for name in names}
    assert len(parts) == 1, "a tile that one is trained on is never in the other's test part"


def test_patches_are_cut_like_a_list(tmp_path: Path) -> None:
    for i in range(4):
        kappazeta(tmp_path / NORTH.replace("tile_3", f"tile_{i}"), numbers(), LABELS)
    patches = open_dataset("kappaset", tmp_path)
    assert [p.name for p in patches[1:3]] == [patches[1].name, patches[2].name]
    assert sum(len(patches.part(name)) for name in ("train", "validation", "test")) == 4
    assert max(len(patches.part(name)) for name in ("train", "validation", "test")) == 4


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda good: b"text", "not a tortilla"),
        (lambda good: good[: len(good) // 2], "cut off"),
        (lambda good: good[:10] + (2**40).to_bytes(8, "little") + good[18:], "not a tortilla"),
        (lambda good: good[:-40] + b"\0" * 40, "table cannot be read"),
    ],
)
def test_damaged_taco_files_are_refused(tmp_path: Path, damage, message: str) -> None:
    path = cloudsen12(tmp_path / "a.taco", {"a": (numbers(), np.zeros((2, 4), np.uint8), {})})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SceneError, match=message):
        open_dataset("cloudsen12", tmp_path)


def test_a_damaged_image_is_refused(tmp_path: Path) -> None:
    path = cloudsen12(tmp_path / "a.taco", {"a": (numbers(), np.zeros((2, 4), np.uint8), {})})
    whole = path.read_bytes()
    at = whole.index(b"II*\0")
    path.write_bytes(whole[:at] + b"GIF8" + whole[at + 4 :])
    with pytest.raises(SceneError, match="cannot be read as GeoTIFF"):
        open_dataset("cloudsen12", tmp_path)[0]


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="No data set 'kappa'; known are kappaset"):
        open_dataset("kappa", tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in DATASETS:
        with pytest.raises(SceneError, match="holds no patch"):
            open_dataset(name, empty)
        with pytest.raises(SceneError, match=r"No folder .*none"):
            open_dataset(name, tmp_path / "none")
    (tmp_path / "labelled_text.npz").write_text("text")
    with pytest.raises(SceneError, match="is no labelled image"):
        open_dataset("arrays", tmp_path)[0]
    with pytest.raises(SceneError, match=r"^No file .*none\.npz; needed is"):
        arrays.read(tmp_path / "none.npz")
    kappazeta(tmp_path / "bright.nc", numbers() * 1.0 * 65535, LABELS)
    with pytest.raises(SceneError, match="not a share of 65535"):
        open_dataset("kappaset", tmp_path)[0]
    (tmp_path / "bright.nc").write_text("text")
    with pytest.raises(SceneError, match="cannot be read as netCDF"):
        open_dataset("kappaset", tmp_path)[0]
