"""The page on clusters says what was measured."""

import json

import cluster
import pytest

FOUND = {
    "machine": {"cpu": "AMD", "cores": 2, "load_at_start": 0.1},
    "scenes": 4,
    "bands": 13,
    "repeat": 3,
    "date": "2026-11-29",
    "rows": [
        {"side": 2000, "mpx": 4.0, "workers": 1, "threads": 2, "median": 12.4, "peak_mb": 700},
        {"side": 2000, "mpx": 4.0, "workers": 2, "threads": 1, "median": 8.6, "peak_mb": 690},
        {"side": 5490, "mpx": 30.14, "workers": 1, "threads": 2, "median": 71.0, "peak_mb": 900},
    ],
}


def test_each_size_is_a_row_and_each_number_of_workers_a_column():
    text = cluster.fill_page(cluster.PAGE.read_text(encoding="utf-8"), FOUND)
    assert "| 4 x 4.0 Mpx | 12 s, 700 MB | 9 s, 690 MB |" in text
    assert "| 4 x 30.1 Mpx | 71 s, 900 MB | – |" in text
    assert cluster.fill_page(text, FOUND) == text
    assert "load 0.1" in text and "Not measured" not in text


def test_a_page_without_its_place_is_an_error():
    with pytest.raises(ValueError, match="lacks"):
        cluster.fill_page("# Mask on a cluster", FOUND)


def test_the_page_is_that_of_the_figures():
    text = cluster.PAGE.read_text(encoding="utf-8")
    if cluster.FIGURES.exists():
        assert cluster.fill_page(text, json.loads(cluster.FIGURES.read_text(encoding="utf-8"))) == text
    else:
        assert "Not measured for this version" in text
