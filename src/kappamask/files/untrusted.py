"""Parse JSON and XML from untrusted sources, with limits."""

import json
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

from kappamask.models.card_document import make_object

__all__ = ["MAX_TEXT_BYTES", "parse_json", "parse_xml"]

MAX_TEXT_BYTES: Final = 2**24
"""Bytes of a document that are parsed unless the caller sets another limit."""


def parse_json(data: bytes | str, *, max_bytes: int = MAX_TEXT_BYTES, allow_nan: bool = False) -> Any:
    """Parse an untrusted JSON document.

    data: UTF-8 bytes or text. max_bytes: longest document that is parsed. allow_nan: accept NaN and Infinity, which
    JSON does not have (RFC 8259, 6) and which some writers of Zarr and STAC use.
    Raises ValueError for a longer document, one that is no JSON or is nested too deeply, and one that has a key twice
    in an object.
    """
    _check_length(data, max_bytes)
    constants = None if allow_nan else _refuse_constant
    try:
        return json.loads(data, object_pairs_hook=make_object, parse_constant=constants)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_xml(data: bytes, *, max_bytes: int = MAX_TEXT_BYTES) -> Element:
    """Parse an untrusted XML document without a document type declaration.

    Raises ValueError for a longer document, one that is no XML, and one with a DTD, which may define entities.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    _check_length(data, max_bytes)
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ValueError("it defines entities in a DTD") from error
    except ParseError as error:
        raise ValueError(str(error)) from error
    return root


def _check_length(data: bytes | str, max_bytes: int) -> None:
    if len(data) > max_bytes:
        raise ValueError(f"it is longer than {max_bytes >> 20} MiB")


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"it holds {word}, which JSON does not have")
