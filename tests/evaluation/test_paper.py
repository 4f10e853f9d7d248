import copy

import pytest

from kappamask.evaluation.paper import TABLES, Contradiction, derive_class_mix, find_contradictions, read_paper


def test_one_cell_of_the_paper_contradicts_its_neighbours() -> None:
    (found,) = find_contradictions()
    assert (found.table, found.mask, found.of, found.printed) == ("dice", "Fmask", "cloud", 60)
    assert found.low < 2 * 44 * 60 / (44 + 60) < found.high < 52


def test_what_the_erratum_says_is_so() -> None:
    corrected = copy.deepcopy(read_paper())
    corrected["dice"]["Fmask"]["cloud"] = 51
    assert find_contradictions(corrected) == [
        Contradiction("dice", "Fmask", "all", 61, *(175 / 3 + off for off in (-0.5, 0.5)))
    ]
    corrected["dice"]["Fmask"]["all"] = 58
    assert find_contradictions(corrected) == []
    assert {one.get("mask") for one in read_paper()["errata"]} == {"Fmask", None}


@pytest.mark.parametrize("table", TABLES)
def test_a_changed_mean_is_found(table: str) -> None:
    wrong = copy.deepcopy(read_paper())
    wrong[table]["MAJA"]["all"] += 2
    assert (table, "MAJA", "all") in {one[:3] for one in find_contradictions(wrong)}


def test_all_tables_imply_one_mix_of_classes() -> None:
    for mask in ("KappaMask L2A", "KappaMask L1C", "Sen2Cor"):
        mix = derive_class_mix(mask)
        assert mix == pytest.approx({"clear": 0.28, "shadow": 0.08, "semi_transparent": 0.37, "cloud": 0.27}, abs=0.04)
        assert sum(mix.values()) == pytest.approx(1, abs=0.07)
    assert derive_class_mix("Fmask")["cloud"] == pytest.approx(0.28, abs=0.005), (
        "so its dice is wrong, not its accuracy"
    )


def test_masks_are_listed_with_the_classes_that_they_tell() -> None:
    classes_ = {mask: [*classes] for mask, classes in read_paper()["dice"].items()}
    assert all({mask: [*rows] for mask, rows in read_paper()[table].items()} == classes_ for table in TABLES)
    assert classes_["Fmask"] == ["clear", "shadow", "cloud", "all"]
    for mask in ("KappaMask L2A", "KappaMask L1C"):
        one, other = read_paper()["dice_binary"][mask], read_paper()["dice"][mask]
        assert all(one[name] == other[name] for name in ("clear", "cloud"))


def test_the_paper_has_its_times_and_architectures() -> None:
    assert read_paper()["seconds"]["KappaMask on CPU"] == 10 * 60 + 8
    best = max(read_paper()["architectures"], key=lambda row: row["dice"])
    assert (best["architecture"], best["depth"], best["filters"]) == ("U-Net", 5, 128)
