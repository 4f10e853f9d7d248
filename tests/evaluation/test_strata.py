"""Strata: the land cover of a patch, and truths without shadow.

Land cover comes from the data set or from the patch's colour.
"""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kappamask.datasets import Patch
from kappamask.datasets.patch import GROUNDS
from kappamask.evaluation.compare import compare
from kappamask.evaluation.strata import COLOURS, STRATA, find_land_cover
from kappamask.evaluation.summary import summarise_comparison
from kappamask.evaluation.tables import LABELS, format_csv, format_markdown, make_tables
from kappamask.evaluation.tools import Answer, Peer
from kappamask.models import CubeError

BANDS = ("B03", "B04", "B08", "B11", "B12")
SNOW, LAKE, SAND = (0.8, 0.8, 0.75, 0.1, 0.08), (0.06, 0.04, 0.02, 0.01, 0.01), (0.25, 0.35, 0.4, 0.6, 0.55)
WOODS, FIELD, ROOFS = (0.05, 0.03, 0.3, 0.12, 0.04), (0.09, 0.1, 0.3, 0.25, 0.15), (0.14, 0.15, 0.19, 0.2, 0.19)
CUMULUS = (0.6, 0.6, 0.62, 0.45, 0.35)


def patch(ground: tuple[float, ...], share: float = 1.0, name: str = "a", **facts: object) -> Patch:
    """Make a field of 10 x 20 px, the lower half cloud.

    A share of its upper half is of another ground.
    """
    planes = np.empty((len(BANDS), 20, 10), np.float32)
    planes[:], planes[:, 10:] = np.reshape(FIELD, (-1, 1, 1)), np.reshape(CUMULUS, (-1, 1, 1))
    flat = planes[:, :10].reshape(len(BANDS), -1)
    flat[:, : round(share * 100)] = np.reshape(ground, (-1, 1))
    planes[:, :10] = flat.reshape(len(BANDS), 10, 10)
    truth = np.repeat([1, 4], 10)[:, None] * np.ones(10, np.uint8)
    given = {"group": name, "split": "test", "level": "L1C", "pixel_m": 10.0, "bands": BANDS, "merges_thin": True}
    return Patch(name=name, reflectance=planes, truth=truth.astype(np.uint8), **{**given, **facts})


@pytest.mark.parametrize(
    ("ground", "expected"),
    [(SNOW, {"snow"}), (LAKE, {"water"}), (SAND, {"desert"}), (WOODS, {"forest"}), (FIELD, set()), (ROOFS, set())],
)
def test_land_cover_follows_from_colour(ground: tuple[float, ...], expected: set[str]) -> None:
    assert find_land_cover(patch(ground)) == expected


def test_a_tenth_is_enough_and_cloud_is_no_ground() -> None:
    assert find_land_cover(patch(LAKE, 0.1)) == {"water"}
    assert find_land_cover(patch(LAKE, 0.09)) == frozenset()
    lake = patch(LAKE)
    assert find_land_cover(replace(lake, truth=5 - lake.truth)) == frozenset(), (
        "only what the truth calls clear is looked at"
    )


def test_what_the_data_set_says_goes_before_colour() -> None:
    assert find_land_cover(patch(SNOW, tags={"snow": False, "urban": True})) == {"urban"}
    assert find_land_cover(patch(SNOW, tags={"low_sun": True})) == {"snow", "low_sun"}


def test_without_bands_or_clear_pixels_nothing_is_said() -> None:
    few = patch(SNOW, bands=("B03", "B04", "B8A", "X", "Y"))
    assert find_land_cover(few) == frozenset()
    assert find_land_cover(patch((0.0,) * 5)) == frozenset(), "without light no index is defined"
    empty = patch(SNOW)
    empty.reflectance[:] = np.nan
    assert find_land_cover(empty) == frozenset()


def test_every_stratum_has_words_and_every_colour_is_one() -> None:
    assert {*STRATA} <= {*LABELS}
    assert {*COLOURS} <= {*GROUNDS} <= {*STRATA}


# through a comparison


def make_peer(name: str, mask: np.ndarray, scores: np.ndarray | None = None) -> Peer:
    return Peer(name, name, frozenset({1, 2, 3, 4}), lambda _: Answer(mask, scores))


def test_scores_of_a_stratum_are_those_of_its_scenes_alone() -> None:
    alarm = patch(SNOW).truth.copy()
    alarm[:5] = 4
    found = summarise_comparison(
        compare([patch(SNOW, name="a"), patch(FIELD, name="b", group="a")], [make_peer("one", alarm)])
    )
    (peer,) = found["peers"]
    assert {name: one["scenes"] for name, one in peer["strata"].items()} == {"mixed": 2, "snow": 1}
    assert peer["strata"]["mixed"]["groups"] == 1
    snow = peer["strata"]["snow"]
    assert (snow["false"], snow["missed"]) == (0.5, 0.0)
    assert snow["dice"]["cloud"] == pytest.approx(2 * 100 / (150 + 100))
    assert snow["drawn"] == {"of": "blocks", "number": 1} and snow["intervals"] == {}, "one square tells no interval"
    rows = {title: table for title, _, table in make_tables(found)}
    assert rows["False positive rate, by stratum"] == [["Mixed (2)", "50.0 %"], ["Snow, ice (1)", "50.0 %"]]
    assert "| Snow, ice (1) | 50.0 % |" in format_markdown([{**found, "dataset": "x", "split": "test"}])
    figures = [*csv.DictReader(io.StringIO(format_csv([{**found, "dataset": "x", "split": "test"}])))]
    (false,) = [row for row in figures if (row["stratum"], row["score"]) == ("snow", "false")]
    assert (float(false["value"]), false["scenes"], false["view"]) == (0.5, "1", "cloud")


def test_strata_have_intervals_and_differences_in_pairs() -> None:
    """Places are resampled, so the interval encloses the figure.

    A mask less itself is 0 in every draw.
    """
    truth, wrong = patch(SNOW).truth, patch(SNOW).truth.copy()
    wrong[:3] = 4

    def worse_at_some(given: Patch) -> Answer:
        return Answer(wrong if given.name in "ab" else truth)

    masks = [Peer(name, name, frozenset({1, 2, 3, 4}), worse_at_some) for name in ("one", "same")]
    masks.append(make_peer("right", truth))
    found = summarise_comparison(compare([patch(SNOW, name=name) for name in "abcdef"], masks))
    snow = found["peers"][0]["strata"]["snow"]
    assert snow["drawn"] == {"of": "groups", "number": 6}
    low, high = snow["intervals"]["false"]
    assert snow["false"] == pytest.approx(0.1) and low < 0.1 < high
    assert snow["intervals"]["dice"]["shadow"] is None, "the truth has none"
    assert (snow["missed"], snow["intervals"]["missed"]) == (0, None), "that none was missed does not say how surely"
    same, right = (one["strata"]["snow"] for one in found["differences"])
    assert (same["false"], same["intervals"]["false"]) == (0, None)
    assert right["false"] == pytest.approx(0.1) and right["intervals"]["false"] == snow["intervals"]["false"]
    figures = csv.DictReader(io.StringIO(format_csv([{**found, "dataset": "x", "split": "test"}])))
    (row,) = [one for one in figures if (one["peer"], one["stratum"], one["score"]) == ("one", "snow", "false")]
    assert [float(row["low"]), float(row["high"])] == snow["intervals"]["false"]


def test_shadow_is_not_judged_where_it_is_not_labelled() -> None:
    """Shadow in a mask costs nothing where shadow is not labelled, and costs elsewhere."""
    truth = np.repeat([1, 4], 10)[:, None] * np.ones(10, np.uint8)
    shaded = np.where(np.arange(20)[:, None] < 3, 2, truth).astype(np.uint8)
    certain = np.stack([(shaded == code) * 1.0 for code in (1, 2, 3, 4)])
    untold = summarise_comparison(compare([patch(FIELD, tells_shadow=False)], [make_peer("one", shaded, certain)]))
    assert untold["without_shadow"] == 1
    (peer,) = untold["peers"]
    assert peer["views"]["merged"]["dice"] == {"clear": 1, "shadow": None, "cloud": 1, "all": 1}
    assert peer["calibration_error"] is None, "scores part shadow from clear"
    both = [patch(FIELD, name="a", tells_shadow=False), patch(FIELD, name="b")]
    (mixed,) = summarise_comparison(compare(both, [make_peer("one", shaded, certain)]))["peers"]
    assert mixed["views"]["merged"]["dice"]["clear"] == pytest.approx(2 * 170 / (200 + 170))
    assert mixed["views"]["merged"]["dice"]["shadow"] == 0
    assert mixed["calibration_error"] == pytest.approx(0.15)


def test_the_page_tells_strata_and_what_is_not_labelled(tmp_path: Path) -> None:
    from kappamask.evaluation.comparison import DatasetResult
    from kappamask.reports.comparison import write_comparison

    def cannot(_: Patch) -> Answer:
        raise CubeError("no")

    patches = [patch(SNOW, tells_shadow=False)]
    peers = [make_peer("one", patches[0].truth), Peer("two", "two", frozenset({1, 4}), cannot)]
    facts = {"dataset": "x", "title": "X", "split": "test", "source": "s", "licence": "l", "judges": "cloud only"}
    compared = compare(patches, peers)
    page = write_comparison(
        tmp_path / "page.html", [DatasetResult(facts | summarise_comparison(compared), patches, (peers[0],), {"a": 0})]
    )
    text = page.read_text()
    assert "Labelled classes: cloud only." in text
    assert "Snow, ice" in text and "Low sun</th>" not in text
    assert "Shadows are not labelled in 1 of the scenes" in text
