"""Damaged, contradictory or hostile products give one sentence and leave nothing behind."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command import one_sentence
from product_xml import BAND_IDS
from products import safe

from kappamask.files.archives import list_members
from kappamask.models import SceneError
from kappamask.scenes import open_scene
from kappamask.udf import cloud_mask

OFFSET = dict.fromkeys(BAND_IDS, -1000.0)


def open_and_read(path: Path, **options: object) -> None:
    open_scene(path, **options).compute()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"missing": ("B05", "B09")}, r"lacks B05, B09; get it again, or name the bands to use with bands="),
        ({"bare": True}, r"holds no metadata; a product has one MTD_MSIL1C\.xml"),
        ({"garbage": True}, r"MTD_MSIL1C\.xml of S2A_\w+ cannot be read: syntax error"),
        ({"bomb": True}, "cannot be read: it defines entities"),
        ({"claimed": "L2A"}, r"is of level L2A by its metadata, L1C by its file MTD_MSIL1C\.xml"),
        ({"offsets": None}, "dn_harmonized by its lack of offsets, dn_offset by its baseline 05.11"),
        (
            {"baseline": "03.01", "offsets": OFFSET},
            "dn_offset by its list of offsets, dn_harmonized by its base",
        ),
        ({"offsets": OFFSET | {"B03": 0}}, r"declares scale 0\.0001, offset -0\.1; scale 0\.0001, offset 0; known are"),
        ({"offsets": dict.fromkeys(BAND_IDS, -900)}, r"declares scale 0\.0001, offset -0\.09; known are"),
        ({"offsets": {"B01": -1000, "B02": -1000}}, "lists offsets, but none of B03, B04"),
        ({"offsets": OFFSET | {"B03": np.nan}}, "its offset of B03 is 'nan'; needed is a number"),
        ({"quantification": 1000}, r"declares scale 0\.001, offset -1; known are scale 0\.0001"),
        ({"quantification": 0}, "its QUANTIFICATION_VALUE is '0'; needed is a number"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_damaged_products_are_refused(tmp_path: Path, damage: dict, message: str, zipped: bool) -> None:
    path = safe(tmp_path, zipped=zipped, **damage)
    with pytest.raises(SceneError, match=message):
        open_scene(path)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("band", "resolution"), [("B03", 10), ("B05", 10), ("B09", 10), ("B03", 20), ("B12", 20)])
def test_an_image_that_ends_in_the_middle_is_an_error_and_no_zeros(
    tmp_path: Path, band: str, resolution: int, zipped: bool
) -> None:
    path = safe(tmp_path, cut=band, zipped=zipped)
    with pytest.raises(SceneError, match=rf"T32TQM_\w+_{band}\.jp2 cannot be read as a whole"):
        open_and_read(path, resolution=resolution)
    with pytest.raises(SceneError, match="cannot be read as a whole"):
        open_and_read(path, resolution=resolution)
    assert [*tmp_path.iterdir()] == [path]


def test_an_image_may_end_between_blocks(tmp_path: Path) -> None:
    """A codestream that ends after whole blocks loses only the later ones."""
    path = safe(tmp_path, side=600, blocks={10: 128, 20: 128, 60: 64}, cut="B03")
    with pytest.raises(SceneError, match=r"B03\.jp2 cannot be read as a whole"):
        open_and_read(path, bands=["B03"])


def test_the_level_asked_for_is_that_of_the_product(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="says that it is L1C, not L2A"):
        open_scene(safe(tmp_path), level="L2A")


@pytest.mark.parametrize("name", ["S2A_MSIL2A_20210527T102021_N0511_R065_T32TQM_20210527T123456.SAFE", "x_L2A.SAFE"])
def test_the_level_of_a_products_name_counts(tmp_path: Path, name: str) -> None:
    with pytest.raises(SceneError, match=r"L1C.*metadata.*L2A.*name"):
        open_scene(safe(tmp_path).rename(tmp_path / name))


def test_the_baseline_of_a_products_name_counts(tmp_path: Path) -> None:
    path = safe(tmp_path)
    with pytest.raises(SceneError, match=r"dn_offset.*05\.11.*dn_harmonized"):
        open_scene(path.rename(tmp_path / path.name.replace("N0511", "N0301")))


def test_folders_that_are_no_complete_product_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.SAFE").mkdir()
    with pytest.raises(SceneError, match=r"empty\.SAFE holds no metadata"):
        open_scene(tmp_path / "empty.SAFE")
    path = safe(tmp_path)
    (path / "MTD_MSIL2A.xml").write_text("<x/>")
    with pytest.raises(SceneError, match=r"MTD_MSIL1C\.xml and MTD_MSIL2A\.xml"):
        open_scene(path)
    other = safe(tmp_path / "other")
    (other / "GRANULE").rename(other / "GRANULES")
    with pytest.raises(SceneError, match="holds no images in GRANULE"):
        open_scene(other)


def test_metadata_in_an_encoding_that_no_product_has_is_no_bomb(tmp_path: Path) -> None:
    path = safe(tmp_path)
    text = (path / "MTD_MSIL1C.xml").read_text().replace('"UTF-8"', '"UTF-32"')
    (path / "MTD_MSIL1C.xml").write_text(text)
    with pytest.raises(SceneError, match=r"MTD_MSIL1C\.xml of \w+ cannot be read: (?!it defines)"):
        open_scene(path)


def test_metadata_without_end_is_not_read(tmp_path: Path) -> None:
    path = safe(tmp_path)
    with (path / "MTD_MSIL1C.xml").open("a") as file:
        file.write(" " * 2**24)
    with pytest.raises(SceneError, match=r"MTD_MSIL1C\.xml .*16 MiB"):
        open_scene(path)


def test_nothing_that_metadata_names_is_opened(tmp_path: Path) -> None:
    """Images are found in the folder, whatever the metadata lists."""
    path = safe(tmp_path)
    text = (path / "MTD_MSIL1C.xml").read_text()
    (path / "MTD_MSIL1C.xml").write_text(text.replace("GRANULE/", "/vsicurl/http://127.0.0.1:9/"))
    assert "vsicurl" in (path / "MTD_MSIL1C.xml").read_text()
    open_and_read(path)


@pytest.mark.parametrize(("level", "folder"), [("L1C", "IMG_DATA"), ("L2A", "R10m")])
def test_who_knows_better_can_open_the_folder_of_images(
    tmp_path: Path, level: str, folder: str, brightness: object
) -> None:
    path = safe(tmp_path, level=level, offsets=None)
    with pytest.raises(SceneError, match="open the folder of its images"):
        open_scene(path)
    scene = open_scene(next(path.rglob(folder)))
    assert "radiometry" not in scene.attrs
    mask = cloud_mask(scene, level=level, radiometry="dn_offset", model=brightness)
    assert set(np.unique(mask)) <= {1, 2, 3, 4}


def test_an_image_must_be_jpeg_2000(tmp_path: Path) -> None:
    vrt = b'<VRTDataset rasterXSize="1" rasterYSize="1"/>'
    path = safe(tmp_path)
    next(path.rglob("*_B02.jp2")).write_bytes(vrt)
    with pytest.raises(SceneError, match="neither a GeoTIFF nor a JPEG 2000"):
        open_scene(path)
    zipped = safe(tmp_path / "z", zipped=True)
    swapped = tmp_path / "swapped.zip"
    with zipfile.ZipFile(zipped) as old, zipfile.ZipFile(swapped, "w") as new:
        for name in old.namelist():
            new.writestr(name, vrt if name.endswith("_B02.jp2") else old.read(name))
    with pytest.raises(SceneError, match=r"_B02\.jp2 cannot be read as a whole"):
        open_scene(swapped)


# archives


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"members": {"../evil.txt": b"x"}}, r"its entry '\.\./evil\.txt' leads out of it"),
        ({"members": {"/etc/evil": b"x"}}, "its entry '/etc/evil' leads out of it"),
        ({"members": {"a/../../evil": b"x"}}, "leads out of it"),
        ({"members": {"C:\\evil": b"x"}}, "leads out of it"),
        ({"link": "X.SAFE/GRANULE"}, "its entry 'X.SAFE/GRANULE' is a link"),
        ({"members": {"big": bytes(40 << 20)}, "deflated": True}, r"its entry 'big' grows from \d+ bytes to 40 MiB"),
        ({"members": {"OTHER.SAFE/MTD_MSIL1C.xml": b"<x/>"}}, r"holds several products: OTHER\.SAFE, S2A_"),
    ],
)
def test_archives_that_may_do_harm_are_refused(tmp_path: Path, damage: dict, message: str) -> None:
    path = safe(tmp_path, zipped=True, **damage)
    with pytest.raises(SceneError, match=message):
        open_scene(path)
    assert [*tmp_path.iterdir()] == [path]


def test_a_size_that_an_entry_only_claims_is_not_believed(tmp_path: Path) -> None:
    path = safe(tmp_path, zipped=True, members={"claim": b"four"})
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 3 << 30)
    path.write_bytes(raw)
    with pytest.raises(SceneError, match="its entry 'claim' claims 3072 MiB"):
        open_scene(path)


def test_encrypted_doubled_and_oddly_packed_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one", b"1")
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(SceneError, match="'one' is encrypted"):
        list_members(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("one", b"2")
    with pytest.raises(SceneError, match="'one' is there twice"):
        list_members(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("one", b"1")
    with pytest.raises(SceneError, match="'one' is packed in a way"):
        list_members(path)


@pytest.mark.parametrize("keep", [0.2, 0.9, 0.999])
def test_an_archive_cut_short_is_refused(tmp_path: Path, keep: float) -> None:
    path = safe(tmp_path, zipped=True)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(SceneError, match="is no whole zip archive"):
        open_scene(path)


def test_damage_inside_an_archive_is_refused(tmp_path: Path) -> None:
    path = safe(tmp_path, zipped=True, deflated=True)
    with zipfile.ZipFile(path) as archive:
        entry = next(e for e in archive.infolist() if e.filename.endswith("MTD_MSIL1C.xml"))
    raw = bytearray(path.read_bytes())
    raw[entry.header_offset + 200 : entry.header_offset + 400] = bytes(200)
    path.write_bytes(raw)
    with pytest.raises(SceneError, match=r"MTD_MSIL1C\.xml cannot be read"):
        open_scene(path)


def test_what_changed_since_it_was_opened_is_read_again_or_refused(tmp_path: Path) -> None:
    values = np.full((13, 108, 108), 0.2)
    path = safe(tmp_path, values=values)
    scene = open_scene(path, bands=["B05"])
    assert np.unique(scene.values).tolist() == [3000]
    safe(tmp_path / "new", values=values + 0.1).rename(path.with_name("new.SAFE"))
    old, new = (next(folder.rglob("*_B05.jp2")) for folder in (path, path.with_name("new.SAFE")))
    old.write_bytes(new.read_bytes())
    assert np.unique(open_scene(path, bands=["B05"]).values).tolist() == [4000]


@pytest.mark.parametrize("damage", [{"bomb": True}, {"cut": "B03"}, {"offsets": None}, {"missing": ("B05",)}])
@pytest.mark.parametrize("zipped", [False, True])
def test_the_command_says_it_in_one_sentence_and_leaves_nothing(
    tmp_path: Path, kappamask, damage: dict, zipped: bool
) -> None:
    path = safe(tmp_path, zipped=zipped, **damage)
    outcome = kappamask("mask", path, "-o", tmp_path / "mask.tif")
    *progress, last = outcome.err.splitlines(keepends=True)
    assert outcome.code == 1 and one_sentence(last), outcome.err
    assert all(line.startswith("mask: ") for line in progress)
    assert [*tmp_path.iterdir()] == [path]
