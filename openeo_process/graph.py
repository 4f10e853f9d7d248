"""Build the process graph: load with a margin, mask in overlapping chunks, rename, cast, clip."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Unpack

import openeo
from openeo.processes import or_, text_begins

from kappamask.models import CubeError, ModelCard, check_thresholds, load_card
from kappamask.models.band_names import check_band_list, choose_labels, find_labels
from kappamask.models.card import MISSING_CODE
from kappamask.models.cleaning import CleaningOptions, read_cleaning
from kappamask.models.schemes import KAPPAMASK, UNUSABLE, find_class_codes, find_scheme, is_kappamask
from kappamask.openeo_process.chunks import enlarge_extent, make_chunk_arguments, resolve_overlap
from kappamask.openeo_process.levels import check_level, resolve_level

__all__ = ["cloud_mask", "load", "make_chunk_arguments", "make_udf", "unusable", "unusable_pixels"]

CONTEXT_SCHEMA = 1
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
    max_cloud_cover: float | None = None,
    only: Iterable[str] = (),
    **cleaning: Unpack[CleaningOptions],
) -> openeo.DataCube:
    """Load a collection over `area`, enlarged by the overlap of the chunks.

    Give `area` to `cloud_mask` as `clip_to`.
    bands: names as B02, or the collection's own labels; left out, all that the network knows and the collection has.
    overlap, cleaning: the same as for `cloud_mask`, because cleaning needs a larger overlap.
    max_cloud_cover: percent of a product, as its own metadata tell, from which on it is left out.
    only: days, as "2018-02-02", of which the others are left out.

    Raises CubeError for a wrong area, for cleaning that chunks cannot do, and for openEO's local processing.
    """
    card = load_card(model)
    _refuse_local(connection)
    metadata = connection.collection_metadata(collection)
    offered = metadata.band_names if bands is None or metadata.has_band_dimension() else []
    wanted = [band for band in card.bands if band in find_labels(offered)] if bands is None else bands
    labels = zip(wanted, choose_labels(wanted, offered), strict=True)
    cube = connection.load_collection(
        collection,
        spatial_extent=enlarge_extent(area, resolve_overlap(card, overlap, read_cleaning(cleaning))),
        temporal_extent=list(dates),
        bands=[label or band for band, label in labels],
        max_cloud_cover=max_cloud_cover,
    )
    days = list(only)
    return cube.filter_labels(lambda value: _matches_day(value, days), dimension="t") if days else cube


def _matches_day(label: Any, days: list[str]) -> Any:
    """Compare a label of t with days; back-ends write labels with or without seconds."""
    return reduce(or_, (text_begins(label, day) for day in days))


def cloud_mask(
    datacube: openeo.DataCube,
    *,
    model: str | Path | ModelCard = "compact",
    level: str | None = None,
    radiometry: str = "dn_harmonized",
    scores: bool = False,
    thresholds: Mapping[str, float] | None = None,
    scheme: str = KAPPAMASK,
    size: int | None = None,
    overlap: int | None = None,
    clip_to: dict[str, Any] | None = None,
    python: str = PYTHON,
    package: str | None = None,
    **cleaning: Unpack[CleaningOptions],
) -> openeo.DataCube:
    """Classify every pixel of `datacube`; the result is a cube with the band `mask`.

    datacube: Sentinel-2 on a 10 m grid, bands B01 … B12, B8A; other bands are ignored.
    level: "L1C" or "L2A"; left out, the cube's bands, its collection's name or the card decide.
    radiometry: what the back-end serves; Copernicus Data Space serves "dn_harmonized".
    thresholds: class name to score, as {"cloud": 0.3}: taken where its score reaches that, and only there.
    scheme: class scheme of the mask, such as "SCL"; see `kappamask.udf.to_scheme`.
    size, overlap: of the chunks in pixels; left out, together the card's window (see `make_chunk_arguments`).
    clip_to: area that is kept.
    python: version of the UDF runtime, that of the dependency archive.
    package: hash that the archive must have (`kappamask.models.package`), or the job fails; left out, any will do.
    cleaning: buffer_m, min_object_m2, fill_holes_m2, shadow_length_m, sun, as for `kappamask.udf.clean`; the overlap is
        enlarged so that chunks are cleaned as the whole image would be. Give the same to `load`.

    On the back-end codes are exact and NaN means no data; saved as GTiff the mask is uint8 with nodata 255.
    Raises CubeError if chunk sizes do not fit, if the level contradicts the cube's bands or collection, for an unknown
    scheme, for cleaning that chunks cannot do as the whole image would be, and for a cube of openEO's local processing;
    CardError for an unknown model.
    """
    card = load_card(model)
    _refuse_local(datacube.connection)
    code = make_udf(
        model=card, level=resolve_level(datacube, level, card), radiometry=radiometry, scores=scores,
        thresholds=thresholds, scheme=scheme, python=python, package=package, **cleaning,
    )  # fmt: skip
    arguments = make_chunk_arguments(card, size, overlap, read_cleaning(cleaning))
    masked = datacube.apply_neighborhood(process=code, **arguments)
    named = masked.rename_labels("bands", target=card.result_bands(scores))
    as_bytes = named.apply(lambda x: x.linear_scale_range(0, TOP, 0, TOP))
    return as_bytes.filter_bbox(**clip_to) if clip_to else as_bytes


def make_udf(
    *,
    model: str | Path | ModelCard = "compact",
    level: str | None = None,
    radiometry: str = "dn_harmonized",
    scores: bool = False,
    thresholds: Mapping[str, float] | None = None,
    scheme: str = KAPPAMASK,
    python: str = PYTHON,
    package: str | None = None,
    bands: Sequence[str] | None = None,
    **cleaning: Unpack[CleaningOptions],
) -> openeo.UDF:
    """Return the UDF alone, for those who write `apply_neighborhood` themselves.

    Its context is on the run_udf node.
    bands: names, in order, of a cube whose bands have none or are only numbered.
    With cleaning, the overlap must be that of `make_chunk_arguments`, or results differ near the chunks' borders.
    """
    card = load_card(model)
    context: dict[str, Any] = {"schema": CONTEXT_SCHEMA, "model": card.id, "radiometry": radiometry}
    if level is not None:
        context["level"] = check_level(level, card)
    if scores:
        context["scores"] = True
    if thresholds:
        context["thresholds"] = dict(check_thresholds(card, thresholds))
    if not is_kappamask(scheme):
        context["scheme"] = find_scheme(scheme).name
    if package is not None:
        context["package"] = package
    if bands is not None:
        check_band_list(bands)
        context["bands"] = list(bands)
    if read_cleaning(cleaning):
        context.update({key: value for key, value in cleaning.items() if value is not None})
    return openeo.UDF(_read_script(), runtime="Python", version=python, context=context)


def unusable_pixels(mask: openeo.DataCube, classes: Iterable[str] = UNUSABLE) -> openeo.DataCube:
    """Return 1 where a cube of KappaMask classes has one of `classes`, else 0.

    Where it has no data the result has none. What openEO's `mask` wants: `datacube.mask(unusable_pixels(mask))` leaves
    out cloud and shadow. mask: as `cloud_mask` gives it, in KappaMask's scheme, with the band `mask` alone. Raises
    CubeError for an unknown class, or none but missing.
    """
    codes = [code for code in find_class_codes(classes) if code != MISSING_CODE]
    if not codes:
        raise CubeError("On a back-end missing pixels have no data in any band: name other classes, such as 'cloud'.")
    return mask.apply(lambda x: reduce(or_, [x == code for code in codes]))


udf, unusable = make_udf, unusable_pixels
"""Names of earlier versions."""


def _refuse_local(connection: Any) -> None:
    """Raise CubeError for a cube of openEO's client-side processing, which cannot run the graph."""
    if type(connection).__module__.startswith("openeo.local"):
        raise CubeError(
            "openEO's LocalConnection does not run UDFs in apply_neighborhood. For files on this machine use "
            "kappamask.udf.cloud_mask(cube.execute(), level=…), kappamask.workflows.mask_scene(path, 'mask.tif'), or "
            "the back-end of `kappamask serve --scenes FOLDER`."
        )


def _read_script() -> str:
    spec = find_spec("kappamask.udf")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return (Path(next(iter(spec.submodule_search_locations))) / "script.py").read_text(encoding="utf-8")
