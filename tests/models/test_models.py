"""Cards and weights are valid and complete, and untrusted ones are refused."""

import contextlib
import copy
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import brightness_network, card_document, serialise, write_model
from onnx import TensorProto, helper, numpy_helper

from kappamask.models import (
    CardError,
    Mosaic,
    Scaling,
    WeightsError,
    catalog,
    compute_card_digest,
    list_cards,
    load_card,
    parse_card,
    read_weights,
)
from kappamask.models.catalog import FOLDER
from kappamask.models.weights import check_onnx


@pytest.mark.parametrize("card", list_cards(), ids=lambda c: c.id)
def test_every_card_of_the_package_has_its_network(card):
    assert hashlib.sha256(read_weights(card)).hexdigest() == card.sha256
    model = onnx.load_from_string(read_weights(card))
    onnx.checker.check_model(model)
    assert model.ir_version <= 9
    assert max(o.version for o in model.opset_import) <= 19


def test_compact_is_what_the_readme_says():
    card = load_card("compact")
    assert card.required == {"B02", "B03", "B04"}
    assert card.levels == ("L1C", "L2A")
    assert [c.value for c in card.classes] == [0, 1, 2, 3, 4, 5]
    assert card.licence == "Apache-2.0"
    assert "not KappaZeta's" in card.provenance
    assert (FOLDER / card.file).stat().st_size < 12_000_000


def test_loaded_by_id_by_file_and_by_folder(tmp_path):
    card = write_model(tmp_path)
    assert load_card(tmp_path / "card.json") == load_card(str(tmp_path)) == load_card(card) == card
    assert load_card("compact").id == "compact"


def test_a_digest_is_of_what_a_card_says_and_not_of_where_it_lies(tmp_path):
    card = write_model(tmp_path)
    wherever = replace(card, folder=tmp_path / "elsewhere", document="mine.json")
    assert compute_card_digest(wherever) == compute_card_digest(card)
    changed = [
        replace(card, fill=-1.0),
        replace(card, output=card.output[::-1]),
        replace(card, scaling=(Scaling(2.0, 0.0), *card.scaling[1:])),
        replace(card, required=card.required - {"B02"}),
        replace(card, mosaic=Mosaic(32, 8, "symmetric", "crop", 8)),
    ]
    assert len({compute_card_digest(one) for one in (card, *changed)}) == len(changed) + 1


def test_a_digest_is_the_same_in_any_process():
    said = {
        subprocess.run(
            [sys.executable, "-c", "from kappamask.models import *; print(compute_card_digest(load_card()))"],
            env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert said == {compute_card_digest(load_card())}


@pytest.mark.parametrize("name", ["x" * 5000, "nonesuch", "../models/compact", "", "/", "compact.onnx", "\0"])
def test_an_unknown_model_lists_the_known(name):
    with pytest.raises(CardError, match="known ids are compact"):
        load_card(name)


@pytest.mark.parametrize(
    ("model", "says"),
    [("mine/", "No card mine/"), ("card.json", "No card card.json"), ("net.onnx", "kappamask models card NET.onnx")],
)
def test_a_path_without_a_card_is_named_as_a_path(tmp_path, monkeypatch, model, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CardError, match=says):
        load_card(model)


def test_a_wrong_id_names_the_nearest_and_how_to_get_it():
    with pytest.raises(CardError, match=r"did you mean compact\?"):
        load_card("compakt")
    with pytest.raises(CardError, match=r"did you mean official-l2a-unet\?.*kappamask models fetch official-l2a-unet"):
        load_card("official-l2a-unte")
    with pytest.raises(CardError, match=r"download.*kappamask models fetch official-l1c-unet"):
        load_card("official-l1c-unet")


def test_all_missing_keys_of_a_card_are_named_at_once():
    document = card_document("a" * 64)
    removed = ("kappamask:levels", "license", "mlm:output")
    document["properties"] = {key: value for key, value in document["properties"].items() if key not in removed}
    del document["assets"]["weights"]["file:checksum"]
    with pytest.raises(CardError) as caught:
        parse_card(document)
    for key in (*removed[:2], "mlm:output[0].classification:classes", "assets.weights.file:checksum"):
        assert key in str(caught.value)
    assert "kappamask:fill" not in str(caught.value) and "kappamask models card" in str(caught.value)


def test_level_plane_and_colours_have_defaults():
    document = copy.deepcopy(card_document("a" * 64))
    plain = parse_card(document)
    del document["properties"]["kappamask:level_plane"]
    for one in document["properties"]["mlm:output"][0]["classification:classes"]:
        del one["color_hint"]
    found = parse_card(document)
    assert found.level_plane is False
    assert {c.value: c.color_hint for c in found.classes} == {
        c.value: c.color_hint for c in load_card("compact").classes if c.value in {p.value for p in plain.classes}
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kappamask:levels": ["L3"]}, "levels are"),
        ({"kappamask:required_bands": ["B12"]}, "required bands"),
        ({"kappamask:required_bands": []}, "required bands"),
        ({"kappamask:window": 63}, "multiple of the stride"),
        ({"kappamask:local_window": 32}, "local_window must be as large as window"),
        ({"kappamask:overlap": 32}, "overlap must fit"),
        ({"kappamask:overlap": 0}, "overlap must fit"),
        ({"kappamask:overlap": 8.5}, "whole number"),
        ({"kappamask:stride": 0}, "multiple of the stride"),
        ({"kappamask:level_plane": 1}, "true or false"),
        ({"kappamask:fill": float("nan")}, "fill must be finite"),
        ({"kappamask:output_values": [1, 9]}, "output classes"),
        ({"kappamask:output_values": [1, 1]}, "same class"),
        ({"kappamask:fill": 1e308}, "fill must be finite"),
        ({"license": None}, "a text is needed"),
        ({"mlm:input": []}, r"mlm:input\[0\]\.bands.*mlm:input\[0\]\.value_scaling"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(change, says):
    document = card_document("a" * 64, **change)
    with pytest.raises(CardError, match=says):
        parse_card(document)


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        (("id",), "../x", "plain name"),
        (("assets", "weights", "href"), "../../etc/passwd.onnx", "NAME.onnx"),
        (("assets", "weights", "href"), "https://example.org/x.onnx", "NAME.onnx"),
        (("assets", "weights", "file:checksum"), "1220abc", "sha256"),
        (("properties", "mlm:input", 0, "bands"), ["B02", "B03", "B04", "B08", "B77"], "B77"),
        (("properties", "mlm:input", 0, "bands"), ["B02", "B03", "B04", "B08", "B08"], "twice"),
        (("properties", "mlm:input", 0, "bands"), ["B02", "B03", "B04"], "5 scalings for 3 bands"),
        (("properties", "mlm:input", 0, "value_scaling", 1), {"type": "z-score", "mean": 0, "stddev": 0}, "division"),
        (("properties", "mlm:input", 0, "value_scaling", 1), {"type": "scale", "value": float("inf")}, "gain"),
        (("properties", "mlm:input", 0, "value_scaling", 1), {"type": "clip"}, "not among z-score"),
        (("properties", "mlm:output", 0, "classification:classes", 5, "value"), 6, "class 5 must be 'missing'"),
        (("properties", "mlm:output", 0, "classification:classes", 5, "name"), "clear", "class 5 must be 'missing'"),
        (("properties", "mlm:output", 0, "classification:classes", 0, "value"), 255, "0 to 254"),
        (("properties", "mlm:output", 0, "classification:classes", 0, "value"), 1, "class value is given twice"),
        (("properties", "mlm:output", 0, "classification:classes", 0, "color_hint"), "red", "RRGGBB"),
    ],
)
def test_a_card_with_a_wrong_value_is_refused(where, value, says):
    document = copy.deepcopy(card_document("a" * 64))
    target = document
    for key in where[:-1]:
        target = target[key]
    target[where[-1]] = value
    with pytest.raises(CardError, match=says):
        parse_card(document)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(value=json_values, place=st.integers(0, 10_000))
def test_whatever_stands_in_a_card_it_is_read_or_refused_as_a_card_error(value, place):
    document = json.loads(json.dumps(card_document("a" * 64)))
    spots = list(_places(document))
    container, key = spots[place % len(spots)]
    container[key] = value
    with contextlib.suppress(CardError):
        parse_card(document)


def _places(value):
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield value, key
        yield from _places(inner)


@pytest.mark.parametrize("text", [b"", b"hello", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_card(tmp_path, text):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "card.json").write_bytes(text)
    with pytest.raises(CardError, match=r"^mine/card\.json "):
        load_card(tmp_path / "mine")


def test_a_card_with_a_key_twice_is_refused(tmp_path):
    text = json.dumps(card_document("a" * 64))
    (tmp_path / "card.json").write_text(text.replace('"id":', '"id": "other", "id":', 1))
    with pytest.raises(CardError, match="'id' twice"):
        load_card(tmp_path)


def test_a_file_that_is_too_large_for_a_card(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps(card_document("a" * 64, note="x" * 1_000_000)))
    with pytest.raises(CardError, match=r"/card\.json .*1 MB"):
        load_card(tmp_path)


def test_one_broken_card_hides_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "CACHE", tmp_path)
    write_model(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "card.json").write_text("{")
    broken = []
    assert {card.id for card in list_cards(broken.append)} == {"brightness", "compact", "compact-int8"}
    (error,) = broken
    assert str(error).startswith("bad/card.json cannot be read")
    with pytest.raises(CardError, match="bad/card"):
        list_cards()


def test_weights_tampered_with_truncated_or_gone(tmp_path):
    card = write_model(tmp_path)
    path = tmp_path / "model.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0")
    with pytest.raises(WeightsError, match="is not the network of its card"):
        read_weights(card)
    path.unlink()
    with pytest.raises(WeightsError, match=r"model\.onnx.*card"):
        read_weights(card)
    path.write_bytes(whole)
    assert read_weights(card) == whole


@pytest.mark.parametrize("kind", ["endless", "pipe"])
def test_weights_that_are_no_file_are_not_read(tmp_path, kind):
    card = write_model(tmp_path)
    path = tmp_path / "model.onnx"
    path.unlink()
    path.symlink_to("/dev/zero") if kind == "endless" else os.mkfifo(path)
    with pytest.raises(WeightsError, match="there is no file"):
        read_weights(card)


def test_the_hash_is_checked_once_per_process(tmp_path, monkeypatch):
    card = write_model(tmp_path, brightness_network(reach=2))
    first = read_weights(card)
    monkeypatch.setattr(hashlib, "sha256", lambda *_: pytest.fail("hashed again"))
    assert read_weights(card) is first


def change_model(change):
    model = onnx.load_from_string(brightness_network())
    change(model)
    return serialise(model)


def _external(model):
    tensor = model.graph.initializer[0]
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../secret.bin"
    tensor.data_location = TensorProto.EXTERNAL


def _custom_operator(model):
    model.graph.node[0].domain = "evil.example"
    model.opset_import.append(helper.make_opsetid("evil.example", 1))


def _hidden_in_a_subgraph(model):
    inner = helper.make_graph([helper.make_node("X", [], ["o"], domain="evil.example")], "g", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=inner))


def _external_in_an_attribute(model):
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "t")
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.node.append(helper.make_node("Constant", [], ["k"], value=tensor))


def _function(model):
    model.functions.append(helper.make_function("local", "F", [], ["y"], [], [helper.make_opsetid("", 17)]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_external, "external data"),
        (_external_in_an_attribute, "external data"),
        (_custom_operator, "evil.example"),
        (_hidden_in_a_subgraph, "evil.example"),
        (_function, "local function"),
    ],
)
def test_networks_that_reach_out_are_refused(tmp_path, change, says):
    card = write_model(tmp_path, change_model(change))
    with pytest.raises(WeightsError, match=says):
        read_weights(card)


@given(cut=st.integers(0, 3000), noise=st.binary(max_size=40))
def test_no_bytes_make_the_guard_fail_otherwise(cut, noise):
    data = brightness_network()
    with contextlib.suppress(WeightsError):
        check_onnx(data[:cut] + noise + data[cut:])


@pytest.mark.parametrize("data", [b"", b"MZ\x90", b"\x0a", brightness_network()[:-30]])
def test_what_is_no_onnx_is_said_to_be_none(tmp_path, data):
    with pytest.raises(WeightsError, match="not a whole ONNX network"):
        check_onnx(data)
