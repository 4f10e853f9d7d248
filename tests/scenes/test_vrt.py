from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import rasterio.crs
import rasterio.shutil
from command import one_sentence
from files import BANDS, CRS, NORTH, WEST, digits, geotiff, hole, jp2, masked_file

from kappamask.models import SceneError
from kappamask.scenes import open_scene

BOMB = """<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<VRTDataset rasterXSize="1" rasterYSize="1"><SRS>&b;</SRS></VRTDataset>"""


def source(file: str, kind: str = "SimpleSource", relative: int = 1, extra: str = "", size: tuple[int, int] = (80, 96)):
    """Make one source over the whole stack, as `gdalbuildvrt -separate` writes it.

    It takes all of a file of `size` (x, y).
    """
    x, y = size
    return f"""<{kind}><SourceFilename relativeToVRT="{relative}">{file}</SourceFilename><SourceBand>1</SourceBand>
<SourceProperties RasterXSize="{x}" RasterYSize="{y}" DataType="UInt16" BlockXSize="{x}" BlockYSize="1" />
<SrcRect xOff="0" yOff="0" xSize="{x}" ySize="{y}" /><DstRect xOff="0" yOff="0" xSize="80" ySize="96" />
{extra}</{kind}>"""


def band(number: int, sources: str, extra: str = "", attributes: str = "") -> str:
    return f'<VRTRasterBand dataType="UInt16" band="{number}" {attributes}>{extra}{sources}</VRTRasterBand>'


def vrt(path: Path, bands: str, west: float = WEST, extra: str = "") -> Path:
    path.write_text(
        f'<VRTDataset rasterXSize="80" rasterYSize="96"><SRS dataAxisToSRSAxisMapping="1,2">'
        f"{rasterio.crs.CRS.from_string(CRS).to_wkt()}</SRS>"
        f"<GeoTransform>{west}, 1.0000000000000000e+01, 0.0, {NORTH}, 0.0, -1.0000000000000000e+01</GeoTransform>"
        f"{extra}{bands}</VRTDataset>"
    )
    return path


def stack(folder: Path, names: tuple[str, ...] = BANDS, **options: str) -> str:
    """One GeoTIFF for each band, and the bands of a VRT of them."""
    texts = []
    for number, (name, values) in enumerate(zip(names, digits(len(names)), strict=True), 1):
        geotiff(folder / f"T35VLC_20210527T102021_{name}_10m.tif", values[None], (None,))
        texts.append(band(number, source(f"T35VLC_20210527T102021_{name}_10m.tif"), **options))
    return "".join(texts)


def test_an_srs_may_be_a_code(tmp_path: Path) -> None:
    path = vrt(tmp_path / "s_L1C.vrt", stack(tmp_path))
    whole = open_scene(path)
    head, rest = path.read_text().split("<SRS", 1)
    path.write_text(f"{head}<SRS>{CRS}</SRS>{rest.split('</SRS>', 1)[1]}")
    assert open_scene(path).rio.crs == whole.rio.crs == CRS
    path.write_text(path.read_text().replace(f">{CRS}<", ">EPSG:1<"))
    with pytest.raises(SceneError, match=r"s_L1C\.vrt is no whole VRT"):
        open_scene(path)


def test_bands_of_several_nodata_values_are_refused_with_what_to_type(tmp_path: Path) -> None:
    bands = stack(tmp_path, extra="<NoDataValue>0</NoDataValue>")
    path = vrt(tmp_path / "s_L1C.vrt", bands.replace("<NoDataValue>0<", "<NoDataValue>65535<", 1))
    with pytest.raises(SceneError, match=r"\(65535\.0, 0\.0\).*gdalwarp -dstnodata 65535 s_L1C\.vrt scene\.tif"):
        open_scene(path)


def test_a_source_may_say_its_nodata_where_the_band_says_the_same(tmp_path: Path) -> None:
    bands = stack(tmp_path, extra="<NoDataValue>0</NoDataValue>")
    plain = open_scene(vrt(tmp_path / "plain_L1C.vrt", bands))
    said = bands.replace("SimpleSource", "ComplexSource").replace(
        "</ComplexSource>", "<NODATA>0</NODATA></ComplexSource>"
    )
    scene = open_scene(vrt(tmp_path / "s_L1C.vrt", said))
    np.testing.assert_array_equal(scene.values, plain.values)
    for other in (said.replace("<NODATA>0", "<NODATA>7"), said.replace("<NoDataValue>0</NoDataValue>", "")):
        with pytest.raises(SceneError, match=r"NoDataValue .*gdalbuildvrt -separate -srcnodata"):
            open_scene(vrt(tmp_path / "other_L1C.vrt", other))


def test_a_stack_of_files_is_a_scene(tmp_path: Path) -> None:
    tags = '<Metadata><MDI key="level">L1C</MDI><MDI key="datetime">2021-05-27T10:20:21Z</MDI></Metadata>'
    nodata = "<NoDataValue>0</NoDataValue><ColorInterp>Gray</ColorInterp>"
    scene = open_scene(vrt(tmp_path / "s.vrt", stack(tmp_path, extra=nodata), extra=tags), bands=["B04", "B02"])
    assert isinstance(scene.data, da.Array)
    assert (scene.dtype, scene.rio.crs, list(scene["bands"].values)) == (np.uint16, CRS, ["B04", "B02"])
    assert scene.attrs == {"level": "L1C", "datetime": "2021-05-27T10:20:21Z", "_FillValue": 0}
    np.testing.assert_array_equal(scene.values, digits()[[2, 0]])
    np.testing.assert_array_equal(scene["x"].values[:2], [WEST + 5, WEST + 15])


def test_descriptions_go_before_the_names_of_files(tmp_path: Path) -> None:
    geotiff(tmp_path / "one.tif", digits(1), (None,))
    geotiff(tmp_path / "two_B08.tif", digits(1), ("B03",))
    text = band(1, source("one.tif"), "<Description>B2</Description>") + band(2, source("two_B08.tif"))
    assert list(open_scene(vrt(tmp_path / "s.vrt", text))["bands"].values) == ["B02", "B03"]


def test_bands_without_names_can_be_named_in_order(tmp_path: Path) -> None:
    geotiff(tmp_path / "one.tif", digits(1), (None,))
    path = vrt(tmp_path / "s.vrt", band(1, source("one.tif")))
    assert list(open_scene(path, bands=["B04"])["bands"].values) == ["B04"]
    with pytest.raises(SceneError, match="no Sentinel-2 band names"):
        open_scene(path)


def test_what_gdal_itself_writes_is_read(tmp_path: Path) -> None:
    geotiff(tmp_path / "s.tif", tags={"level": "L2A"}, scale=(1e-4, -0.1), nodata=0)
    rasterio.shutil.copy(tmp_path / "s.tif", tmp_path / "s.vrt", driver="VRT")
    scene, plain = open_scene(tmp_path / "s.vrt"), open_scene(tmp_path / "s.tif")
    assert scene.attrs == plain.attrs
    assert scene.identical(plain)


def test_coarse_files_are_interpolated_as_in_a_folder(tmp_path: Path) -> None:
    jp2(tmp_path / "B02.jp2", digits(1)[0], 10)
    jp2(tmp_path / "B05.jp2", digits(1, 48, 40)[0], 20)
    text = band(1, source("B02.jp2")) + band(2, source("B05.jp2", size=(40, 48)))
    scene, folder = open_scene(vrt(tmp_path / "s.vrt", text)), open_scene(tmp_path)
    np.testing.assert_array_equal(scene.values, folder.values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: band(1, source("/etc/passwd", relative=0)), "names '/etc/passwd': for safety only files in its own"),
        (lambda f: band(1, source("/etc/passwd")), "names '/etc/passwd': for safety"),
        (lambda f: band(1, source("../B02.tif")), "names '../B02.tif': for safety"),
        (lambda f: band(1, source("/vsicurl/http://localhost/B02.tif", relative=0)), "for safety"),
        (lambda f: band(1, source("http://localhost/B02.tif")), "No file .*http:/localhost/B02.tif"),
        (lambda f: band(1, source("link_B02.tif")), "names 'link_B02.tif': for safety"),
        (lambda f: band(1, source("note_B02.tif")), "note_B02.tif is neither a GeoTIFF nor a JPEG 2000"),
        (lambda f: band(1, source("gone_B02.tif")), "No file .*gone_B02.tif"),
        (lambda f: band(1, source("other_B02.vrt")), "other_B02.vrt is neither a GeoTIFF nor a JPEG 2000"),
        (lambda f: band(1, source("B02.tif"), attributes='subClass="VRTDerivedRasterBand"'), "VRTDerivedRasterBand"),
        (lambda f: band(1, source("B02.tif"), "<PixelFunctionCode>x</PixelFunctionCode>"), "holds PixelFunctionCode"),
        (lambda f: band(1, source("B02.tif", extra="<ScaleRatio>2</ScaleRatio>")), "holds ScaleRatio"),
        (lambda f: band(1, source("B02.tif", "ComplexSource", extra="<LUT>0:1</LUT>")), "holds LUT"),
        (lambda f: band(1, source("B02.tif", "KernelFilteredSource")), "holds KernelFilteredSource"),
        (lambda f: "<GDALWarpOptions/>", "holds GDALWarpOptions"),
        (lambda f: band(1, source("B02.tif") + source("B02.tif")), "band 1 has 2 sources, in a stack it is one file"),
        (lambda f: band(1, ""), "band 1 has 0 sources"),
        (lambda f: band(1, source("B02.tif").replace("Band>1<", "Band>2<")), "has no band 2, only 1 to 1"),
        (lambda f: band(1, source("B02.tif").replace("Band>1<", "Band>mask,1<")), "is no whole VRT"),
        (lambda f: band(1, source("B02.tif").replace('DstRect xOff="0"', 'DstRect xOff="3"')), "elsewhere than its"),
        (lambda f: band(1, source("B02.tif").replace('DstRect xOff="0"', 'DstRect xOff="x"')), "is no whole VRT"),
        (lambda f: band(1, source("B02.tif", size=(40, 48))), "elsewhere than its georeference"),
        (lambda f: band(1, source("B02.tif")) + band(2, source("B02.tif")), "names B02 more than once"),
        (lambda f: band(1, source("B02.tif"), "<Scale>0.0001</Scale>") + band(2, source("B03.tif")), "declares scale"),
        (lambda f: band(1, source("B02.tif"), "<NoDataValue>0</NoDataValue>") + band(2, source("B03.tif")), "several"),
    ],
)
def test_what_is_more_than_a_stack_is_refused(tmp_path: Path, make, message: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    for file in (tmp_path / "B02.tif", folder / "B02.tif", folder / "B03.tif"):
        geotiff(file, digits(1), (None,))
    (folder / "link_B02.tif").symlink_to(tmp_path / "B02.tif")
    (folder / "note_B02.tif").write_text("not an image")
    vrt(folder / "other_B02.vrt", band(1, source("B02.tif")))
    with pytest.raises(SceneError, match=message) as error:
        open_scene(vrt(folder / "s.vrt", make(folder)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "cannot be read as a VRT"),
        ("<VRTDataset", "cannot be read as a VRT"),
        ("<html/>", "begins with <html>"),
        ("<VRTDataset/>", "is no whole VRT"),
        ("<VRTDataset>" + " " * 2**20 + "</VRTDataset>", "is longer than 1 MiB"),
    ],
)
def test_what_is_no_vrt_gives_one_sentence(tmp_path: Path, text: str, message: str, kappamask) -> None:
    (tmp_path / "s.vrt").write_text(text)
    with pytest.raises(SceneError, match=message):
        open_scene(tmp_path / "s.vrt")
    done = kappamask("mask", tmp_path / "s.vrt", "-o", tmp_path / "m.tif", "--level", "L1C")
    assert done.code == 1 and one_sentence(done.err), done.err
    assert not (tmp_path / "m.tif").exists()


def test_a_cut_file_of_a_stack_gives_an_error_and_no_zeros(tmp_path: Path) -> None:
    path = vrt(tmp_path / "s.vrt", stack(tmp_path))
    file = next(tmp_path.glob("*B03*.tif"))
    file.write_bytes(file.read_bytes()[:9000])
    with pytest.raises(SceneError, match=r"B03_10m\.tif cannot be read as a whole"):
        open_scene(path).compute()


def test_a_cog_is_a_geotiff(tmp_path: Path) -> None:
    geotiff(tmp_path / "s.tif", digits(4, 600, 600), driver="COG", blocksize=256)
    np.testing.assert_array_equal(open_scene(tmp_path / "s.tif").values, digits(4, 600, 600))


@pytest.mark.parametrize("how", ["internal", "alpha", "sidecar"])
@pytest.mark.parametrize("declared", [None, 7])
def test_a_vrt_hides_what_the_masks_of_its_files_hide(tmp_path: Path, how: str, declared: int | None) -> None:
    values = digits(1)[0]
    masked_file(tmp_path / "one_B02.tif", values, how, "GTiff")
    extra = "" if declared is None else f"<NoDataValue>{declared}</NoDataValue>"
    scene = open_scene(vrt(tmp_path / "s.vrt", band(1, source("one_B02.tif"), extra)))
    np.testing.assert_array_equal(scene.values[0], np.where(hole() == 0, declared or 0, values))
