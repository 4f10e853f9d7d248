"""Small STAC items as catalogues write them, and a local server that answers ranges."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from files import CRS, digits, geotiff
from rasterio.transform import from_origin

KEYS = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B08": "nir", "B8A": "nir08", "B11": "swir16",
}  # fmt: skip
"""Band -> its key in Earth Search."""
METRES = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B05": 20, "B8A": 20, "B11": 20}
EARTH_SEARCH = "https://earth-search.aws.element84.com/v1/collections/sentinel-2-l2a/items/x"
PLANETARY = "https://planetarycomputer.microsoft.com/api/stac/v1/collections/sentinel-2-l2a/items/x"
COPERNICUS = "https://stac.dataspace.copernicus.eu/v1/collections/sentinel-2-l2a/items/x"


def raw_item(
    assets: dict[str, dict[str, Any]],
    collection: str | None = "sentinel-2-l2a",
    self_href: str | None = None,
    name: str = "S2B_35VLC_20210527_0_L2A",
    date: str = "2021-05-27T10:20:21.024Z",
    **properties: Any,
) -> dict[str, Any]:
    links = [{"rel": "self", "href": self_href}] if self_href else []
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": name, "collection": collection,
        "geometry": {"type": "Point", "coordinates": [27.0, 58.6]}, "bbox": [26.9, 58.5, 27.1, 58.7],
        "properties": {"datetime": date} | properties, "links": links, "assets": assets,
    }  # fmt: skip


def cogs(folder: Path, west: float = 500_000.0, **change: Any) -> dict[str, dict[str, Any]]:
    """Write COGs of all `METRES`, 1.2 km a side, with Earth Search's assets."""
    assets = {}
    for number, (band, metres) in enumerate(METRES.items()):
        side = 1200 // metres
        values = digits(len(METRES), side, side)[[number]]
        place = {"crs": CRS, "transform": from_origin(west, 6_500_000.0, metres, metres)}
        geotiff(folder / f"{band}.tif", values, (None,), driver="COG", blocksize=128, nodata=0, **place)
        assets[KEYS[band]] = {
            "href": f"./{band}.tif", "type": "image/tiff; application=geotiff; profile=cloud-optimized", "gsd": metres,
            "roles": ["data", "reflectance"],
        } | change  # fmt: skip
    return assets


def with_scale(assets: dict[str, dict[str, Any]], offset: float, new: bool = False) -> dict[str, dict[str, Any]]:
    """Give `assets` scale and offset.

    As the raster extension or, `new`, as STAC 1.1 states them.
    """
    entries = (
        {"raster:scale": 1e-4, "raster:offset": offset}
        if new
        else {"raster:bands": [{"scale": 1e-4, "offset": offset}]}
    )
    return {key: asset | entries for key, asset in assets.items()}


def write_item(folder: Path, raw: dict[str, Any], name: str = "item.json") -> Path:
    (folder / name).write_text(json.dumps(raw))
    return folder / name


class _Ranges(SimpleHTTPRequestHandler):
    """Answers one range of a file, as storage in the cloud does."""

    def send_head(self):
        path, asked = Path(self.translate_path(self.path)), self.headers.get("Range")
        if not asked or not path.is_file():
            return super().send_head()
        first, _, last = asked.removeprefix("bytes=").partition("-")
        size = path.stat().st_size
        stop = min(int(last) if last else size - 1, size - 1)
        file = path.open("rb")
        file.seek(int(first))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{stop}/{size}")
        self.send_header("Content-Length", str(stop - int(first) + 1))
        self.end_headers()
        return _Part(file, stop - int(first) + 1)

    def do_POST(self) -> None:
        """A search: whatever is asked for, the answer is the file of that name."""
        self.server.seen.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.do_GET()

    def log_message(self, *words: Any) -> None:
        self.server.seen.append(self.path)


class _Part:
    def __init__(self, file: Any, left: int) -> None:
        self.file, self.left = file, left

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(min(size if size >= 0 else self.left, self.left))
        self.left -= len(data)
        return data

    def close(self) -> None:
        self.file.close()


@contextmanager
def serve_folder(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve `folder` on this machine; yield its address and the paths asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, directory=str(folder)))
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
