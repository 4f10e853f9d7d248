import math

import pytest

from kappamask.files.untrusted import parse_json, parse_xml

BOMB = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]><l>&b;</l>'


def test_documents_are_parsed() -> None:
    assert parse_json(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert math.isnan(parse_json("[NaN]", allow_nan=True)[0])
    assert parse_xml(b"<a><b>1</b></a>").findtext("b") == "1"


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ('{"a": 1, "a": 2}', "'a'"),
        ('[{"b": {"c": 1, "d": 2, "c": 3}}]', "'c'"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("[" * 200_000, "deeply"),
        ("{", "Expecting"),
        (b"\xff\xfe\xfa", "decode"),
        ("[" + " " * (2**20) + "]", "1 MiB"),
    ],
)
def test_json_that_is_ambiguous_or_endless_is_refused(text: bytes | str, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        parse_json(text, max_bytes=2**20)


@pytest.mark.parametrize(
    ("text", "fact"), [(BOMB, "DTD"), (b"<a>", "line 1"), (b"<a>" + b" " * 2**20 + b"</a>", "1 MiB")]
)
def test_xml_with_entities_or_without_end_is_refused(text: bytes, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        parse_xml(text, max_bytes=2**20)
