"""Filters on properties in `load_collection` and `load_stac`: scenes that say that they are too cloudy are left out."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from openeo_driver.errors import FeatureUnsupportedException
from openeo_driver.filter_properties import extract_literal_match
from openeo_driver.utils import EvalEnv

from kappamask.backend.scene_index import SceneRecord

__all__ = ["CLOUD_COVER", "filtered"]

CLOUD_COVER = "eo:cloud_cover"
"""Percent of a scene that is cloud: the property by which openEO's clients leave out cloudy ones."""
COMPARED: dict[str, Callable[[float, float], bool]] = {"lte": operator.le, "gte": operator.ge, "eq": operator.eq}
"""openEO process, the property being its x -> comparison."""


def filtered(scenes: list[SceneRecord], properties: Mapping[str, Any], env: EvalEnv) -> list[SceneRecord]:
    """The scenes that fulfil the conditions; one that does not say how cloudy it is stays.

    Raises openEO's FeatureUnsupported for other properties and for other comparisons.
    """
    for name, condition in properties.items():
        ((process, limit),) = extract_literal_match(condition, env).items()
        if name != CLOUD_COVER or process not in COMPARED:
            raise FeatureUnsupportedException(
                f"A filter on the property {name} by {process} is not supported; there is {CLOUD_COVER} by "
                f"{', '.join(COMPARED)}. Choose by temporal_extent."
            )
        keeps = COMPARED[process]
        scenes = [one for one in scenes if one.cloud_cover is None or keeps(one.cloud_cover, float(limit))]
    return scenes
