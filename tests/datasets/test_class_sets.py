"""Sets of classes: from codes and back, and what is certain."""

import numpy as np
import pytest

from kappamask.datasets import Patch, class_sets

CODES = np.array([[0, 1, 2, 3, 4]], np.uint8)


@pytest.mark.parametrize(
    ("merges_thin", "tells_shadow", "expected"),
    [(False, True, [0, 1, 2, 4, 8]), (True, True, [0, 1, 2, 12, 12]), (False, False, [0, 3, 2, 4, 8])],
)
def test_codes_become_sets(merges_thin: bool, tells_shadow: bool, expected: list[int]) -> None:
    sets = class_sets.from_codes(CODES, merges_thin=merges_thin, tells_shadow=tells_shadow)
    assert sets.dtype == np.uint8 and sets.tolist() == [expected]


def test_only_certain_sets_have_a_code() -> None:
    assert class_sets.to_codes(np.array([[0, 1, 2, 4, 8, 12, 3, 5]], np.uint8)).tolist() == [[0, 1, 2, 3, 4, 0, 0, 0]]


def test_what_is_certain() -> None:
    sets = np.array([0, 1, 4, 8, 12, 5], np.uint8)
    assert class_sets.is_cloud(sets).tolist() == [False, False, True, True, True, False]
    assert class_sets.is_certain(sets, class_sets.CLEAR).tolist() == [False, True, False, False, False, False]


def test_a_patch_has_sets_of_its_own_or_of_its_codes() -> None:
    given = ("p", "place", "train", "L1C", None, ("B02",), np.ones((1, 1, 5), np.float32), CODES)
    assert Patch(*given, merges_thin=True).class_sets().tolist() == [[0, 1, 2, 12, 12]]
    own = Patch(*given, merges_thin=False, sets=CODES, sets_without_b10=CODES + 1)
    assert own.class_sets().tolist() == CODES.tolist()
    assert own.class_sets(with_b10=False).tolist() == (CODES + 1).tolist()
