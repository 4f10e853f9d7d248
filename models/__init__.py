"""What a network is: cards, weights, and the errors of the project. Standard library only."""

from kappamask.models.card import LEVEL_BANDS, LEVELS, SENTINEL2_BANDS, ClassValue, ModelCard, Mosaic, Scaling
from kappamask.models.card_document import compute_card_digest, parse_card
from kappamask.models.catalog import CACHE, list_cards, load_card
from kappamask.models.errors import (
    CardError,
    CubeError,
    DeviceError,
    JobError,
    KappaMaskError,
    MissingExtraError,
    RadiometryError,
    SceneError,
    WeightsError,
)
from kappamask.models.mask_options import MaskOptions, Thresholds, check_thresholds, parse_level
from kappamask.models.weights import read_weights

card_digest = compute_card_digest
"""Earlier name."""

__all__ = [
    "CACHE",
    "LEVELS",
    "LEVEL_BANDS",
    "SENTINEL2_BANDS",
    "CardError",
    "ClassValue",
    "CubeError",
    "DeviceError",
    "JobError",
    "KappaMaskError",
    "MaskOptions",
    "MissingExtraError",
    "ModelCard",
    "Mosaic",
    "RadiometryError",
    "Scaling",
    "SceneError",
    "Thresholds",
    "WeightsError",
    "check_thresholds",
    "compute_card_digest",
    "list_cards",
    "load_card",
    "parse_card",
    "parse_level",
    "read_weights",
]
