"""Collections of a scenes folder, with `load_collection` and `load_stac` over them."""

from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd
from openeo_driver.backend import AbstractCollectionCatalog, LoadParameters
from openeo_driver.errors import CollectionNotFoundException, OpenEOApiException
from openeo_driver.utils import EvalEnv

from kappamask.backend.cube import SceneCube, describe_band
from kappamask.backend.engines import Run
from kappamask.backend.load import Request, load
from kappamask.backend.scene_index import ANNOUNCED, COLLECTIONS, SceneRecord, filter_scenes, index
from kappamask.files.geojson import join_boxes
from kappamask.models.cleaning import PIXEL_M

__all__ = ["Catalog", "load_scenes"]

TITLES = {"L1C": "Sentinel-2 top of atmosphere", "L2A": "Sentinel-2 surface reflectance"}


class Catalog(AbstractCollectionCatalog):  # type: ignore[misc]
    """Offer SENTINEL2_L1C and SENTINEL2_L2A over a folder's scenes, searched again on each request."""

    def __init__(self, folder: Path, run: Run) -> None:
        self._folder = folder
        self._run = run

    def get_all_metadata(self) -> list[dict[str, Any]]:
        """Return the metadata of both collections."""
        return [self.get_collection_metadata(name) for name in COLLECTIONS]

    def get_collection_metadata(self, collection_id: str) -> dict[str, Any]:
        """Make a STAC collection with `cube:dimensions`; extents and bands are those of the scenes."""
        if collection_id not in COLLECTIONS:
            raise CollectionNotFoundException(collection_id)
        return describe_collection(collection_id, index(self._folder, collection_id))

    def load_collection(self, collection_id: str, load_params: LoadParameters, env: EvalEnv) -> SceneCube:
        """Load what a graph asks of a collection, plus what its neighbourhoods need."""
        return load_scenes(index(self._folder, collection_id), load_params, self._run, env)


def load_scenes(scenes: list[SceneRecord], params: LoadParameters, run: Run, env: EvalEnv) -> SceneCube:
    """Load scenes as a graph asks; other filters than cloud cover are refused."""
    scenes = filter_scenes(scenes, params.properties or {}, env)
    known = {band for scene in scenes for band in scene.bands}
    unknown = [band for band in params.bands or [] if band not in known]
    if unknown and known:
        message = f"No band {', '.join(unknown)}; there are {', '.join(sorted(known))}."
        raise OpenEOApiException(message, code="BandNotFound", status_code=400)
    extent = params.spatial_extent
    start, end = params.temporal_extent or (None, None)
    request = Request(
        bands=params.bands,
        extent=(extent["west"], extent["south"], extent["east"], extent["north"]) if extent else None,
        crs=extent.get("crs") or 4326 if extent else 4326,
        start=start,
        end=end,
        margin=_count_margin_px(params),
    )
    array, area = load(scenes, request)
    return SceneCube(array, area, request.margin, run)


def _count_margin_px(params: LoadParameters) -> int:
    """Count the source's pixels that a neighbourhood needs beyond the area."""
    pixels = float(max(params.pixel_buffer or [0]))
    coarser = float(max(params.target_resolution or [0])) / PIXEL_M if params.pixel_buffer else 1
    return ceil(pixels * max(coarser, 1.0))


def describe_collection(name: str, scenes: list[SceneRecord]) -> dict[str, Any]:
    """Describe a STAC collection as openEO wants it."""
    level = COLLECTIONS[name]
    bands = [b for b in ANNOUNCED[level] if not scenes or any(b in scene.bands for scene in scenes)]
    boxes = [scene.lonlat() for scene in scenes] or [(-180.0, -90.0, 180.0, 90.0)]
    bbox = [*join_boxes(boxes)]
    longitudes = [bbox[0], bbox[2] + 360 * (bbox[0] > bbox[2])]  # an axis counts on beyond 180, a box does not
    interval = [_format_iso(scenes[0].datetime), _format_iso(scenes[-1].datetime)] if scenes else [None, None]
    described = [
        {key: value for key, value in describe_band(band)._asdict().items() if value is not None} for band in bands
    ]
    system = pd.Series([scene.epsg for scene in scenes] or [4326]).mode()[0]
    plane = {"type": "spatial", "reference_system": int(system), "step": PIXEL_M}
    return {
        "stac_version": "1.0.0",
        "type": "Collection",
        "id": name,
        "title": TITLES[level],
        "description": f"{TITLES[level]}, Level-{level[1:]}, from {len(scenes)} local scenes. "
        "Digital numbers without radiometric offset, no data as NaN.",
        "license": "proprietary",
        "extent": {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [interval]}},
        "cube:dimensions": {
            "x": {**plane, "axis": "x", "extent": longitudes},
            "y": {**plane, "axis": "y", "extent": bbox[1::2]},
            "t": {"type": "temporal", "extent": interval},
            "bands": {"type": "bands", "values": bands},
        },
        "summaries": {"eo:bands": described, "bands": [{"name": band} for band in bands]},
        "links": [],
    }


def _format_iso(when: pd.Timestamp) -> str:
    return f"{when.isoformat(timespec='seconds')}Z"
