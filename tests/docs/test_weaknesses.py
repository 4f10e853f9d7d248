"""Sentences and tables of the page of known weaknesses follow from the numbers."""

import pytest
from weaknesses import BEGIN, END, replace_section, weaknesses


def result(**strata: dict) -> dict:
    """Compare one mask with 2 % of clear pixels and 10 % of cloud wrong."""
    recall = {"no_cloud": 0.98, "cloud": 0.9, "all": 0.94}
    peer = {"name": "ours", "views": {"cloud": {"recall": recall}}, "strata": strata}
    one = {"dataset": "x", "title": "Some set", "scenes": 9, "groups": 3, "peers": [peer]}
    return {"made": "2026-11-25T06:00:00+00:00", "software": "kappamask-openeo 1", "sets": [one]}


def stratum(false: float | None, missed: float | None) -> dict:
    return {"scenes": 4, "groups": 2, "false": false, "missed": missed, "dice": {}}


def test_a_stratum_twice_as_bad_as_all_is_a_weakness() -> None:
    text = weaknesses(result(snow=stratum(0.225, None), water=stratum(0.03, 0.15), mixed=stratum(None, 0.3)))
    assert "- Snow, ice: `ours` takes 22.5 % of the pixels without cloud for cloud, 2.0 % over all" in text
    assert "- Mixed: `ours` misses 30.0 % of the cloud, 10.0 % over all" in text
    assert "- Water" not in text
    false, missed = text[text.index("| False positive rate | judged | ours |") :].split(
        "| Omission error | judged | ours |"
    )
    assert "| snow, ice | 4 | 22.5 % |" in false and "snow, ice" not in missed
    assert "| water | 4 | 3.0 % |" in false and "| water | 4 | 15.0 % |" in missed
    assert "all clear; all cloud; no cloud but thin cloud; urban; desert, bare ground; forest; low sun." in text


def test_a_mask_that_makes_no_error_has_no_weakness() -> None:
    found = result(snow=stratum(0.0, 0.0))
    found["sets"][0]["peers"][0]["views"]["cloud"]["recall"] = {"no_cloud": 1.0, "cloud": None}
    assert "- Snow" not in weaknesses(found)


def test_intervals_are_given_and_another_network_is_marked() -> None:
    found = result(snow={**stratum(0.225, 0.1), "intervals": {"false": [0.05, 0.4], "missed": None}})
    text = weaknesses(found)
    assert "takes 22.5 % (5.0 to 40.0) of the pixels" in text
    assert "| snow, ice | 4 | 22.5 % (5.0 to 40.0) |" in text and "| snow, ice | 4 | 10.0 % |" in text
    assert "another network" not in text and "another network" in weaknesses(found, "a" * 64)
    found["sets"][0]["peers"][0]["sha256"] = "a" * 64
    assert "another network" not in weaknesses(found, "a" * 64)


def test_only_what_lies_between_the_marks_is_rewritten() -> None:
    found = result(snow=stratum(0.5, 0.1))
    page = replace_section(f"head\n\n{BEGIN}\nold\n{END}\n\ntail\n", found)
    assert page.startswith(f"head\n\n{BEGIN}\n\nMeasured 2026-11-25") and page.endswith(f"{END}\n\ntail\n")
    assert "old" not in page and replace_section(page, found) == page
    with pytest.raises(ValueError, match="needs the lines"):
        replace_section("head", found)
