"""Options that several commands share, and what they print."""

import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kappamask.models import CubeError, SceneError
from kappamask.models.band_names import normalise_bands
from kappamask.models.cleaning import read_cleaning
from kappamask.models.schemes import KAPPAMASK, find_scheme, is_kappamask
from kappamask.openeo_process.jobs.journal import locate_journal

__all__ = [
    "JOURNAL",
    "PIXELS",
    "RUNNING",
    "SHAPES",
    "AllowHoles",
    "AsJson",
    "AtOnce",
    "Buffer",
    "Engine",
    "FillHoles",
    "Grounds",
    "JournalFile",
    "Level",
    "MinObject",
    "Model",
    "Radiometry",
    "Scheme",
    "parse_bands",
    "parse_cleaning",
    "parse_scheme",
    "parse_thresholds",
    "print_result",
]

SHAPES, PIXELS, RUNNING = "Classes and cleaning", "Scene and network", "Running"
"""Panels of the help; the first panel has what most people need."""
JOURNAL = locate_journal()
JournalFile = Annotated[
    Path, typer.Option("--journal", help="File in which jobs are recorded.", rich_help_panel=RUNNING)
]
AllowHoles = Annotated[
    bool,
    typer.Option(
        "--allow-holes",
        help="Take masks that lack data, or a part of their area, without a reason.",
        rich_help_panel=RUNNING,
    ),
]
AtOnce = Annotated[int, typer.Option(min=1, help="Jobs that may run at the same time.", rich_help_panel=RUNNING)]


class Level(StrEnum):
    """Product levels."""

    L1C = "L1C"
    L2A = "L2A"


class Engine(StrEnum):
    """What computes: this process (of a job, its own), or dask workers."""

    LOCAL = "local"
    DASK = "dask"


class Radiometry(StrEnum):
    """Readings of the numbers, as `kappamask.udf.cloud_mask` takes them."""

    AUTO = "auto"
    REFLECTANCE = "reflectance"
    DN_HARMONIZED = "dn_harmonized"
    DN_OFFSET = "dn_offset"


Model = Annotated[
    str, typer.Option("--model", help="A model's id, or the path of a card (see: kappamask models list).")
]
Grounds = Annotated[
    Path | None,
    typer.Option(
        "--ground", metavar="FOLDER", help="Clear scenes of your own to paint clouds on as well: .npz of dn and bands.",
        show_default=False,
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


Scheme = Annotated[
    str,
    typer.Option(help="Classes of another mask: SCL, CMIX, Fmask, …, or bits.", metavar="NAME", rich_help_panel=SHAPES),
]


Buffer = Annotated[
    list[str] | None,
    typer.Option(
        help="Let cloud and shadow grow by METRES, or one class by CLASS=METRES.",
        metavar="METRES",
        rich_help_panel=SHAPES,
    ),
]


MinObject = Annotated[
    float,
    typer.Option(
        help="Clouds and shadows smaller than this, in m², become clear.", metavar="AREA", rich_help_panel=SHAPES
    ),
]


FillHoles = Annotated[
    float,
    typer.Option(
        help="Clear areas smaller than this, in m², inside clouds are filled.", metavar="AREA", rich_help_panel=SHAPES
    ),
]


def print_result(result: dict[str, Any] | list[Any], lines: list[str], as_json: bool) -> None:
    """Print `result` as JSON, or `lines` for people."""
    typer.echo(json.dumps(result, indent=2) if as_json else "\n".join(lines))


def parse_scheme(text: str) -> str:
    """Parse a class scheme as its table spells it."""
    try:
        return KAPPAMASK if is_kappamask(text) else find_scheme(text).name
    except CubeError as error:
        raise typer.BadParameter(str(error), param_hint="--scheme") from error


def parse_bands(text: str | None) -> tuple[str, ...] | None:
    """Parse B02,B03,… as labels."""
    if text is None:
        return None
    try:
        return tuple(normalise_bands(word.strip() for word in text.split(",")))
    except SceneError as error:
        raise typer.BadParameter(str(error), param_hint="--bands") from error


def parse_thresholds(texts: Iterable[str]) -> dict[str, float]:
    """Parse several CLASS=SCORE."""
    return dict(_parse_name_value(text, "--threshold", "CLASS=SCORE, such as cloud=0.3") for text in texts)


def parse_cleaning(
    buffers: Iterable[str], min_object_m2: float, fill_holes_m2: float, shadow_length_m: float
) -> dict[str, Any]:
    """Make options of `kappamask.udf.clean`; `buffers`: several METRES or CLASS=METRES."""
    pairs = dict(_parse_buffer(text) for text in buffers)
    if "" in pairs and len(pairs) > 1:
        raise typer.BadParameter("say METRES once, or CLASS=METRES for each class", param_hint="--buffer-m")
    sizes = {"min_object_m2": min_object_m2, "fill_holes_m2": fill_holes_m2, "shadow_length_m": shadow_length_m}
    asked = {"buffer_m": pairs.get("", pairs), **sizes}
    wanted = {name: value for name, value in asked.items() if value}
    try:
        read_cleaning(wanted)
    except CubeError as error:
        raise typer.BadParameter(str(error)) from error
    return wanted


def _parse_buffer(text: str) -> tuple[str, float]:
    return _parse_name_value(
        text if "=" in text else f"={text}", "--buffer-m", "METRES or CLASS=METRES, such as cloud=60"
    )


def _parse_name_value(text: str, option: str, needed: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise typer.BadParameter(f"{text.lstrip('=')!r} is no {needed}", param_hint=option) from None
