"""What people look at of one mask: numbers, STAC item, QGIS style, page."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
from command import one_sentence
from defusedxml import ElementTree
from files import CRS, cube, digits, geotiff
from hypothesis import given
from hypothesis import strategies as st
from products import safe
from pystac.extensions.eo import EOExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.validation import validate_dict
from rasterio.enums import ColorInterp

from kappamask.evaluation import count_confusion
from kappamask.models import CubeError, SceneError, load_card
from kappamask.models.schemes import list_schemes
from kappamask.reports import count_shares, make_stac_item, make_style, write_page, write_stac, write_style
from kappamask.reports.class_shares import map_codes
from kappamask.reports.footprint import trace_footprint
from kappamask.reports.page import measure_agreement, read_scores
from kappamask.scenes import open_scene, read_mask, write_mask, write_quicklook
from kappamask.scenes.statistics import to_classes
from kappamask.udf import cloud_mask, from_scheme, to_scheme
from kappamask.udf.schemes import CLEAR, SHADOW, make_flag_attributes

MADE = {"model_id": "compact", "model_sha256": "ab12", "radiometry": "dn_offset", "level": "L1C"}
SCL = {
    "flag_values": np.arange(12, dtype=np.uint8),
    "flag_meanings": "no_data saturated_or_defective cast_shadow cloud_shadow vegetation not_vegetated water "
    "unclassified cloud_medium_probability cloud_high_probability thin_cirrus snow_or_ice",
    "flag_colors": " ".join(f"#{value:02x}{value:02x}ff" for value in range(12)),
}


def mask_of(codes: np.ndarray | None = None, **attrs: object) -> xr.DataArray:
    """Make a mask with all classes, 96 x 80 px.

    The first nine pixels lie outside the area.
    """
    if codes is None:
        codes = (np.arange(96 * 80) // 7 % 5 + 1).astype(np.uint8).reshape(96, 80)
        codes[0, :9] = 255
    like = cube(digits(1, *codes.shape), ("B02",)).isel(bands=0, drop=True)
    return like.copy(data=codes).assign_attrs({**make_flag_attributes(load_card()), **MADE, **attrs})


@pytest.fixture
def mask_file(tmp_path: Path) -> Path:
    return write_mask(mask_of(), tmp_path / "mask_20180202T105249.tif")[0]


# numbers


@given(st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 255]), min_size=1, max_size=60), st.booleans())
def test_shares_are_of_the_valid_pixels(values: list[int], lazy: bool) -> None:
    mask = mask_of(np.array([values], np.uint8))
    found = count_shares(mask.chunk(x=25) if lazy else mask)
    valid = [value for value in values if value in (1, 2, 3, 4)]
    assert (found.area, found.valid) == (len(values) - values.count(255), len(valid))
    assert found.nodata == values.count(255)
    if not valid:
        assert found.cloud_cover is None
        return
    assert found.cloud_cover == pytest.approx(100 * (valid.count(3) + valid.count(4)) / len(valid))
    assert found.percentages["clear"] == pytest.approx(100 * valid.count(1) / len(valid))
    assert sum(one for share in found.valid_classes if (one := found.percent(share))) == pytest.approx(100)
    assert sum(found.fractions.values()) == pytest.approx(1)


def test_a_code_without_a_name_is_an_error() -> None:
    with pytest.raises(SceneError, match=r"2 pixels .*0, 1, 2, 3, 4, 5 and 255"):
        count_shares(mask_of(np.array([[1, 7, 9]], np.uint8)))


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        (SCL["flag_meanings"], "5 5 1 2 1 1 1 0 4 4 3 1"),
        ("undefined clear cloud_shadow semi_transparent_cloud cloud missing", "0 1 2 3 4 5"),
        ("clear_land clear_water cloud_shadow snow cloud fill", "1 1 2 1 4 5"),
        ("clear thick_cloud thin_cloud cloud_shadow no_data", "1 4 3 2 5"),
        ("no_cloud cloud", "1 4"),
    ],
)
def test_names_of_other_schemes_are_understood(names: str, codes: str) -> None:
    mask = mask_of(flag_values=np.arange(len(names.split())), flag_meanings=names, flag_colors="")
    assert [*map_codes(mask).values()] == [*map(int, codes.split())]


def test_a_scheme_without_shadow_has_no_share_of_it() -> None:
    mask = mask_of(np.array([[0, 1, 1, 0]], np.uint8), flag_values=[0, 1], flag_meanings="clear cloud", flag_colors="")
    found = count_shares(mask)
    assert (found.percent_of([SHADOW]), found.cloud_cover, found.clouds) == (None, 50, "cloud")


@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
def test_agreement_counts_as_the_evaluation_does(seed: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    reference, found = (rng.integers(0, 6, (height, 3)).astype(np.uint8) for _ in range(2))
    reference[0, 0], found[0, 0] = CLEAR, CLEAR
    result = measure_agreement(mask_of(found).chunk(y=100), mask_of(reference))
    assert result is not None
    np.testing.assert_array_equal(result.counts, count_confusion(reference, found)[:, :4])
    both = np.isin(reference, [1, 2, 3, 4]) & np.isin(found, [1, 2, 3, 4])
    assert result.pixels == both.sum()
    assert result.percent == pytest.approx(100 * (reference == found)[both].mean())


def test_agreement_is_between_classes_of_like_meaning() -> None:
    scl = mask_of(np.array([[4, 3, 10, 9, 0, 11]], np.uint8), **SCL)
    result = measure_agreement(mask_of(np.array([[1, 2, 3, 4, 4, 1]], np.uint8)), scl)
    assert result is not None
    assert (result.pixels, result.percent) == (5, 100)
    assert measure_agreement(mask_of(np.array([[5]], np.uint8)), mask_of(np.array([[1]], np.uint8))) is None
    with pytest.raises(SceneError, match="one grid"):
        measure_agreement(mask_of(np.array([[5]], np.uint8)), scl)


@pytest.mark.parametrize("name", [name for name in list_schemes() if name != "KappaMask"])
def test_masks_of_all_schemes_are_reported(tmp_path: Path, name: str) -> None:
    (path,) = write_mask(to_scheme(mask_of(), name), tmp_path / "m_20180202.tif")
    written = to_classes(read_mask(path))
    own = count_shares(from_scheme(read_mask(path), name))
    found = count_shares(written)
    assert found.cloud_cover == pytest.approx(own.cloud_cover)
    assert found.percent_of([CLEAR]) == pytest.approx(own.percent_of([CLEAR]))
    item = make_stac_item(path)
    assert item.properties["eo:cloud_cover"] == pytest.approx(own.cloud_cover, abs=1e-4)
    assert item.properties["kappamask:scheme"] == name
    assert ("classification:classes" in item.assets["mask"].extra_fields) == (name != "bits")
    page = write_page(tmp_path / "m.html", path).read_text()
    assert found.valid_classes[0].label in page
    assert (">Meaning<" in page) == any(one.of.description for one in found.classes)


def test_the_page_leaves_out_what_only_a_program_reads(tmp_path: Path) -> None:
    """`options` is the JSON by which the command knows a mask that is there already."""
    (path,) = write_mask(mask_of(options='{"bands": null}', cleaning="buffer cloud 60 m"), tmp_path / "m_20180202.tif")
    page = write_page(tmp_path / "m.html", path).read_text()
    assert "null" not in page and "buffer cloud 60 m" in page


# where a mask lies


@given(st.integers(1, 60), st.booleans(), st.integers(166_000, 780_000), st.integers(100_000, 9_000_000))
def test_a_footprint_is_a_geojson_polygon_wherever_it_lies(zone: int, north: bool, west: int, y: int) -> None:
    steps = np.arange(11) * 10_980.0
    coords = {"y": y - steps, "x": west + steps}
    mask = xr.DataArray(np.zeros((11, 11), np.uint8), coords=coords, dims=("y", "x"))
    found = trace_footprint(mask.rio.write_crs(f"EPSG:{(32600 if north else 32700) + zone}"))
    rings = found.geometry["coordinates"]
    rings = [ring[0] for ring in rings] if found.geometry["type"] == "MultiPolygon" else rings
    assert found.geometry["type"] == ("Polygon" if len(rings) == 1 else "MultiPolygon")
    for ring in map(np.array, rings):
        assert (ring[0] == ring[-1]).all()
        assert np.abs(ring[:, 0]).max() <= 180
        x, y = ring.T
        assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0, "counter-clockwise"
    west, south, east, north = found.bbox
    assert south < north
    assert (west > east) == (len(rings) > 1), "RFC 7946: only across the antimeridian"
    assert min(y for ring in rings for _, y in ring) == pytest.approx(south, abs=1e-6)


def test_a_mask_across_the_antimeridian_is_cut_there() -> None:
    mask = xr.DataArray(np.zeros((2, 4)), coords={"y": [1.5, 0.5], "x": [178.5, 179.5, 180.5, 181.5]}, dims=("y", "x"))
    found = trace_footprint(mask.rio.write_crs("EPSG:4326"))
    assert found.bbox == [178, 0, -178, 2]
    assert [{abs(x) <= 180 for x, _ in part[0]} for part in found.geometry["coordinates"]] == [{True}, {True}]


def test_coordinates_that_no_place_has_are_an_error() -> None:
    far = mask_of().assign_coords(x=1e30 + 1e29 * np.arange(80.0))
    with pytest.raises(SceneError, match="are not in its CRS EPSG:32635"):
        trace_footprint(far)


# STAC


def test_a_stac_item_says_what_the_mask_is(mask_file: Path) -> None:
    counted = count_shares(read_mask(mask_file))
    path = write_stac(mask_file, files={"style": write_style(mask_file)})
    assert path.name == "mask_20180202T105249.json"
    assert validate_dict(json.loads(path.read_text()), extensions=[]), "valid by the schema in pystac"
    item = pystac.Item.from_file(str(path))
    assert item.datetime.isoformat() == "2018-02-02T10:52:49+00:00"
    assert EOExtension.ext(item).cloud_cover == pytest.approx(counted.cloud_cover, abs=1e-4)
    properties = item.properties
    assert properties["kappamask:clear_percentage"] == pytest.approx(counted.percentages["clear"], abs=1e-4)
    assert properties["kappamask:valid_percentage"] == pytest.approx(counted.valid_percent, abs=1e-4)
    assert (properties["kappamask:model_id"], properties["kappamask:model_sha256"]) == ("compact", "ab12")
    assert (properties["processing:level"], [*properties["processing:software"]]) == ("L1C", ["kappamask-openeo"])
    assert "radiometry dn_offset" in properties["processing:lineage"]
    assert properties["gsd"] == 10


def test_a_stac_item_places_the_mask(mask_file: Path) -> None:
    item = make_stac_item(mask_file)
    projection = ProjectionExtension.ext(item)
    with rasterio.open(mask_file) as dataset:
        assert projection.epsg == dataset.crs.to_epsg()
        assert projection.shape == [dataset.height, dataset.width]
        assert projection.transform == list(dataset.transform)
        assert projection.bbox == list(dataset.bounds)
        expected = rasterio.warp.transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
    np.testing.assert_allclose(item.bbox, expected, atol=1e-6)


def test_a_stac_item_describes_the_files(mask_file: Path) -> None:
    item = pystac.Item.from_file(str(write_stac(mask_file)))
    asset = item.assets["mask"]
    assert Path(item.get_self_href()).parent / asset.href.removeprefix("./") == mask_file
    assert FileExtension.ext(asset).size == mask_file.stat().st_size
    assert FileExtension.ext(asset).checksum == "1220" + hashlib.sha256(mask_file.read_bytes()).hexdigest()
    (band,) = RasterExtension.ext(asset).bands
    assert (band.data_type, band.nodata) == ("uint8", 255)
    assert asset.media_type == pystac.MediaType.COG
    classes = asset.extra_fields["classification:classes"]
    assert [(c["value"], c["name"], c["color_hint"].lower()) for c in classes] == [
        (c.value, c.name, c.color_hint) for c in load_card().classes
    ]
    assert all(re.fullmatch("[0-9A-F]{6}", c["color_hint"]) and c["description"] for c in classes)
    assert sum(c["count"] for c in classes) == 96 * 80 - 9
    assert sum(c["percentage"] for c in classes) == pytest.approx(100, abs=1e-3)


def test_a_stac_item_takes_from_the_scene_what_the_mask_does_not_tell(tmp_path: Path) -> None:
    (path,) = write_mask(mask_of(), tmp_path / "mask.tif")
    with pytest.raises(SceneError, match=r"mask.tif has no date"):
        make_stac_item(path)
    scene = cube(datetime="2021-05-27T10:20:21+02:00", platform="Sentinel-2B", level="L1C", tile="35VME")
    item = make_stac_item(path, scene=scene)
    assert item.datetime.isoformat() == "2021-05-27T08:20:21+00:00"
    assert (item.common_metadata.platform, item.properties["grid:code"]) == ("sentinel-2b", "MGRS-35VME")
    with pytest.raises(SceneError, match="'yesterday'; needed is ISO 8601"):
        make_stac_item(path, scene=cube(datetime="yesterday"))


def test_a_mask_without_a_place_has_an_item_without_geometry(tmp_path: Path) -> None:
    bare = mask_of().drop_vars(["x", "y", "spatial_ref"])
    (path,) = write_mask(bare, tmp_path / "m_20180202.nc")
    item = make_stac_item(path)
    assert (item.geometry, item.bbox, ProjectionExtension.ext(item).epsg) == (None, None, None)
    assert ProjectionExtension.ext(item).shape == [96, 80]
    validate_dict(item.to_dict(include_self_link=False), extensions=[])


def test_scores_keep_their_scale_in_the_item_and_on_the_page(mask_file: Path) -> None:
    stored = np.full((2, 96, 80), 100, np.uint8)
    stored[:, 0] = 255
    scores = geotiff(mask_file.with_name("s.tif"), stored, ("clear", "cloud"), scale=(0.005, 0.25), nodata=255)
    bands = RasterExtension.ext(make_stac_item(mask_file, files={"scores": scores}).assets["scores"]).bands
    assert [(b.scale, b.offset, b.nodata, b.properties["name"]) for b in bands] == [
        (0.005, 0.25, 255, "clear"), (0.005, 0.25, 255, "cloud")
    ]  # fmt: skip
    plain = write_mask(
        mask_of(), mask_file, scores=xr.concat([mask_of() / 5] * 2, "class").assign_coords({"class": ["a", "b"]})
    )
    item = make_stac_item(mask_file, files={"scores": plain[1]}).to_dict(include_self_link=False)
    assert "NaN" not in json.dumps(item), "JSON has no such number"
    found = read_scores(scores)
    assert (found.dtype, found["class"].values.tolist()) == (np.float32, ["clear", "cloud"])
    assert np.isnan(found.values[:, 0]).all()
    np.testing.assert_allclose(found.values[:, 1:], 0.75, rtol=1e-6)


@pytest.mark.parametrize(
    ("files", "message"), [({"scores": "no.tif"}, "Cannot read"), ({"film": "x"}, "No asset 'film'")]
)
def test_an_item_of_missing_files_is_not_written(mask_file: Path, files: dict[str, str], message: str) -> None:
    before = sorted(mask_file.parent.iterdir())
    with pytest.raises(SceneError, match=message):
        write_stac(mask_file, files={key: mask_file.with_name(name) for key, name in files.items()})
    assert sorted(mask_file.parent.iterdir()) == before


# style


def entries(text: bytes) -> list[tuple[int, str, str]]:
    root = ElementTree.fromstring(text, forbid_dtd=False)
    renderer = root.find("pipe/rasterrenderer")
    assert (root.tag, renderer.get("type"), renderer.get("band")) == ("qgis", "paletted", "1")
    listed = renderer.findall("colorPalette/paletteEntry")
    assert all(entry.get("alpha") == "255" for entry in listed)
    return [(int(e.get("value")), e.get("label"), e.get("color")) for e in listed]


def test_a_style_has_the_names_and_colours_of_the_card(mask_file: Path) -> None:
    path = write_style(mask_file)
    assert path == mask_file.with_suffix(".qml")
    found = entries(path.read_bytes())
    assert [(value, colour) for value, _, colour in found] == [
        (c.value, f"#{c.color_hint}") for c in load_card().classes
    ]
    assert [label for _, label, _ in found][2:4] == ["cloud shadow", "semi-transparent cloud"]


def test_a_style_follows_other_schemes_through_a_file(tmp_path: Path) -> None:
    scl = mask_of(np.array([[4, 3, 10], [9, 0, 11]], np.uint8), **SCL)
    (path,) = write_mask(scl, tmp_path / "scl.tif")
    assert entries(make_style(read_mask(path))) == [
        (value, name.replace("_", " "), colour)
        for value, name, colour in zip(range(12), SCL["flag_meanings"].split(), SCL["flag_colors"].split(), strict=True)
    ]


def test_flags_that_contradict_each_other_are_an_error() -> None:
    with pytest.raises(SceneError, match="flag_values 0 1 2, 2 flag_meanings"):
        make_style(mask_of(flag_values=[0, 1, 2], flag_meanings="clear cloud", flag_colors=""))


# page


@pytest.mark.parametrize("older", [False, True])
def test_scores_of_the_last_class_hide_no_pixels(tmp_path: Path, older: bool) -> None:
    """Four layers of bytes are no red, green, blue and alpha, as older files say."""
    scene = open_scene(geotiff(tmp_path / "S2_L1C_20180202.tif", digits(4, 150, 140)))
    made = cloud_mask(scene, scores=True).compute()
    made["score"].loc[{"class": "cloud"}] = 0.0
    _, path = write_mask(made["mask"], tmp_path / "m.tif", scores=made["score"])
    with rasterio.open(path) as stored:
        assert ColorInterp.alpha not in stored.colorinterp
    if older:
        with (
            rasterio.open(path) as stored,
            rasterio.open(
                path := tmp_path / "old_scores.tif",
                "w",
                **stored.profile | {"driver": "GTiff", "photometric": "RGB", "alpha": "YES"},
            ) as old,
        ):
            old.write(stored.read())
            old.descriptions, old.scales = stored.descriptions, stored.scales
        with rasterio.open(path) as stored:
            assert stored.colorinterp[3] == ColorInterp.alpha
    np.testing.assert_allclose(read_scores(path), made["score"], atol=0.006)


def test_a_page_shows_what_is_known(tmp_path: Path) -> None:
    scene = open_scene(geotiff(tmp_path / "S2_L1C_20180202.tif", digits(4, 150, 140)))
    made = cloud_mask(scene, scores=True)
    mask, scores = write_mask(made["mask"], tmp_path / "m.tif", scores=made["score"])
    page = write_page(tmp_path / "m.html", mask, scene=scene, scores_file=scores).read_text()
    assert page.count('<img src="data:image/png;base64,') == 3 + 4
    assert 'src="http' not in page
    assert "//" not in re.sub('base64,[^"]*', "", page)
    assert "Map of the score of cloud shadow." in page
    facts = [
        made.attrs["model_sha256"],
        made.attrs["radiometry"],
        "140 × 150 pixels of 10 m",
        CRS,
        "2018-02-02T00:00:00Z",
    ]
    assert [fact for fact in facts if fact not in page] == []
    assert made.attrs["radiometry_reason"].split(":")[0] in page
    assert "Agreement" not in page


def test_a_page_of_a_mask_alone(mask_file: Path) -> None:
    page = write_page(mask_file.with_suffix(".html"), mask_file).read_text()
    assert page.count("<img") == 1
    assert "9 further pixels are nodata (255)" in page
    assert "reflectance times 10 000 plus 1000" in page
    assert ">0 undefined<" not in page, "a class without data and without pixels says nothing"


def test_a_page_trusts_nothing_that_a_file_says(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\" onload='x"
    (path,) = write_mask(mask_of(radiometry_reason=evil, evil=evil, product=evil), tmp_path / "m.tif")
    page = write_page(tmp_path / "m.html", path).read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3


def test_a_page_compares_with_the_products_own_mask(mask_file: Path) -> None:
    codes = read_mask(mask_file).values
    scl = mask_of(np.choose(np.clip(codes, 0, 5), [0, 4, 3, 10, 9, 0]).astype(np.uint8), **SCL)
    page = write_page(mask_file.with_suffix(".html"), mask_file, scl=scl).read_text()
    assert "Agreement with the product" in page
    assert page.count('class="n same">100.0 %') == 4
    with pytest.raises(CubeError, match="which SCL does not have"):
        write_page(mask_file.with_suffix(".html"), mask_file, scl=mask_of(np.full((96, 80), 77, np.uint8)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scene": cube(digits(4, 50, 50))}, "the scene 50 x 50"),
        ({"scene": cube().assign_coords(x=cube().x + 10)}, "the scene 80 x 96 pixels from 500015, 6499995"),
        ({"scl": mask_of().assign_coords(y=mask_of().y - 600)}, "the product's mask 80 x 96"),
        ({"scene": cube().drop_vars("spatial_ref").rio.write_crs("EPSG:32636")}, "in EPSG:32636"),
        ({"scores_file": "high.tif"}, "its numbers are not from 0 to 1"),
        ({"scene": cube().drop_sel(bands="B04")}, "lacks B04"),
        ({"scores_file": "none.tif"}, "No file"),
        ({"scores_file": "small.tif"}, "the scores 9 x 9"),
        ({"scores_file": "bare.tif"}, "no descriptions"),
        ({"scores_file": "scores.png"}, "holds no scores"),
    ],
)
def test_a_page_that_cannot_be_right_is_not_written(mask_file: Path, given: dict, message: str) -> None:
    folder = mask_file.parent
    geotiff(folder / "small.tif", digits(1, 9, 9), ("clear",))
    geotiff(folder / "high.tif", digits(1), ("clear",))
    geotiff(folder / "bare.tif", digits(1), (None,))
    given = {key: folder / value if isinstance(value, str) else value for key, value in given.items()}
    before = sorted(folder.iterdir())
    with pytest.raises(SceneError, match=message):
        write_page(folder / "m.html", mask_file, **given)
    assert sorted(folder.iterdir()) == before


# the command


def test_report_of_one_mask(kappamask, mask_file: Path) -> None:
    folder = mask_file.parent
    geotiff(folder / "S2_L1C_20180202.tif")
    scene = folder / "S2_L1C_20180202.tif"
    done = kappamask("report", mask_file, "-o", folder / "m.html", "--scene", scene, "--stac", "--style", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    made = [folder / "m.html", mask_file.with_suffix(".qml"), mask_file.with_suffix(".json")]
    assert summary["files"] == [*map(str, made)]
    assert summary["cloud_cover"] == pytest.approx(count_shares(read_mask(mask_file)).cloud_cover)
    assert set(pystac.Item.from_file(str(made[2])).assets) == {"mask", "page", "style"}
    plain = kappamask("report", mask_file, "-o", folder / "m.html")
    assert plain.out.startswith("cloud cover ")


def test_report_of_a_product_compares_with_its_classes(kappamask, tmp_path: Path) -> None:
    classes = np.repeat(np.uint8([[3], [4], [9]]), 18, axis=0).repeat(54, axis=1)
    scene = safe(tmp_path, level="L2A", scl=classes)
    grid = open_scene(scene)
    codes = np.repeat(np.uint8([[2], [1], [3]]), 36, axis=0).repeat(108, axis=1)
    made = grid.isel(bands=0, drop=True).copy(data=codes)
    made.attrs = {**make_flag_attributes(load_card()), **MADE}
    (path,) = write_mask(made, tmp_path / "m.tif")
    done = kappamask("report", path, "-o", tmp_path / "m.html", "--scene", scene, "--stac", "--json")
    assert done.code == 0, done.err
    page = (tmp_path / "m.html").read_text()
    assert "66.7 % of the 11\u202f664 pixels with data in both have the same class" in page
    assert page.count('class="n same">100.0 %') == 2, "shadow and clear; the cloud is said to be thin"
    item = pystac.Item.from_file(str(tmp_path / "m.json"))
    assert (item.common_metadata.platform, item.properties["grid:code"]) == ("sentinel-2a", "MGRS-32TQM")
    assert item.datetime.isoformat().startswith("2021-05-27T10:20:21")


def test_report_of_bits_and_of_a_scene_without_names(kappamask, tmp_path: Path) -> None:
    (path,) = write_mask(to_scheme(mask_of(), "bits"), tmp_path / "m.tif")
    scene = geotiff(tmp_path / "s_L1C.tif", digits(3), (None, None, None))
    done = kappamask("report", path, "-o", tmp_path / "m.html", "--scene", scene, "--bands", "B02, B3,B04", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["cloud_cover"] == pytest.approx(count_shares(mask_of()).cloud_cover)
    assert (tmp_path / "m.html").read_text().count("<img") == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["m.tif", "-o", "m.png"], 2, "must end in .html"),
        (["m.tif", "-o", "m.html", "--csv", "m.csv"], 2, "this is for a series"),
        (["m.tif"], 2, "--output"),
        (["none.tif", "-o", "m.html"], 1, "No file"),
        (["text.tif", "-o", "m.html"], 1, "neither a GeoTIFF"),
        (["m.tif", "-o", "m.html", "--scene", "none.tif"], 1, "No file or folder"),
        (["m.tif", "-o", "no/m.html"], 1, "there is no folder"),
    ],
)
def test_a_report_that_fails_says_why(
    kappamask, tmp_path: Path, monkeypatch, words: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write_mask(mask_of(), tmp_path / "m.tif")
    (tmp_path / "text.tif").write_text("not an image")
    done = kappamask("report", *words)
    assert done.code == code
    assert message in done.err
    assert code == 2 or one_sentence(done.err.splitlines()[-1] + "\n")
    assert not done.out
    assert {path.name for path in tmp_path.iterdir()} == {"m.tif", "m.tif.aux.xml", "text.tif"}


def test_a_quicklook_may_be_an_asset(mask_file: Path) -> None:
    drawn = write_quicklook(cube(), read_mask(mask_file), mask_file.with_suffix(".png"))
    asset = make_stac_item(mask_file, files={"quicklook": drawn}).assets["quicklook"]
    assert (asset.media_type, asset.roles) == ("image/png", ["overview"])


def test_report_explains_itself_with_an_example(kappamask) -> None:
    done = kappamask("report", "--help")
    assert done.code == 0
    assert "Example: kappamask report mask.tif" in done.out
