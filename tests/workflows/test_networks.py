"""Facts of networks: which are installed or can be downloaded, and how good they are."""

import json

import pytest
from networks import write_model

from kappamask.conversion.cards import OFFICIAL
from kappamask.models import CardError, catalog, list_cards, load_card
from kappamask.models.catalog import OFFICIAL_NETWORKS
from kappamask.workflows.networks import describe_network, format_network, format_networks, list_networks


def test_official_networks_are_those_whose_scaling_is_known():
    assert set(OFFICIAL_NETWORKS.values()) == set(OFFICIAL)


def test_networks_to_download_are_listed_until_they_are_here(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "CACHE", tmp_path)
    before = {one["id"]: one for one in list_networks()}
    assert before["compact"]["downloaded"] and not before["official-l1c-unet"]["downloaded"]
    assert before["official-l1c-unet"]["levels"] == ["L1C"]
    text = "\n".join(format_networks(before.values()))
    assert "kappamask models fetch official-l1c-unet" in text and "official-l2a-deeplabv3plus" in text
    write_model(tmp_path / "official-l1c-unet")
    after = list_networks()
    assert "brightness" in [one["id"] for one in after] and len(list_cards()) == 3


def test_facts_of_the_released_network():
    facts = describe_network(load_card("compact"))
    assert facts["training"]["parameters"] == 1389264 and facts["training"]["steps"] > 0
    assert "runs" not in facts["training"]
    cirrus = {one["bands"]: one for one in facts["scores"]["scenes"] if one["measure"] == "cirrus"}
    assert cirrus["13"]["mean"] > cirrus["13"]["worst"] > 0
    text = format_network(facts)
    line = next(line for line in text if line.startswith("cirrus"))
    assert f"{cirrus['4']['mean']:.2f} ({cirrus['4']['worst']:.2f})" in line
    assert any("B02 B03 B04 B08 " in line for line in text)
    assert any(f"{cirrus['4']['worst']:.2f}" in limit and "cirrus" in limit for limit in facts["limits"])


def test_limits_follow_from_the_card(tmp_path):
    facts = describe_network(
        write_model(tmp_path, **{"kappamask:levels": ["L1C"], "kappamask:output_values": [1, 2, 3, 4]})
    )
    assert facts["training"] == {} and facts["scores"] == {"bands": [], "scenes": []}
    assert any("L1C" in limit for limit in facts["limits"]) and any("no scores" in limit for limit in facts["limits"])
    assert not any("Does not predict" in limit for limit in facts["limits"])


@pytest.mark.parametrize(
    "facts",
    [{"kappamask:scenes": [{"bands": "13"}]}, {"kappamask:training": [1]}, {"kappamask:training": {"runs": [{}]}}],
)
def test_facts_that_cannot_be_read_are_a_card_error(tmp_path, facts):
    card = write_model(tmp_path, **facts)
    with pytest.raises(CardError, match="training facts or scores"):
        describe_network(card)


def test_a_card_needs_no_facts_of_quality(tmp_path):
    card = write_model(tmp_path, **{"kappamask:training": None, "kappamask:scenes": None})
    assert json.dumps(describe_network(card)) and format_network(describe_network(card))
