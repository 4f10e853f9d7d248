"""Tiny Sentinel-2 products in ESA's layouts, with real JPEG 2000 images; and damaged ones."""

import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from files import geotiff
from product_pixels import METRES, pixels, reflectance
from product_xml import BAND_IDS, product_xml
from rasterio.transform import from_origin

L2A = {
    10: ("AOT", "B02", "B03", "B04", "B08", "TCI", "WVP"),
    20: ("AOT", "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12", "SCL", "TCI", "WVP"),
    60: ("AOT", "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B09", "B8A", "B11", "B12", "SCL", "TCI", "WVP"),
}
"""Images of a Level-2A product, by metres, since baseline 04.00."""
BLOCKS = {10: 1024, 20: 640, 60: 192}
"""Side of a JPEG 2000 tile in ESA's products, by metres."""
CORNER = (699_960.0, 5_000_040.0)
"""West and north, metres: corners of real tiles lie at multiples of 60 m too, from which bands of all sizes begin."""
SENSED = "20210527T102021"
OFFSET_SINCE = 4.0
"""Baseline from which the offset -1000 is in the numbers; 99.99 has none."""


def safe(
    folder: Path,
    *,
    level: str = "L1C",
    baseline: str = "05.11",
    platform: str = "S2A",
    tile: str = "T32TQM",
    side: int = 108,
    zipped: bool = False,
    values: np.ndarray | None = None,
    scl: np.ndarray | None = None,
    layout: str = "compact",
    blocks: Mapping[int, int] = BLOCKS,
    **damage: object,
) -> Path:
    """Write a product into `folder` and return its path.

    It is a folder NAME.SAFE, or NAME.SAFE.zip if `zipped`.

    `side`: pixels of 10 m, a multiple of 6, up to 1044 where they are real. `values`: reflectance, float (13, side,
    side), in the order of `product_xml.BAND_IDS`, NaN for no data; else real pixels without clouds. `scl`:
    Sen2Cor's classes, uint8 (side / 2, side / 2), of a Level-2A product; else made from how bright B02 is.
    `layout`: "compact", or "long" as before December 2016, where `tile` may name several, separated by commas.
    `blocks`: side of JPEG 2000 tiles, pixels, by metres.

    Damage: `missing` (bands whose images are left out), `cut` (a band whose images end in the middle), `offsets` (band
    -> offset, None for no list), `quantification`, `claimed` (the level that the metadata tells), `bomb` (entities that
    grow), `garbage` (metadata that is no XML), `bare` (no metadata); of a zip also `members` (name -> bytes, added),
    `link` (name of a symbolic link, added), `deflated` (compressed members).
    """
    name = _name(level, baseline, platform, tile, layout)
    root = folder / f"{name}.SAFE"
    real = reflectance(side) if values is None else values
    for one in tile.split(","):
        granule, stem = _granule(level, platform, baseline, one, layout)
        place = root / "GRANULE" / granule
        facts = damage | {"offset": -_offsets(baseline, {}).get("B02", 0.0)}
        _write_images(place, _images(level, baseline, stem, layout), real, scl, tile=one, blocks=blocks, facts=facts)
        (place / ("MTD_TL.xml" if layout == "compact" else f"{stem.format('MTD')}.xml")).write_text("<n1:Tile/>")
    (root / "manifest.safe").write_text("<xfdu:XFDU/>")
    _write_metadata(root, name, level, baseline, platform, layout, damage)
    return _zip(root, damage) if zipped else root


def _name(level: str, baseline: str, platform: str, tile: str, layout: str) -> str:
    number = baseline.replace(".", "")
    if layout == "compact":
        return f"{platform}_MSI{level}_{SENSED}_N{number}_R065_{tile}_20210527T123456"
    owner = {"L1C": "OPER", "L2A": "USER"}[level]
    return f"{platform}_{owner}_PRD_MSI{level}_PDMC_20210527T123456_R065_V{SENSED}_{SENSED}"


def _granule(level: str, platform: str, baseline: str, tile: str, layout: str) -> tuple[str, str]:
    """The granule's folder, and the names of its images, with room for what they are."""
    if layout == "compact":
        return f"{level}_{tile}_A030970_20210527T102549", f"{tile}_{SENSED}_{{}}"
    owner = {"L1C": "OPER", "L2A": "USER"}[level]
    rest = f"{level}_TL_EPA__20210527T123456_A030970_{tile}"
    return f"{platform}_{owner}_MSI_{rest}_N{baseline}", f"{platform}_{owner}_{{}}_{rest}"


def _images(level: str, baseline: str, stem: str, layout: str) -> Iterator[tuple[str, str, int]]:
    """Path below the granule, what it holds, and metres a pixel, of each image."""
    if level == "L1C":
        for band in (*BAND_IDS, *(["TCI"] if layout == "compact" else [])):
            yield (
                f"IMG_DATA/{_format_stem(stem, band, layout)}.jp2",
                band,
                10 if band == "TCI" else METRES.get(band, 20),
            )
        return
    early = layout == "compact" and float(baseline) < 2.07
    for metres, held in L2A.items():
        for band in held:
            if (band, metres) != ("B01", 20) or float(baseline) >= OFFSET_SINCE:
                text = _format_stem(("L2A_" if early else "") + stem, band, layout)
                yield f"IMG_DATA/R{metres}m/{text}_{metres}m.jp2", band, metres


def _format_stem(stem: str, band: str, layout: str) -> str:
    if layout == "compact" or not band.startswith("B"):
        return stem.format(band)
    return f"{stem.format('MSI')}_{band}"


def _offsets(baseline: str, damage: Mapping[str, object]) -> dict[str, float]:
    if "offsets" in damage:
        return dict(damage["offsets"] or {})
    return dict.fromkeys(BAND_IDS, -1000.0) if OFFSET_SINCE <= float(baseline) < 99 else {}


def _write_images(
    place: Path, images: Iterable[tuple[str, str, int]], real: np.ndarray, scl: np.ndarray | None, *, tile: str,
    blocks: Mapping[int, int], facts: Mapping[str, object],
) -> None:  # fmt: skip
    zone = int(tile[1:3]) + (32_700 if tile[3] < "N" else 32_600)
    for name, band, metres in images:
        if band in facts.get("missing", ()):
            continue
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        layers = pixels(band, metres // 10, real, scl, float(facts["offset"]))
        block = blocks[metres]
        geotiff(
            path, layers, (None,) * len(layers), crs=f"EPSG:{zone}", driver="JP2OpenJPEG", quality=100, reversible=True,
            transform=from_origin(*CORNER, metres, metres), blockxsize=block, blockysize=block,
        )  # fmt: skip
        path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)
        if band == facts.get("cut"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _write_metadata(
    root: Path, name: str, level: str, baseline: str, platform: str, layout: str, damage: Mapping[str, object]
) -> None:
    if damage.get("bare"):
        return
    claimed = str(damage.get("claimed", level))
    images = sorted(str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.jp2"))
    text = product_xml(
        claimed, name=f"{name}.SAFE", platform=platform, baseline=baseline, start="2021-05-27T10:20:21.024Z",
        images=images, offsets=_offsets(baseline, damage) or None, bomb=bool(damage.get("bomb")),
        quantification=float(damage.get("quantification", 10_000)),
    )  # fmt: skip
    long = name.replace("_PRD_MSI", "_MTD_SAF")
    path = root / (f"MTD_MSI{level}.xml" if layout == "compact" else f"{long}.xml")
    path.write_text("no XML at all" if damage.get("garbage") else text)


def _zip(root: Path, damage: Mapping[str, object]) -> Path:
    path = root.with_name(f"{root.name}.zip")
    how = zipfile.ZIP_DEFLATED if damage.get("deflated") else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", how) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root.parent))
        for name, content in dict(damage.get("members", {})).items():
            archive.writestr(name, content)
        if "link" in damage:
            entry = zipfile.ZipInfo(str(damage["link"]))
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
    shutil.rmtree(root)
    return path
