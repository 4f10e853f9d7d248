"""Pixel reader for odc-stac that uses this package's checks and resampling."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from pathlib import Path
from typing import Any, Final

import numpy as np
from dask.array import Array
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import DatasetReader, MemoryFile
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from kappamask.files.archives import Source
from kappamask.files.urls import redact
from kappamask.models import SceneError
from kappamask.models.errors import make_extra_error
from kappamask.scenes.encoding import fits
from kappamask.scenes.grid import to_rasterio_crs
from kappamask.scenes.readers.raster import CHUNK, NODATA_DN, find_hidden_pixels, has_mask, number_type
from kappamask.scenes.readers.remote import is_url, open_raster
from kappamask.scenes.readers.stac_grid import Footprint, check_footprint
from kappamask.scenes.resample import resample_window

__all__ = ["Driver", "append_band_number", "fill_hidden", "find_source_window", "load_pixels"]

PROJECTION: Final = "https://stac-extensions.github.io/projection/v1.1.0/schema.json"
AROUND: Final = 64
"""Pixels of a file that are read around those that are needed, for the longest kernel."""
START: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Items need a time; theirs are set apart, and the true ones are written into the cube."""
BAND: Final = "#kappamask-band="
"""Between a source and the number of a band in it; fragments of addresses mean nothing to stores."""
Part = tuple[slice, slice]


def load_pixels(sources: Sequence[Mapping[str, str]], target: GeoBox, driver: "Driver") -> Array:
    """Load a dask array (item, band, y, x) on `target`.

    Each item has a file or address for each band label, in order.
    """
    try:
        from odc.stac import load
    except ModuleNotFoundError as error:
        raise make_extra_error("odc-stac", "stac", user="A STAC item") from error
    labels = list(sources[0])
    loaded = load(
        [_bare_item(number, assets, target) for number, assets in enumerate(sources)],
        bands=labels,
        geobox=target,
        chunks={"y": CHUNK, "x": CHUNK},
        groupby="id",
        dtype=str(driver.dtype),
        nodata=driver.nodata,
        driver=driver,
    )
    stacked = loaded[labels].to_dataarray("bands")
    pixels: Array = stacked.transpose("time", "bands", ...).data  # then rows and columns, by names that the CRS gives
    return pixels


def _bare_item(number: int, assets: Mapping[str, str], target: GeoBox) -> Any:
    """Make an item that has only checked hrefs, each declared to cover the target.

    So each chunk reads all of them.
    """
    import pystac

    place = {"proj:shape": [*target.shape], "proj:transform": list(target.transform)[:6]}
    when = START + timedelta(seconds=number)
    facts = {"proj:wkt2": str(target.crs)}
    item = pystac.Item(str(number), None, None, when, facts, stac_extensions=[PROJECTION])
    for label, href in assets.items():
        item.add_asset(label, pystac.Asset(href, media_type="image/tiff", roles=["data"], extra_fields=place))
    return item


def append_band_number(source: str | Path, band: int) -> str:
    """Append the band number to a source, as text, unless it is 1."""
    return str(source) if band == 1 else f"{source}{BAND}{band}"


class Driver:
    """An odc-loader `ReaderDriver` for one band of a GeoTIFF or JPEG 2000.

    The source is a file or an address.
    Reading raises SceneError where a file cannot be read or holds other numbers than `dtype`; odc's own driver would
    open whatever GDAL knows, VRT and the like, which name further files and hosts.
    """

    md_parser = None
    dask_reader = None
    aux_reader = None

    def __init__(
        self,
        dtype: np.dtype[Any],
        nodata: float,
        kernel: str,
        stated: Mapping[str, tuple[float, ...]] | None = None,
        footprints: Mapping[str, Footprint] | None = None,
    ) -> None:
        """Set the nodata value of what is read, and what items state.

        `stated`: file or address -> nodata values that its item states for it. `footprints`: file or address -> where
        its pixels should be.
        """
        self.dtype, self.nodata, self.kernel, self.stated = dtype, nodata, kernel, dict(stated or {})
        self.footprints = dict(footprints or {})

    def new_load(self, geobox: Any, *, chunks: Any = None) -> None:
        """Return nothing: nothing is shared between reads."""

    def finalise_load(self, load_state: Any) -> None:
        """Return nothing: nothing is left to close."""

    def capture_env(self) -> dict[str, Any]:
        """Return no settings: the caller's GDAL has none that count."""
        return {}

    @contextmanager
    def restore_env(self, env: Any, load_state: Any) -> Iterator[None]:  # noqa: ARG002  (the protocol's, as below)
        """See `capture_env`."""
        yield

    def open(self, src: Any, ctx: Any) -> "_Reader":  # noqa: ARG002
        """Open a `RasterSource`."""
        return _Reader(src.uri, self)


class _Reader:
    def __init__(self, uri: str, driver: Driver) -> None:
        self.uri = uri
        name, _, band = uri.partition(BAND)
        self.source: str | Path = name if is_url(name) else Path(name)
        self.band = int(band or 1)
        self.driver = driver

    def read(
        self, cfg: Any, dst_geobox: GeoBox, *, dst: NDArray[Any] | None = None, selection: Any = None  # noqa: ARG002
    ) -> tuple[Part, NDArray[Any]]:  # fmt: skip
        """Read the pixels of a part of the target, and return which part: all."""
        with open_raster(self.source) as dataset:
            if number_type(dataset, self.band) != self.driver.dtype:
                held = f"{redact(self.source)} holds {dataset.dtypes[self.band - 1]}"
                raise SceneError(f"{held}, other bands {self.driver.dtype}; all need the same.")
            if self.uri in self.driver.footprints:
                check_footprint(dataset, self.driver.footprints[self.uri], dst_geobox)
            window = Window(0, 0, dst_geobox.width, dst_geobox.height)
            pixels = self._read_measured(dataset, window, dst_geobox)
        whole = (slice(0, dst_geobox.height), slice(0, dst_geobox.width))
        if dst is not None:
            np.copyto(dst[whole], pixels)
        return whole, pixels

    def _read_measured(self, dataset: DatasetReader, window: Window, target: GeoBox) -> NDArray[Any]:
        """Read pixels (y, x) of `target`, masked ones as the driver's nodata value.

        The file's mask and its own nodata values mask them.
        """
        driver, stated = self.driver, self.driver.stated.get(self.uri, ())
        declared = [*stated, *([] if dataset.nodata is None else [dataset.nodata])]
        own = [value for value in dict.fromkeys(declared) if fits(value, driver.dtype)] or [NODATA_DN]
        if own == [driver.nodata] and not has_mask(dataset, self.source, self.band):
            return np.asarray(resample_window(dataset, [self.band], window, target, driver.kernel, driver.nodata)[0])
        needed = find_source_window(dataset, target)
        if needed is None:
            return np.full(target.shape, driver.nodata, driver.dtype)
        with fill_hidden(dataset, self.source, self.band, needed, own, driver.nodata) as filled:
            return np.asarray(resample_window(filled, [1], window, target, driver.kernel, driver.nodata)[0])


def find_source_window(dataset: DatasetReader, target: GeoBox) -> Window | None:
    """Find the pixels of a file that `target` is resampled from, with a margin.

    None if the file has none of them.
    """
    west, south, east, north = transform_bounds(to_rasterio_crs(target), dataset.crs, *target.boundingbox)
    corners = [~dataset.transform @ corner for corner in ((west, north), (east, south))]
    columns, rows = (sorted(edges) for edges in zip(*corners, strict=True))
    first = [max(0, floor(edges[0]) - AROUND) for edges in (rows, columns)]
    last = [min(n, ceil(edges[1]) + AROUND) for n, edges in zip(dataset.shape, (rows, columns), strict=True)]
    if last[0] <= first[0] or last[1] <= first[1]:
        return None
    return Window.from_slices((first[0], last[0]), (first[1], last[1]))


@contextmanager
def fill_hidden(
    dataset: DatasetReader, source: str | Source, band: int, needed: Window, own: Sequence[float], nodata: float
) -> Iterator[DatasetReader]:
    """Copy a part of a file to memory, with one nodata value.

    That replaces its mask and its `own` nodata values.
    """
    values = dataset.read(band, window=needed)
    hidden = np.isin(values, np.array(own, values.dtype))
    masked = find_hidden_pixels(dataset, source, band, needed)
    values[hidden if masked is None else hidden | masked] = nodata
    height, width = values.shape
    profile = {"crs": dataset.crs, "transform": dataset.window_transform(needed), "dtype": values.dtype, "count": 1}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", height=height, width=width, **profile) as copy:
            copy.write(values, 1)
        with memory.open() as filled:
            yield filled
