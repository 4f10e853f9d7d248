"""The process graph: load with a margin, mask in overlapping chunks, name, cast to bytes, clip."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openeo

from kappamask.models import LEVEL_BANDS, LEVELS, CubeError, ModelCard, check_thresholds, load_card
from kappamask.openeo_process.area import enlarged

__all__ = ["chunk_arguments", "cloud_mask", "load", "udf"]

CONTEXT_SCHEMA = 1
BLOCK = 16
"""Px; chunks of other sizes are shuffled once more when a GeoTIFF is written, and networks want this stride."""
TOP = 250
"""`linear_scale_range` with these whole numbers is the identity on codes and percents, and makes the cube uint8
with nodata 255; from 254 on the Copernicus back-end would not."""
PYTHON = "3.11"
"""UDF runtime version; must be that of the dependency archive."""


def load(
    connection: openeo.Connection,
    collection: str,
    *,
    area: dict[str, Any],
    dates: tuple[str, str],
    bands: list[str] | None = None,
    model: str | Path | ModelCard = "compact",
    overlap: int | None = None,
) -> openeo.DataCube:
    """A collection's cube over `area`, enlarged by the chunks' overlap; give `area` to `cloud_mask` as `clip_to`.

    bands: left out, all that the network knows and the collection offers. Raises CubeError for a wrong area.
    """
    card = load_card(model)
    if bands is None:
        offered = connection.collection_metadata(collection).band_names
        bands = [band for band in card.bands if band in offered]
    return connection.load_collection(
        collection,
        spatial_extent=enlarged(area, card.overlap if overlap is None else overlap),
        temporal_extent=list(dates),
        bands=bands,
    )


def cloud_mask(
    datacube: openeo.DataCube,
    *,
    model: str | Path | ModelCard = "compact",
    level: str | None = None,
    radiometry: str = "dn_harmonized",
    scores: bool = False,
    thresholds: Mapping[str, float] | None = None,
    size: int | None = None,
    overlap: int | None = None,
    clip_to: dict[str, Any] | None = None,
    python: str = PYTHON,
) -> openeo.DataCube:
    """KappaMask classes of every pixel of `datacube`, as a cube with the band `mask`.

    datacube: Sentinel-2 on a 10 m grid, bands B01 … B12, B8A; other bands are ignored.
    level: "L1C" or "L2A"; left out, the cube's bands or the card decide.
    radiometry: what the back-end serves; Copernicus Data Space serves "dn_harmonized".
    thresholds: class name to score, as {"cloud": 0.3}: taken where its score reaches that, and only there.
    size, overlap: of the chunks in pixels; left out, the card's window. clip_to: area that is kept.
    python: version of the UDF runtime, that of the dependency archive.

    On the back-end codes are exact and NaN means no data; saved as GTiff the mask is uint8 with nodata 255.
    Raises CubeError if chunk sizes or level do not fit, CardError for an unknown model.
    """
    card = load_card(model)
    code = udf(
        model=card, level=level or _level(datacube, card), radiometry=radiometry, scores=scores,
        thresholds=thresholds, python=python,
    )  # fmt: skip
    masked = datacube.apply_neighborhood(process=code, **chunk_arguments(card, size, overlap))
    named = masked.rename_labels("bands", target=card.result_bands(scores))
    as_bytes = named.apply(lambda x: x.linear_scale_range(0, TOP, 0, TOP))
    return as_bytes.filter_bbox(**clip_to) if clip_to else as_bytes


def udf(
    *,
    model: str | Path | ModelCard = "compact",
    level: str | None = None,
    radiometry: str = "dn_harmonized",
    scores: bool = False,
    thresholds: Mapping[str, float] | None = None,
    python: str = PYTHON,
) -> openeo.UDF:
    """The UDF alone, for those who write `apply_neighborhood` themselves; its context is on the run_udf node."""
    card = load_card(model)
    context: dict[str, Any] = {"schema": CONTEXT_SCHEMA, "model": card.id, "radiometry": radiometry}
    if level is not None:
        context["level"] = _checked(level, card)
    if scores:
        context["scores"] = True
    if thresholds:
        context["thresholds"] = dict(check_thresholds(card, thresholds))
    return openeo.UDF(_script(), runtime="Python", version=python, context=context)


def chunk_arguments(card: ModelCard, size: int | None = None, overlap: int | None = None) -> dict[str, Any]:
    """`size` and `overlap` of apply_neighborhood: square, one date at a time.

    Raises CubeError unless 0 < overlap <= size, and size and size + 2 * overlap are multiples of 16: otherwise
    back-ends shift the result, leave the overlap out, or shuffle once more.
    """
    overlap = card.overlap if overlap is None else overlap
    size = card.window - 2 * overlap if size is None else size
    if not 0 < overlap <= size:
        raise CubeError(f"Chunks of {size} px with {overlap} px overlap: needed is 0 < overlap <= size.")
    if size % BLOCK or (size + 2 * overlap) % BLOCK:
        raise CubeError(
            f"Chunks of {size} px with {overlap} px overlap: size and size + 2 * overlap must be multiples of {BLOCK}, "
            f"such as {card.window - 2 * card.overlap} with {card.overlap}."
        )

    def square(pixels: int) -> list[dict[str, Any]]:
        return [{"dimension": dimension, "unit": "px", "value": pixels} for dimension in ("x", "y")]

    return {"size": [*square(size), {"dimension": "t", "value": "P1D"}], "overlap": square(overlap)}


def _level(datacube: openeo.DataCube, card: ModelCard) -> str:
    bands = (datacube.metadata.band_names or []) if datacube.metadata and datacube.metadata.has_band_dimension() else []
    shown = {LEVEL_BANDS[band] for band in bands if band in LEVEL_BANDS} or set(card.levels)
    if len(shown) != 1:
        raise CubeError("The cube's bands do not tell its product level: say level='L1C' or level='L2A'.")
    return shown.pop()


def _checked(level: str, card: ModelCard) -> str:
    if level not in card.levels or level not in LEVELS:
        raise CubeError(f"{card.id} is for {' and '.join(card.levels)}, not for level {level!r}.")
    return level


def _script() -> str:
    spec = find_spec("kappamask.udf")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return (Path(next(iter(spec.submodule_search_locations))) / "script.py").read_text(encoding="utf-8")
