"""Read PixBox-S2-CMIX: pixels of 29 L1C products, labelled by experts.

Layout, as two public readers of the record agree on it: a CSV whose rows have PRODUCT_ID, PIXEL_Y and PIXEL_X (row and
column of 10 m, from 0), CLOUD_CHARACTERISTICS_ID and SHADOW_ID; the products are downloaded separately. Pixels are read
with the 512 x 512 px around them, so that masks see what the experts saw.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from kappamask.datasets.patch import NOT_JUDGED, Patch, assign_split
from kappamask.datasets.products import find_products, read_reflectance, tag_low_sun
from kappamask.models import SceneError
from kappamask.models.cleaning import PIXEL_M
from kappamask.scenes import open_scene
from kappamask.scenes.metadata import parse_tile

__all__ = ["PRODUCTS"]

_LISTED: Final = """
1407300752 S2A_MSIL1C_20170113T072241_N0204_R006_T40UEE_20170113T072238
1211409580 S2A_MSIL1C_20170209T154541_N0204_R111_T17PPK_20170209T154543
1727138395 S2A_MSIL1C_20170620T181921_N0205_R127_T11SPC_20170620T182846
623596858 S2A_MSIL1C_20170629T103021_N0205_R108_T31TFJ_20170629T103020
2019111565 S2A_MSIL1C_20170706T051651_N0205_R062_T48XWG_20170706T051649
1899752240 S2A_MSIL1C_20170712T071621_N0205_R006_T40UEE_20170712T071617
1309065466 S2B_MSIL1C_20170712T113319_N0205_R080_T28PCV_20170712T114542
1248336059 S2A_MSIL1C_20170725T142751_N0205_R053_T19GBQ_20170725T143854
1126775487 S2B_MSIL1C_20170725T183309_N0205_R127_T11SPC_20170725T183309
1386821964 S2A_MSIL1C_20170726T102021_N0205_R065_T33VVE_20170726T102259
1832501017 S2B_MSIL1C_20170728T101029_N0205_R022_T32TPS_20170728T101024
784585929 S2B_MSIL1C_20170731T102019_N0205_R065_T33VVE_20170731T102348
701404038 S2A_MSIL1C_20170908T100031_N0205_R122_T32SPJ_20170908T100655
1892503998 S2B_MSIL1C_20170916T101019_N0205_R022_T32SPJ_20170916T101354
1650478641 S2A_MSIL1C_20170916T143741_N0205_R096_T19KEU_20170916T143942
1559102360 S2A_MSIL1C_20170917T052641_N0205_R105_T48XWG_20170917T052642
183807605 S2A_MSIL1C_20170929T211511_N0205_R143_T06VWN_20170929T211510
522655885 S2A_MSIL1C_20171107T150421_N0206_R125_T22WES_20171107T165127
5472572 S2A_MSIL1C_20171205T143751_N0206_R096_T19KEU_20171205T180316
885047116 S2B_MSIL1C_20171210T060229_N0206_R091_T42RUN_20171210T071154
2065997836 S2A_MSIL1C_20180102T140051_N0206_R067_T21LXK_20180102T154324
960993216 S2A_MSIL1C_20180106T032121_N0206_R118_T48NUG_20180106T083912
273136892 S2A_MSIL1C_20180126T182631_N0206_R127_T11SPC_20180126T201415
1470797653 S2A_MSIL1C_20180217T053911_N0206_R005_T44SKJ_20180217T082149
1041598282 S2A_MSIL1C_20180222T012651_N0206_R074_T54TWN_20180222T031349
872013732 S2A_MSIL1C_20180223T092031_N0206_R093_T36VUM_20180223T113049
1727140056 S2A_MSIL1C_20180302T142851_N0206_R053_T19GBQ_20180302T192732
1821333386 S2B_MSIL1C_20180302T150259_N0206_R125_T22WES_20180302T183800
433871481 S2A_MSIL1C_20180303T140051_N0206_R067_T19FDV_20180303T202004
"""
PRODUCTS: Final = {number: name for number, _, name in (line.partition(" ") for line in _LISTED.strip().splitlines())}
"""PRODUCT_ID -> name of the product. That of 23 February 2018 is not in the archive of products of the record."""
CLOUDS: Final = {1: 1, 7: 1, 2: 4, 3: 3, 4: 3, 5: 3, 6: 3, 9: 3, 10: 3, 11: 3}
"""1 no cloud, 7 clear; 2 opaque; 3 to 6 semi-transparent of any thickness, 9 contrail; 10 fog and 11 haze are thin
cloud to us. Not judged: 0 none of the classes, 8 mixed pixel, 12 border of a cloud."""
SHADOWS: Final = {0, 1, 2, 3, 4}
CAST: Final = 3
"""The shadow of a cloud; 0, 1, 2 and 4 are none, or that of a mountain, or lie on a cloud."""
COLUMNS: Final = ("PRODUCT_ID", "PIXEL_Y", "PIXEL_X", "CLOUD_CHARACTERISTICS_ID", "SHADOW_ID")
SIDE: Final = 512
"""Pixels of a window: KappaMask's."""
Labels = Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class PixelWindow:
    """A window of a product with labelled pixels.

    Its first row and column, and the labels (row, column) -> code inside of it.
    """

    product: Path
    name: str
    corner: tuple[int, int]
    labels: Labels

    @property
    def group(self) -> str:
        """The tile, of which there are several dates."""
        return parse_tile(self.name) or self.name


def find(folder: Path) -> Iterator[PixelWindow]:
    """Find the windows with labels of the products under `folder`, next to the table.

    As NAME.SAFE or its zip.

    Pixels of products that are not there are left out. Raises SceneError if none is, or the table is not as above.
    """
    tables = sorted(folder.rglob("pixbox_sentinel2_cmix_*.csv"))
    held = find_products(folder) if tables else {}
    labels = {name: one for path in tables for name, one in _read_labels(path).items()}
    if tables and not labels.keys() & held.keys():
        raise SceneError(
            f"{folder} has PixBox's table and none of its products; get {min(labels)}.SAFE into that folder."
        )
    for name in sorted(labels.keys() & held.keys()):
        for corner, inside in sorted(_split_windows(labels[name]).items()):
            yield PixelWindow(held[name], name, corner, inside)


def split(place: PixelWindow) -> str:
    """Assign the part by tile: the set was published whole."""
    return assign_split(place.group)


def read(place: PixelWindow) -> Patch:
    """Read the window at 10 m; only the labelled pixels are judged.

    Raises SceneError where a label lies outside.
    """
    whole = open_scene(place.product)
    y, x = place.corner
    cube = whole.isel(y=slice(y, y + SIDE), x=slice(x, x + SIDE))
    truth = np.full(cube.shape[1:], NOT_JUDGED, np.uint8)
    for (row, column), code in place.labels.items():
        if not (0 <= row - y < truth.shape[0] and 0 <= column - x < truth.shape[1]):
            raise SceneError(f"{place.name} has {whole.shape[1:]} pixels (y, x); PixBox labels ({row}, {column}).")
        truth[row - y, column - x] = code
    bands = tuple(map(str, cube["bands"].values))
    return Patch(
        f"{place.name}:{y},{x}", place.group, split(place), str(cube.attrs["level"]), PIXEL_M, bands,
        read_reflectance(cube, place.name), truth, merges_thin=False,
        window=(place.name, place.corner), tags=tag_low_sun(cube),
    )  # fmt: skip


def _read_labels(path: Path) -> dict[str, dict[tuple[int, int], int]]:
    """Map products to labels; pixels with two different labels are not judged."""
    found: dict[str, dict[tuple[int, int], int]] = defaultdict(dict)
    with path.open(newline="", encoding="utf-8") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            name, pixel, code = _parse_label(path, line, row)
            found[name][pixel] = code if found[name].get(pixel, code) == code else NOT_JUDGED
    return found


def _parse_label(path: Path, line: int, row: Mapping[str, str]) -> tuple[str, tuple[int, int], int]:
    try:
        product, y, x, cloud, shadow = (int(row[column]) for column in COLUMNS)
        name = PRODUCTS[str(product)]
    except (KeyError, ValueError, TypeError) as error:
        raise SceneError(
            f"{path.name}, line {line}: {', '.join(COLUMNS)} of a product of the set are needed: {error}."
        ) from error
    if shadow not in SHADOWS or not 0 <= cloud <= 12:
        raise SceneError(f"{path.name}, line {line}: no such class, {COLUMNS[3]} {cloud}, {COLUMNS[4]} {shadow}.")
    code = CLOUDS.get(cloud, NOT_JUDGED)
    return name, (y, x), 2 if shadow == CAST and code == 1 else code


def _split_windows(labels: Labels) -> dict[tuple[int, int], dict[tuple[int, int], int]]:
    found: dict[tuple[int, int], dict[tuple[int, int], int]] = defaultdict(dict)
    for (y, x), code in labels.items():
        if code != NOT_JUDGED:
            found[y // SIDE * SIDE, x // SIDE * SIDE][y, x] = code
    return found
