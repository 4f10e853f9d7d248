"""Names that earlier documentation showed are imported from where it showed them."""

from importlib import import_module

import pytest

OLD_PLACES = {
    "kappamask.scenes.stac_read": ("open_stac", "search"),
    "kappamask.scenes": ("class_statistics", "composite", "mask_cube", "scan"),
    "kappamask.openeo_process.areas": ("cells", "read_area"),
    "kappamask.evaluation.judge": ("Judged", "judge", "judged"),
    "kappamask.backend.save": ("write",),
    "kappamask.backend.chunks": ("apply_neighborhood",),
    "kappamask.models": ("card_digest",),
}


@pytest.mark.parametrize("place", OLD_PLACES)
def test_names_of_earlier_pages_are_there(place: str) -> None:
    module = import_module(place)
    assert [name for name in OLD_PLACES[place] if not callable(getattr(module, name, None))] == []
