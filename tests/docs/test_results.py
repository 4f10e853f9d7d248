"""The page of results says what the committed JSON says, and of which network."""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from doc_snippets import ROOT

from kappamask.models import load_card

DOCS = ROOT / "docs"
KEPT = DOCS / "results" / "accuracy.json"
TIMES = DOCS / "results" / "times.json"
AGAIN = "run make results"


@pytest.fixture(autouse=True)
def tools_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools" / "docs"), *sys.path])


@pytest.fixture
def accuracy() -> dict:
    return json.loads(KEPT.read_text(encoding="utf-8"))


def time_table(sha256: str) -> dict:
    """A time table of three masks, one of them by blocks, one that stopped."""
    sizes = [
        {"side": 1000, "mpx": 1.0, "block": None, "median": 0.5, "seconds": [0.5], "peak_mb": 300},
        {
            "side": 10980,
            "mpx": 120.5604,
            "block": None,
            "median": 75.2,
            "seconds": [75.0, 75.2, 80.0],
            "peak_mb": 4000,
        },
    ]
    blocks = [sizes[0], {**sizes[1], "block": 1000, "median": 3.0, "seconds": [3.0]}]
    rows = [
        {"peer": "compact", "random_weights": False, "sha256": sha256, "bands": ["B02", "B03"], "sizes": sizes},
        {"peer": "official-l1c-unet", "random_weights": True, "sha256": "b" * 64, "bands": ["B02"], "sizes": blocks},
        {"peer": "s2cloudless", "random_weights": False, "bands": ["B04"], "sizes": [], "failed": "It needs rain."},
    ]
    machine = {"cpu": "Abacus", "cores": 2, "memory_gb": 4.0, "load_at_start": 0.1, "system": "Linux"}
    return {
        "commit": "c" * 40, "date": "2026-11-27", "machine": {**machine, "packages": {"numpy": "2"}},
        "repeat": 3, "patience": 100.0,
        "matmul_gflops": 9, "rows": rows,
        "product": {"name": "p", "files": 13, "bytes": 1_000_000, "sha256": "d" * 64, "repeated": True},
        "reading": [
            {"bands": ["B02", "B03"], "seconds": [41], "median": 41.0},
            {"bands": ["B02"], "seconds": [20], "median": 20.0},
        ],
        "command": {"seconds": [80.0], "median": 80.0, "peak_mb": 900},
    }  # fmt: skip


def test_the_pages_are_what_the_committed_results_give(accuracy: dict) -> None:
    from results import drop_trained_sets, page
    from weaknesses import replace_section

    times = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else None
    shipped = load_card("compact").sha256
    assert page(accuracy, times, shipped) == (DOCS / "results.md").read_text(encoding="utf-8"), AGAIN
    weak = (DOCS / "weaknesses.md").read_text(encoding="utf-8")
    assert replace_section(weak, drop_trained_sets(accuracy), shipped) == weak, AGAIN


def test_the_page_of_real_scenes_is_what_the_committed_figures_give() -> None:
    from real_scenes import FIGURES, PAGE, make_page

    shipped = load_card("compact").sha256
    assert make_page(json.loads(FIGURES.read_text(encoding="utf-8")), shipped) == PAGE.read_text("utf-8"), AGAIN


def test_the_table_of_the_readme_is_what_the_committed_figures_give() -> None:
    from real_scenes import FIGURES, README, fill_readme

    text = README.read_text(encoding="utf-8")
    assert fill_readme(text, json.loads(FIGURES.read_text(encoding="utf-8"))) == text, AGAIN


def test_the_page_on_other_masks_is_what_the_committed_figures_give(accuracy: dict) -> None:
    from real_scenes import FIGURES
    from which_mask import PAGE, make_page

    found, times = (json.loads(path.read_text(encoding="utf-8")) for path in (FIGURES, TIMES))
    assert make_page(found, accuracy, times) == PAGE.read_text(encoding="utf-8"), AGAIN


def test_the_results_tell_commit_data_and_date(accuracy: dict) -> None:
    from judge import PARTS

    assert len(accuracy["commit"]) == 40, "made in a tree that was changed since its commit"
    assert {len(value) for value in accuracy["data"].values()} == {64}
    assert [*accuracy["data"]] == [one["file"] for one in accuracy["sets"]] == [part.file for part in PARTS]
    assert accuracy["made"].startswith("20")


def test_figures_of_another_network_are_marked(accuracy: dict) -> None:
    from results import page

    made = accuracy["sets"][0]["peers"][0]["sha256"]
    assert "earlier network" not in page(accuracy, time_table(made), made)
    text = page(accuracy, time_table(made), "f" * 64)
    assert "accuracy and times on this page were measured with an earlier" in text and "ffffffffffff…" in text
    assert "Times on this page were measured with an earlier" in page(accuracy, time_table("e" * 64), made)
    older = copy.deepcopy(accuracy)
    for one in older["sets"]:
        del one["peers"][0]["sha256"]
    assert "Figures of accuracy on this page were" in page(older, None, made), "who is not named is another"


def test_figures_on_the_page_are_those_of_the_json(accuracy: dict) -> None:
    from results import page

    first = accuracy["sets"][0]
    first["peers"][0]["views"][first["view"]]["dice"]["cloud"] = 0.12345
    first["peers"][0]["intervals"]["dice"]["cloud"] = [0.1, 0.2]
    first["differences"][0]["dice"]["all"] = -0.0712
    text = page(accuracy, None, "f" * 64)
    assert "| Cloud | 12.3 % <small>10.0 to 20.0</small> |" in text
    assert f"`compact` minus `{first['differences'][0]['against']}`: -7.1 (" in text


def test_without_times_the_page_says_how_to_make_them(accuracy: dict) -> None:
    from results import page

    text = page(accuracy, None, "f" * 64)
    assert "Not measured yet" in text and "benchmarks/times.py PRODUCT -o docs/results/times.json" in text


def test_times_stand_apart_from_reading_with_what_is_odd_about_them(accuracy: dict) -> None:
    from results import page

    text = page(accuracy, time_table("a" * 64), "a" * 64)
    assert "| `compact` | 2 | 120.6 | 01:15 | 0.624 | 3 <small>01:15 to 01:20</small> | 4000 MB | 00:41 |" in text
    assert "| `official-l1c-unet` | 1 | 120.6 | 3.0 s * | 0.025 | 1 | 4000 MB | 00:20 |" in text
    assert "Timed with random weights" in text and "`official-l1c-unet`." in text
    assert "`s2cloudless` did not run: It needs rain." in text
    assert "| mask | 1 | 120.56 |" in text and "| `official-l1c-unet` | 0.50 | 3.00* |" in text
    assert "files to file, reading and masking at the same time: 01:20, 900 MB" in text
    assert "painted clouds, repeated; on Abacus" in text
    assert "the median of its runs (3 at most, none begun after 100 s of them)" in text
    assert "KappaMask on CPU 10:08" in text and "Abacus, 2 cores" in text


def test_labels_without_shadow_give_no_figure_for_shadow(accuracy: dict) -> None:
    from figures import dice, further_tables

    blind = next(one for one in accuracy["sets"] if one["without_shadow"] == one["scenes"])
    assert "shadow" not in dice(blind).lower()
    assert not [title for title, _, rows in further_tables(blind) for row in rows if "hadow" in row[0] + title]


def test_judging_keeps_hashes_and_rounded_figures(tmp_path: Path) -> None:
    from judge import Part, judge_parts

    truth = np.repeat([2, 1, 4], 20)[:, None] * np.ones(61, np.uint8)
    dn = np.select([truth == 4, truth == 2], [5000, 200], 1500)[..., None].astype(np.uint16)
    np.savez(tmp_path / "labelled_x.npz", dn=dn, bands=np.array(["B04"]), gt_kappa=truth.astype(np.uint8))
    part = Part("labelled_x.npz", "arrays", "A field", "nothing", trained_on=True, peers=("threshold",))
    kept = judge_parts(tmp_path, [part])
    assert len(kept["data"]["labelled_x.npz"]) == 64
    (one,) = kept["sets"]
    assert (one["file"], one["what"], one["trained_on"]) == ("labelled_x.npz", "A field", True)
    assert one["peers"][0]["views"]["merged"]["precision"]["clear"] == 0.5
    assert one["peers"][0]["views"]["merged"]["dice"]["clear"] == 0.666667
