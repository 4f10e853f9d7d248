"""Strata of scenes by cloud cover and land cover.

Land cover by colour is an approximation; its limits were published for one sensor each. Colour does not tell towns.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.datasets.patch import ENOUGH, GROUNDS
from kappamask.evaluation.class_groups import VIEWS, ClassGroups
from kappamask.evaluation.confidence import ERRORS, compute_errors, compute_stratum_intervals
from kappamask.evaluation.counts import ResamplingUnits
from kappamask.evaluation.metrics import CLASSES, compute_rates
from kappamask.udf.schemes import CLEAR

__all__ = [
    "CLOUDS",
    "COLOURS",
    "MIXED",
    "STRATA",
    "LandCover",
    "classify_by_cloud",
    "find_land_cover",
    "group_scenes",
    "score_strata",
]

Planes = Mapping[str, NDArray[np.float32]]
Counts = NDArray[np.int64]
_ORDER = list(CLASSES)
CLOUDS: Mapping[str, Callable[[Mapping[str, int]], bool]] = {
    "all_clear": lambda pixels: pixels["clear"] == sum(pixels.values()),
    "all_cloud": lambda pixels: pixels["semi_transparent"] + pixels["cloud"] == sum(pixels.values()),
    "thin_cloud_only": lambda pixels: pixels["semi_transparent"] > 0 and pixels["cloud"] == 0,
}
"""Stratum -> whether a scene with so many pixels of each class in the truth is of it."""
MIXED = "mixed"
"""Stratum of the scenes that are of none of `CLOUDS`."""
STRATA = tuple(dict.fromkeys([*CLOUDS, MIXED, *GROUNDS]))
"""Those by cloud and those by ground; a scene may be in several: one wholly of thin cloud is also all cloud."""


class LandCover:
    """A kind of ground by its colour: bands, and a rule on reflectance by band."""

    def __init__(self, bands: str, rule: Callable[[Planes], NDArray[np.bool_]]) -> None:
        self.bands, self.rule = tuple(bands.split()), rule

    def share(self, patch: Patch) -> float | None:
        """Return the share of the clear pixels of this colour.

        None without a band or a clear pixel with data.
        """
        if not {*self.bands} <= {*patch.bands}:
            return None
        planes = patch.stack(self.bands)[:, patch.truth == CLEAR]
        planes = planes[:, np.isfinite(planes).all(axis=0)]
        return float(self.rule(dict(zip(self.bands, planes, strict=True))).mean()) if planes.size else None


def _normalised_difference(planes: Planes, one: str, other: str) -> NDArray[np.float32]:
    """Compute the normalised difference, 0 where both are 0."""
    total = planes[one] + planes[other]
    return np.asarray((planes[one] - planes[other]) / np.where(total == 0, 1, total), np.float32)


def _is_snow(planes: Planes) -> NDArray[np.bool_]:
    """Find NDSI above 0.4 and near infrared above 0.11, which separates snow from water.

    Hall, Riggs and Salomonson 1995.
    """
    return np.asarray((_normalised_difference(planes, "B03", "B11") > 0.4) & (planes["B08"] > 0.11))


def _is_water(planes: Planes) -> NDArray[np.bool_]:
    """Find NDWI of green and near infrared above 0 (McFeeters 1996), without snow."""
    return np.asarray((_normalised_difference(planes, "B03", "B08") > 0) & ~_is_snow(planes))


def _is_desert(planes: Planes) -> NDArray[np.bool_]:
    """Find B08 / B11 below 0.75, rock and sand, where NDVI is below 0.2.

    Irish 2000, Zhu and Woodcock 2012; Sobrino et al. 2004.
    """
    return np.asarray((planes["B08"] < 0.75 * planes["B11"]) & (_normalised_difference(planes, "B08", "B04") < 0.2))


def _is_forest(planes: Planes) -> NDArray[np.bool_]:
    """Find reflectance at 2.2 um below 0.05, dark vegetation, where NDVI is above 0.4.

    Kaufman et al. 1997; NDVI as in Sen2Cor.
    """
    return np.asarray((planes["B12"] < 0.05) & (_normalised_difference(planes, "B08", "B04") > 0.4))


COLOURS: Final = {
    "snow": LandCover("B03 B08 B11", _is_snow),
    "water": LandCover("B03 B08 B11", _is_water),
    "desert": LandCover("B04 B08 B11", _is_desert),
    "forest": LandCover("B04 B08 B12", _is_forest),
}
"""Stratum -> its colour."""


def find_land_cover(patch: Patch) -> frozenset[str]:
    """Return the strata of `datasets.patch.GROUNDS` of a patch: several, or none.

    What the data set states counts. A stratum that it does not state holds where at least `ENOUGH` of the patch's clear
    pixels have its colour.
    """
    tagged = {name for name, is_so in patch.tags.items() if is_so}
    asked = {name: colour for name, colour in COLOURS.items() if name not in patch.tags}
    return frozenset(tagged | {name for name, colour in asked.items() if (colour.share(patch) or 0) >= ENOUGH})


def classify_by_cloud(counts: Counts) -> set[str]:
    """Return the cloud strata of a scene from its counts (4, 5), rows the truth."""
    pixels = dict(zip(_ORDER, counts.sum(axis=1).tolist(), strict=True))
    return {name for name, fits in CLOUDS.items() if fits(pixels)} or {MIXED}


def group_scenes(
    scenes: Mapping[str, Counts], grounds: Mapping[str, Collection[str]] | None = None
) -> dict[str, list[str]]:
    """Return the scenes of each stratum, in the order of `STRATA`.

    Those without a scene are left out.

    scenes: name -> counts (4, 5). grounds: name -> its strata by ground.
    """
    of = {name: {*classify_by_cloud(counts), *(grounds or {}).get(name, ())} for name, counts in scenes.items()}
    found = {one: [name for name in scenes if one in of[name]] for one in STRATA}
    return {one: names for one, names in found.items() if names}


def score_strata(
    scenes: Mapping[str, Counts],
    predicts: Collection[int] = tuple(CLASSES.values()),
    *,
    view: ClassGroups = VIEWS["classes"],
    grounds: Mapping[str, Collection[str]] | None = None,
    groups: Mapping[str, str] | None = None,
    units_of: Callable[[Collection[str]], ResamplingUnits] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return counts and scores of each stratum that occurs.

    Keys: `scenes`, `groups`, `dice` by the classes of `view`, and `false` and `missed` of cloud of any kind.

    scenes: name -> counts (4, 5). grounds: name -> its strata by ground. groups: name -> its product or place.
    dice: of the classes that the truth has there, and `all`, their mean. false: share of the pixels without cloud that
    are called cloud; missed: of those with cloud that are called clear or shadow; 0 to 1, None where the truth has no
    such pixel, or the mask no such class. units_of: returns what intervals of some scenes rest on; with it also `drawn`
    and `intervals` of 95 % of `false`, `missed` and `dice`.
    """
    found = {}
    for one, names in group_scenes(scenes, grounds).items():
        pooled = np.sum([scenes[name] for name in names], axis=0)
        judged = _list_present(pooled, predicts, view)
        known = len({(groups or {}).get(name, name) for name in names})
        found[one] = {"scenes": len(names), "groups": known, "dice": _compute_dice(pooled, view, judged)}
        found[one] |= _compute_errors(pooled, predicts)
        if units_of:
            units = units_of(names)
            found[one] |= {
                "drawn": units.as_json(),
                "intervals": compute_stratum_intervals(units, predicts, view, judged),
            }
    return found


def _list_present(pooled: Counts, predicts: Collection[int], view: ClassGroups) -> list[str]:
    """List the classes that the truth has.

    Over clear ground the dice of cloud is 0, whether a pixel is wrong or all.
    """
    there = dict(zip(view.groups, view.merge_counts(pooled).sum(axis=1), strict=True))
    return [name for name in view.scored_groups(predicts) if there[name]]


def _compute_dice(pooled: Counts, view: ClassGroups, judged: Collection[str]) -> dict[str, float | None]:
    return compute_rates(view.merge_counts(pooled), view.groups, judged)["dice"]


def _compute_errors(pooled: Counts, predicts: Collection[int]) -> dict[str, float | None]:
    shares = compute_errors(predicts)(pooled).tolist()
    return {name: None if share != share else share for name, share in zip(ERRORS, shares, strict=True)}


# Earlier names, which the documentation showed.
grounds = find_land_cover
strata = score_strata
