"""Readers of Francis, ALCD, PixBox, Hollstein and pixel tables, on tiny exact files."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from doc_snippets import ROOT
from products import CORNER, SENSED, safe
from rasterio.transform import from_origin

from kappamask.datasets import DATASETS, open_dataset
from kappamask.datasets.pixbox import PRODUCTS
from kappamask.datasets.products import compute_sun_zenith, is_low_sun
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes import open_scene

L1C = SENTINEL2_BANDS[:13]
SUBSCENE = "S2A_MSIL1C_20180102T010721_N0206_R045_T{}_20180102T041600"
TAGS = ["forest/jungle", "snow/ice", "urban/developed", "coastal", "desert/barren", "open_water", "enclosed_water"]
MORE = ["thin", "thick", "cirrus"]


def francis(folder: Path, scenes: Mapping[str, tuple[np.ndarray, np.ndarray, Mapping[str, int]]]) -> Path:
    """Write subscenes, masks and the table of tags.

    Returns name -> image (y, x, 13), mask (y, x, 3), its tags.
    """
    for kind in ("subscenes", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    with (folder / "classification_tags.csv").open("w", newline="") as file:
        head = ["index", "scene", "dataset", "shadows_marked", *TAGS, *MORE]
        table = csv.DictWriter(file, head, restval=0)
        table.writeheader()
        for i, (name, (image, mask, tags)) in enumerate(scenes.items()):
            np.save(folder / "subscenes" / f"{name}.npy", image)
            np.save(folder / "masks" / f"{name}.npy", mask)
            table.writerow({"index": i, "scene": name, "dataset": "MAIN", "shadows_marked": 1, **tags})
    return folder


def one_hot(codes: Sequence[Sequence[int]]) -> np.ndarray:
    """Planes (y, x, 3); -1 for none."""
    return np.asarray(codes)[..., None] == np.arange(3)


def subscene(shape: tuple[int, int] = (2, 3)) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.01, 1, (*shape, 13)).astype(np.float32)


def test_francis_comes_as_reflectance_classes_and_strata(tmp_path: Path) -> None:
    image = subscene()
    image[0, 2] = 0
    tags = {"snow/ice": 1, "enclosed_water": 1, "thin": 1, "cirrus": 1}
    name = SUBSCENE.format("53HLD")
    francis(tmp_path, {name: (image, one_hot([[0, 1, 1], [2, -1, 0]]), tags)})
    (patch,) = open_dataset("francis", tmp_path)
    assert (patch.name, patch.group, patch.level, patch.pixel_m, patch.bands) == (name, "53HLD", "L1C", 20.0, L1C)
    np.testing.assert_array_equal(patch.truth, [[1, 4, 0], [2, 0, 1]])
    np.testing.assert_array_equal(patch.reflectance[:, 1], image[1].T)
    assert np.isnan(patch.reflectance[:, 0, 2]).all()
    assert patch.merges_thin and patch.tells_shadow
    strata = {"snow", "water", "thin_cloud_only"}
    assert patch.tags == {
        key: key in strata for key in ("snow", "water", "urban", "desert", "forest", "thin_cloud_only")
    }


def test_a_tile_with_shadows_that_are_not_marked_is_for_tests_only(tmp_path: Path) -> None:
    one, tiles = (subscene(), one_hot([[0, 1, 2]] * 2)), [f"53H{a}{b}" for a in "KLMN" for b in "ABCDE"]
    scenes = {SUBSCENE.format(tile): (*one, {}) for tile in tiles}
    scenes |= {SUBSCENE.format(tile).replace("20180102", "20180711"): (*one, {"shadows_marked": 0}) for tile in tiles}
    patches = open_dataset("francis", francis(tmp_path / "all", scenes))
    assert len(patches.part("test")) == len(patches) == 40
    assert [patch.tells_shadow for patch in patches] == [True] * 20 + [False] * 20
    marked = open_dataset("francis", francis(tmp_path / "some", dict(list(scenes.items())[:20])))
    assert 8 <= len(marked.part("train")) < 20


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "classification_tags.csv").unlink(), "classification_tags.csv is needed"),
        (lambda folder: (folder / "classification_tags.csv").write_text("index,scene\n0,x\n"), "shadows_marked"),
        (lambda folder: (folder / "classification_tags.csv").write_text("scene,shadows_marked\n"), "no row of S2A"),
        (lambda folder: _save(folder, "masks", np.ones((2, 3, 3), bool)), "pixels of two classes"),
        (lambda folder: _save(folder, "masks", np.ones((2, 2, 3), bool)), r"a mask \(2, 2, 3\)"),
        (lambda folder: _save(folder, "subscenes", np.ones((2, 3, 12))), r"an image \(2, 3, 12\)"),
        (lambda folder: _write(folder, "subscenes", b"\x93NUMPY"), "no whole numpy array of numbers"),
        (lambda folder: _save(folder, "subscenes", np.array([{}])), "no whole numpy array of numbers"),
    ],
)
def test_a_damaged_catalogue_is_refused(tmp_path: Path, damage, message: str) -> None:
    francis(tmp_path, {SUBSCENE.format("53HLD"): (subscene(), one_hot([[0, 1, 2]] * 2), {})})
    damage(tmp_path)
    with pytest.raises(SceneError, match=message):
        open_dataset("francis", tmp_path)[0]


def _save(folder: Path, kind: str, array: np.ndarray) -> None:
    np.save(folder / kind / f"{SUBSCENE.format('53HLD')}.npy", array)


def _write(folder: Path, kind: str, content: bytes) -> None:
    (folder / kind / f"{SUBSCENE.format('53HLD')}.npy").write_bytes(content)


# ALCD


def alcd(folder: Path, name: str, codes: np.ndarray, *, tile: str | None = None, west: float = CORNER[0]) -> Path:
    """Write a scene's map at 60 m, and the settings that it was made with."""
    place = folder / name / "Classification"
    place.mkdir(parents=True)
    facts = {"driver": "GTiff", "count": 1, "height": codes.shape[0], "width": codes.shape[1], "dtype": "uint8"}
    where = {"crs": "EPSG:32632", "transform": from_origin(west, CORNER[1], 60, 60)}
    with rasterio.open(place / "classification_map.tif", "w", **facts, **where) as target:
        target.write(codes.astype(np.uint8), 1)
    if tile:
        settings = {"cloudy_product_name": name, "tile": tile, "cloudy_date": "20210527"}
        (place / "used_parameters.json").write_text(json.dumps(settings))
    return folder


def steps(side: int = 108) -> np.ndarray:
    """Make reflectance (13, side, side), constant in each square of 60 m.

    So every mean is known.
    """
    squares = np.linspace(0.05, 0.9, (side // 6) ** 2).reshape(side // 6, -1)
    return np.stack([squares.repeat(6, 0).repeat(6, 1)] * 13)


@pytest.mark.parametrize("zipped", [False, True])
def test_alcd_is_read_on_the_grid_of_its_map_with_the_product_next_to_it(tmp_path: Path, zipped: bool) -> None:
    product = safe(tmp_path / "products", values=steps(), zipped=zipped)
    name = product.name.removesuffix(".zip").removesuffix(".SAFE")
    codes = np.arange(18 * 18).reshape(18, 18) % 8
    alcd(tmp_path / "Reference_dataset", name, codes, tile="32TQM")
    alcd(tmp_path / "Reference_dataset", name.replace("TQM", "TQL"), codes)
    (patch,) = open_dataset("alcd", tmp_path)
    assert (patch.name, patch.group, patch.level, patch.pixel_m) == (name, "32TQM", "L1C", 60.0)
    np.testing.assert_array_equal(patch.truth, np.array([0, 0, 4, 4, 2, 1, 1, 1])[codes])
    assert patch.merges_thin and patch.tags == {"water": True, "snow": True, "low_sun": False}
    b04 = patch.reflectance[patch.bands.index("B04")]
    np.testing.assert_allclose(b04[4:-4, 4:-4], steps()[0, ::6, ::6][4:-4, 4:-4], atol=0.02)


def test_of_a_product_with_several_granules_the_tile_is_read(tmp_path: Path) -> None:
    product = safe(tmp_path, layout="long", baseline="02.04", tile="T32TQM,T32TPM", values=steps())
    alcd(tmp_path / "masks", product.name.removesuffix(".SAFE"), np.full((18, 18), 5), tile="T32TQM")
    (patch,) = open_dataset("alcd", tmp_path)
    assert patch.group == "32TQM" and patch.reflectance.shape == (13, 18, 18)


def test_maps_without_products_or_of_other_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="holds no patch"):
        open_dataset("alcd", tmp_path)
    product = safe(tmp_path / "products", values=steps())
    name = product.name.removesuffix(".SAFE")
    alcd(tmp_path / "absent", name, np.full((18, 18), 5))
    with pytest.raises(SceneError, match=rf"1 maps and none of their products; get {name}\.SAFE into"):
        open_dataset("alcd", tmp_path / "absent")
    alcd(tmp_path, name, np.full((18, 18), 5), west=CORNER[0] + 60)
    (tmp_path / "absent" / name / "Classification" / "classification_map.tif").unlink()
    with pytest.raises(SceneError, match="does not cover its product"):
        open_dataset("alcd", tmp_path)[0]


# PixBox


def pixbox(folder: Path, rows: Sequence[tuple[int, int, int, int, int]]) -> Path:
    """The table of labelled pixels: product, row, column, cloud, shadow."""
    path = folder / "PixBox-S2-CMIX" / "pixbox_sentinel2_cmix_20180425.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            [
                "ID",
                "PRODUCT_ID",
                "PIXEL_X",
                "PIXEL_Y",
                "LATITUDE",
                "CLOUD_CHARACTERISTICS_ID",
                "SHADOW_ID",
                "SURFACE_ID",
            ]
        )
        for i, (product, y, x, cloud, shadow) in enumerate(rows):
            table.writerow([i, product, x, y, 45.0, cloud, shadow, 3])
    return path


NUMBER = 5472572


def test_pixbox_pixels_are_judged_where_they_lie(tmp_path: Path) -> None:
    made = safe(tmp_path, side=612, baseline="02.06")
    made.rename(tmp_path / f"{PRODUCTS[str(NUMBER)]}.SAFE")
    product = tmp_path / f"{PRODUCTS[str(NUMBER)]}.SAFE"
    rows = [(NUMBER, 3, 5, 1, 1), (NUMBER, 3, 6, 7, 3), (NUMBER, 4, 7, 2, 3), (NUMBER, 511, 0, 9, 0)]
    rows += [(NUMBER, 512, 30, 8, 0), (NUMBER, 513, 600, 4, 2), (NUMBER, 514, 600, 2, 0), (NUMBER, 514, 600, 1, 0)]
    pixbox(tmp_path, [*rows, (183807605, 1, 1, 1, 0)])
    first, last = open_dataset("pixbox", tmp_path)
    assert (first.group, first.split, first.level, first.pixel_m) == ("19KEU", last.split, "L1C", 10.0)
    assert first.reflectance.shape == (13, 512, 512) and last.truth.shape == (100, 100)
    assert (first.window, last.window) == ((product.stem, (0, 0)), (product.stem, (512, 512)))
    labels = {(int(y), int(x)): int(first.truth[y, x]) for y, x in np.argwhere(first.truth)}
    assert labels == {(3, 5): 1, (3, 6): 2, (4, 7): 4, (511, 0): 3}
    assert [*map(tuple, np.argwhere(last.truth))] == [(1, 88)] and last.truth[1, 88] == 3
    whole = open_scene(product).sel(bands="B04").values
    np.testing.assert_allclose(last.reflectance[first.bands.index("B04")], whole[512:, 512:] / 1e4, rtol=1e-5)
    assert not first.merges_thin and first.tells_shadow and first.tags == {"low_sun": False}


@pytest.mark.parametrize(
    ("row", "message"),
    [((77, 0, 0, 1, 0), "line 2: PRODUCT_ID"), ((NUMBER, 0, 0, 13, 0), "no such class"),
     ((NUMBER, 0, 0, 1, 5), "SHADOW_ID 5"), ((NUMBER, 0, 0, 1, 0), "none of its products; get S2A_MSIL1C_20171205")],
)  # fmt: skip
def test_a_malformed_table_is_refused(tmp_path: Path, row: tuple[int, int, int, int, int], message: str) -> None:
    pixbox(tmp_path, [row])
    with pytest.raises(SceneError, match=message):
        open_dataset("pixbox", tmp_path)


def test_pixbox_s_products_are_the_29_of_the_record() -> None:
    assert len(PRODUCTS) == len(set(PRODUCTS.values())) == 29
    assert all(name.startswith(("S2A_MSIL1C_2", "S2B_MSIL1C_2")) and len(name) == 60 for name in PRODUCTS.values())


# Hollstein


def hollstein(folder: Path, classes: Sequence[int], *, sun: bool = True, **changed: np.ndarray | None) -> Path:
    """The file of spectra (n, 13) in 64-bit floats, bands by bytes."""
    path, n = folder / "20170710_s2_manual_classification_data.h5", len(classes)
    made = {
        "spectra": np.linspace(0, 1, n * 13).reshape(n, 13),
        "band": np.array([band.removeprefix("B").encode() for band in L1C]),
        "classes": np.array(classes, np.float64),
        "product_id": np.array([b"S2A_OPER_PRD_MSIL1C_PDMC_20151211T153317_R021_V20151211T084342"] * n),
        "granule_id": np.array([b"36NYF"] * n),
        "class_ids": np.array([10, 20, 30, 40, 50, 60]),
        **({"sun_zenith_angle": np.linspace(20, 80, n)} if sun else {}),
    }
    with h5py.File(path, "w") as file:
        for key, value in (made | changed).items():
            if value is not None:
                file[key] = value
    return path


def test_hollstein_s_spectra_come_as_chips_of_one_judged_pixel(tmp_path: Path) -> None:
    hollstein(tmp_path, [10, 20, 30, 40, 50, 60])
    patches = open_dataset("hollstein", tmp_path)
    assert [int(one.truth[32, 32]) for one in patches] == [1, 1, 1, 3, 4, 1]
    assert all(one.truth.astype(int).sum() == one.truth[32, 32] for one in patches)
    assert {key for one in patches for key, is_so in one.tags.items() if is_so} == {"water", "snow", "low_sun"}
    assert patches[5].tags == {"water": False, "snow": True, "low_sun": True}
    np.testing.assert_allclose(patches[1].reflectance[:, 5, 60], np.linspace(0, 1, 78)[13:26], rtol=1e-6)
    assert patches[0].bands == L1C and not patches[0].merges_thin and not patches[0].tells_shadow
    assert len(patches.part("test")) == 6


def test_a_large_file_is_sampled_evenly_and_sun_may_be_unknown(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("kappamask.datasets.hollstein.MOST", 10)
    hollstein(tmp_path, [50] * 25, sun=False)
    patches = open_dataset("hollstein", tmp_path)
    assert [one.name.split(":")[1] for one in patches] == ["0", "3", "6", "9", "12", "15", "18", "21", "24"]
    assert patches[0].tags == {"water": False, "snow": False}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"band": None}, "with spectra, band"),
        ({"band": np.array([b"01"] * 13)}, "of the bands B01, B01"), ({"granule_id": None}, "lacks granule_id"),
        ({"spectra": np.zeros((2, 12))}, r"spectra \(2, 12\)"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused(tmp_path: Path, changed, message: str) -> None:
    hollstein(tmp_path, [10, 50], **changed)
    with pytest.raises(SceneError, match=message):
        open_dataset("hollstein", tmp_path)
    hollstein(tmp_path, [10, 11])
    with pytest.raises(SceneError, match=r"has the classes \[11"):
        open_dataset("hollstein", tmp_path)
    (tmp_path / "20170710_s2_manual_classification_data.h5").write_bytes(b"text")
    with pytest.raises(SceneError, match="cannot be read as HDF5"):
        open_dataset("hollstein", tmp_path)


# tables


def test_tables_of_pixels(tmp_path: Path) -> None:
    path = tmp_path / "labelled_pixels.csv"
    path.write_text("B02,B8A,cloud,scene\n0.1,0.2,0.0,3\n0.5,0.6,1.0,4\n")
    patches = open_dataset("pixels", tmp_path)
    assert [int(one.truth[32, 32]) for one in patches] == [1, 4]
    assert [one.split for one in patches] == ["test", "train"] and len(patches.part("test")) == 1
    assert (patches[1].name, patches[1].group) == ("labelled_pixels:3", "labelled_pixels:4")
    np.testing.assert_allclose(patches[1].reflectance[:, 0, 0], [0.5, 0.6])
    assert patches[0].merges_thin and not patches[0].tells_shadow
    path.write_text("B02,B8A,cloud,scene\n0.1,0.2,2.0,3\n")
    with pytest.raises(SceneError, match=r"labelled_pixels\.csv, line 2: bands, cloud"):
        open_dataset("pixels", path)


def test_every_set_has_its_place_in_the_how_to() -> None:
    page = (ROOT / "docs" / "how-to" / "data-sets.md").read_text(encoding="utf-8")
    for name, data in DATASETS.items():
        assert f"| `{name}` |" in page
        assert data.source == "your own" or data.source.removeprefix("doi:10.5281/zenodo.") in page


# the sun


@pytest.mark.parametrize(
    ("longitude", "latitude", "when", "expected"),
    [
        # Worked by hand from the declination: 23.44 degrees at the solstices, 0 at the equinox, noon of the meridian.
        (0.0, 60.0, datetime(2018, 12, 21, 12), 83.4), (0.0, 0.0, datetime(2018, 3, 20, 12), 2.0),
        (24.75, 59.4, datetime(2018, 6, 21, 10, 23), 36.0), (151.2, -33.9, datetime(2018, 6, 21, 2, tzinfo=UTC), 57.4),
    ],
)  # fmt: skip
def test_the_sun_stands_where_it_should(longitude: float, latitude: float, when: datetime, expected: float) -> None:
    assert compute_sun_zenith(longitude, latitude, when) == pytest.approx(expected, abs=0.7)
    assert is_low_sun(longitude, latitude, when) == (expected > 70)


def test_the_product_s_date_is_a_bright_day() -> None:
    assert not is_low_sun(11.5, 45.1, datetime.fromisoformat(f"{SENSED[:4]}-05-27T10:20:21"))
