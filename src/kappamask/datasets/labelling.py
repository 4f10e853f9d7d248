"""Label real scenes by reproducible rules; what a rule does not decide is not judged.

Reflectances are float32 (13, y, x) in the order of `SENTINEL2_BANDS`, NaN where a band is absent. Labels are sets of
classes (`class_sets`). Thresholds are this project's choice, made by looking at every labelled image next to its scene;
docs/explanation/classes.md shows where thin cloud ends on hand-labelled scenes.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import ndimage

from kappamask.datasets.class_sets import (
    CLEAR,
    CLEAR_OR_SEMI_TRANSPARENT,
    CLEAR_OR_SHADOW,
    CLOUD,
    CLOUD_OF_EITHER_KIND,
    NOT_JUDGED,
    SEMI_TRANSPARENT,
    SHADOW,
    Labels,
    Sets,
    drop_missing,
    from_codes,
)
from kappamask.datasets.planes import Mask, Plane, Planes, dilate_disc, erode_disc, get_band, make_disc, remove_specks

__all__ = [
    "Limits",
    "find_snow",
    "label_by_difference",
    "label_by_hand",
    "label_by_outline",
    "label_by_teacher",
    "label_cirrus",
]

ShadowsAre = Literal["drawn", "absent", "misplaced", "incomplete"]
"""How far the shadows of hand-drawn labels can be believed."""

THICK_EXCESS, THIN_EXCESS = 0.20, 0.10
"""Reflectance of B02 above the ground's, from which on cloud is cloud, and up to which it is semi-transparent."""
BODY_EXCESS, CORE_EXCESS = 0.12, 0.25
"""The body of a cumulus: this bright 2 px and more inside its outline, with a core as bright as the second number."""
RIM_PX: Final = 4
"""Thin cloud so near to thick cloud is its rim: cloud of either kind."""
HIGH_B10, CIRRUS_B10, MAYBE_B10, VISIBLE_B10 = 0.006, 0.009, 0.0045, 0.03
"""B10 of clouds that are no cumulus; of cirrus for certain; from which on ground may lie under cirrus; of cirrus that
adds as much light to B02 at least, for vapour takes some of B10, so that one sees it without B10."""
DARK: Final = 0.72
"""Shadow keeps less than this share of the infrared light of clear ground."""
WATER_NDWI, WATER_B11, LIT = 0.25, 0.05, 0.9
"""NDWI and B11 that bound water; share of the median of its B03 from which on it lies in the sun."""
SPECK_PX, SHADOW_SPECK_PX = 12, 20
BRIGHT_EXCESS: Final = 0.03
"""Reflectance of B02 above the ground's, from which on ground that was not drawn as cloud may be cloud."""
NEAR_PX: Final = 25
"""Distance to cumulus at 30 m within which dark ground is its shadow."""
SURE_SHADOW_PX: Final = 110
"""Distance to cloud beyond which dark ground is not taken for its shadow."""


@dataclass(frozen=True)
class Limits:
    """What `label_by_teacher` is to believe on one scene."""

    shadow: bool = True
    """Whether the teachers' shadows are believed: not over frost, lakes and haze."""
    reach_px: int = 90
    """Distance to cloud beyond which a shadow is not believed."""
    least_blue: float = 0.0
    """Reflectance of B02 below which a cloud is not believed: over frost."""
    thin_excess: float = THIN_EXCESS
    usual_blue: float = 0.12
    """Reflectance of B02 of clear ground where none is seen: about the median of L1C scenes; of L2A 0.05."""
    exclude: tuple[int, int, int, int] | None = None
    """Rows and columns (first, end, first, end) that are not judged: roofs that both teachers call cloud."""


def label_by_teacher(scene: Planes, teachers: tuple[Plane, Plane], limits: Limits = Limits()) -> Sets:
    """Label a scene where two networks agree, away from their borders.

    teachers: class codes (y, x) of each: 1 clear, 2 cloud shadow, 4 cloud. They tell no thin cloud: kinds of cloud
    follow from the brightness above the ground.
    """
    agree = [(teachers[0] == code) & (teachers[1] == code) for code in (1, 2, 4)]
    clear, shadow, cloud = agree
    blue, cloudy = get_band(scene, "B02"), (teachers[0] == 4) | (teachers[1] == 4)
    shady = (teachers[0] == 2) | (teachers[1] == 2)
    excess = np.nan_to_num(blue - _ground_blue(blue, clear, limits.usual_blue))
    cloud = remove_specks(cloud & (blue > limits.least_blue) & (excess > 0.03), SPECK_PX)
    sets = np.full(blue.shape, NOT_JUDGED, np.uint8)
    sure = erode_disc(cloud, 2) | (cloud & (excess > 0.15))
    sets[sure] = _split_kinds(cloud, excess, get_band(scene, "B10"), limits.thin_excess)[sure]
    sets[clear & ~dilate_disc(cloudy | shady, 4)] = CLEAR
    water = _find_water(scene) & ~dilate_disc(cloudy, RIM_PX)
    sets[erode_disc(_select_lit(scene, water), 1)] = CLEAR
    if limits.shadow:
        dark = shadow & _is_dark(scene, clear) & dilate_disc(cloud, limits.reach_px)
        sets[
            erode_disc(remove_specks(dark, SHADOW_SPECK_PX), 2) & ~dilate_disc(cloudy, 2) & ~dilate_disc(water, RIM_PX)
        ] = SHADOW
    if limits.exclude:
        top, bottom, left, right = limits.exclude
        sets[top:bottom, left:right] = NOT_JUDGED
    return drop_missing(sets, blue)


def label_by_outline(scene: Planes, codes: Plane, teachers: tuple[Plane, Plane], limits: Limits) -> Sets:
    """Label a scene with coarse outlines where outline and both networks agree.

    Only cloud and clear ground are labelled.

    codes: 4 cloud of either kind, 1 anything else, shadow as well, for which the networks are believed.
    """
    agreed = [np.where((codes == 4) == (found == 4), found, NOT_JUDGED) for found in teachers]
    return label_by_teacher(scene, (agreed[0], agreed[1]), limits)


def label_by_difference(scene: Planes, ground: Planes, *, shadow: bool = True) -> Sets:
    """Label a date of a series by its difference from clear `ground` (13, y, x).

    `ground` is the median of clear dates close in time.
    """
    added = ndimage.median_filter(get_band(scene, "B02") - get_band(ground, "B02"), 3)
    kept = [get_band(scene, band) / get_band(ground, band) for band in ("B08", "B11")]
    cloud = remove_specks(added > 0.05, SPECK_PX)
    sets = np.where(cloud, _split_kinds(cloud, added, get_band(scene, "B10")), NOT_JUDGED).astype(np.uint8)
    dark = (kept[0] < DARK) & (kept[1] < DARK) & (added < 0.012)
    dark = remove_specks(ndimage.binary_opening(dark, make_disc(1)), 25)
    if shadow:
        sets[erode_disc(dark, 1) & dilate_disc(cloud, SURE_SHADOW_PX) & ~dilate_disc(cloud, 2)] = SHADOW
    same = (np.abs(added) < 0.02) & (kept[0] > 0.75) & (kept[1] > 0.75)
    sets[same & ~dilate_disc(added > 0.03, 6) & ~dilate_disc(dark, 5)] = CLEAR
    return drop_missing(sets, get_band(scene, "B02"))


def label_by_hand(scene: Planes, codes: Plane, *, shadow: ShadowsAre = "drawn", tells_thin: bool = True) -> Labels:
    """Turn hand-drawn codes (y, x) into sets, with doubt where their makers did not look.

    shadow: `absent` where shadows lie inside 1: dark ground is clear or shadow. `misplaced` where they were drawn next
    to the dark ground: dark ground near a cloud is shadow, what was drawn elsewhere is not judged. `incomplete` where
    only some were drawn: other ground is clear or shadow. tells_thin: False where 3 does not mean thin, as in the
    texture of a closed cover. Rims of cumulus that are drawn as thin are cloud of either kind. Snow that is bright in
    B10, as on high plateaus, is not judged with B10.
    """
    sets = from_codes(codes)
    if not tells_thin:
        sets[codes == 3] = CLOUD_OF_EITHER_KIND
    cloud, infrared = codes >= 3, get_band(scene, "B08")
    if cloud.any() and shadow == "absent" and (codes == 1).any():
        sets[(codes == 1) & (infrared < 0.85 * np.median(infrared[codes == 1]))] = CLEAR_OR_SHADOW
    elif shadow == "misplaced":
        sets[~cloud] = _place_shadow(scene, codes)[~cloud]
    elif shadow == "incomplete":
        sets[codes == 1] = CLEAR_OR_SHADOW
    sets[dilate_disc(codes == 4, 2) & dilate_disc(codes == 1, 2) & cloud] = CLOUD_OF_EITHER_KIND
    sets[dilate_disc(cloud, 1) & dilate_disc(~cloud, 1)] = NOT_JUDGED
    ground = (sets == CLEAR) | ((sets == CLEAR_OR_SHADOW) & (shadow == "incomplete"))
    maybe = ground & (np.nan_to_num(get_band(scene, "B10")) > HIGH_B10) & ~find_snow(scene)
    with_b10 = np.where(maybe, sets | np.uint8(SEMI_TRANSPARENT), sets)
    with_b10[(sets == CLEAR) & find_snow(scene) & (np.nan_to_num(get_band(scene, "B10")) > VISIBLE_B10)] = NOT_JUDGED
    return Labels(*(drop_missing(one, get_band(scene, "B02")) for one in (with_b10, sets)))


def _place_shadow(scene: Planes, codes: Plane) -> Sets:
    """Label shadow on dark ground near clouds, and clear on other bright ground."""
    ground = codes == 1
    shares = np.stack([get_band(scene, band) / np.median(get_band(scene, band)[ground]) for band in ("B08", "B11")])
    blue = get_band(scene, "B02")
    sets = np.where(ground, np.uint8(CLEAR), np.uint8(NOT_JUDGED))
    sets[(shares < LIT).any(axis=0)] = CLEAR_OR_SHADOW
    sets[(shares < DARK).all(axis=0) & dilate_disc(codes >= 3, NEAR_PX)] = SHADOW
    sets[dilate_disc(blue > np.median(blue[ground]) + BRIGHT_EXCESS, 1)] = NOT_JUDGED
    return sets


def label_cirrus(scene: Planes, sets: Sets) -> Labels:
    """Add cirrus that B10 shows to labels; faint cirrus is clear or thin without B10."""
    b10, snowy = np.nan_to_num(get_band(scene, "B10"), nan=-1.0), find_snow(scene)
    maybe, sure = (b10 > MAYBE_B10) & ~snowy, (b10 > CIRRUS_B10) & ~snowy
    seen, unseen = sets.copy(), sets.copy()
    for out in (seen, unseen):
        out[maybe & (sets == CLEAR)] = CLEAR_OR_SEMI_TRANSPARENT
    unseen[sure & (sets == SHADOW)] = seen[maybe & (sets == SHADOW)] = SHADOW | SEMI_TRANSPARENT
    certain = sure & (sets & CLOUD == 0) & (sets != NOT_JUDGED)
    seen[certain] = SEMI_TRANSPARENT
    unseen[certain & (b10 > VISIBLE_B10)] = SEMI_TRANSPARENT
    return Labels(seen, unseen)


def find_snow(scene: Planes) -> Mask:
    """Find snow and ice (y, x): NDSI above 0.4 and B03 above 0.15.

    Without B11 nothing is snow.
    """
    green, infrared = get_band(scene, "B03"), get_band(scene, "B11")
    return np.asarray(((green - infrared) / (green + infrared + 1e-6) > 0.4) & (green > 0.15))


def _find_water(scene: Planes) -> Mask:
    """Find water (y, x), which networks take for shadow."""
    green, infrared = get_band(scene, "B03"), get_band(scene, "B08")
    ndwi = (green - infrared) / (green + infrared + 1e-6)
    return np.asarray((ndwi > WATER_NDWI) & (np.nan_to_num(get_band(scene, "B11")) < WATER_B11))


def _select_lit(scene: Planes, water: Mask) -> Mask:
    """Select the sunlit part of `water` (y, x).

    It is not much darker than most of the water.
    """
    green = get_band(scene, "B03")
    return water & (green > LIT * np.median(green[water])) if water.any() else water


def _split_kinds(cloud: Mask, excess: Plane, b10: Plane, thin_excess: float = THIN_EXCESS) -> Sets:
    """Separate thin from thick cloud by the brightness above the ground.

    Near the line it is cloud of either kind.
    """
    objects, count = ndimage.label(cloud)
    brightest = np.asarray(ndimage.maximum(excess, objects, np.arange(count + 1)))[objects] if count else excess
    body = erode_disc(cloud, 2) & (brightest >= CORE_EXCESS) & (excess >= BODY_EXCESS) & ~(b10 > HIGH_B10)
    thick = cloud & ((excess >= THICK_EXCESS) | body)
    faint = (excess < thin_excess) | ((excess < 0.14) & (brightest < 0.2))
    sets = np.where(cloud, np.uint8(CLOUD_OF_EITHER_KIND), np.uint8(NOT_JUDGED))
    sets[thick] = CLOUD
    sets[cloud & faint & ~dilate_disc(thick, RIM_PX)] = SEMI_TRANSPARENT
    return sets


def _ground_blue(blue: Plane, clear: Mask, usual: float) -> float:
    """Estimate B02 of clear ground; `usual` where hardly any is seen."""
    return float(np.nanpercentile(blue[clear], 30)) if clear.mean() > 0.02 else usual


def _is_dark(scene: Planes, clear: Mask) -> Mask:
    """Find pixels that are darker in the infrared than the clear ground around."""
    infrared = get_band(scene, "B8A") if np.isfinite(get_band(scene, "B8A")).any() else get_band(scene, "B08")
    if clear.mean() <= 0.02:
        return np.ones(clear.shape, bool)
    return np.asarray(infrared < DARK * np.nanmedian(infrared[clear]))
