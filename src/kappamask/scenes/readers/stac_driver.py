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
from rasterio.crs import CRS
from rasterio.io import DatasetReader, MemoryFile
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from kappamask.files.archives import Source
from kappamask.models import SceneError
from kappamask.models.extras import missing_extra
from kappamask.scenes.grid import Grid
from kappamask.scenes.readers.netcdf import fits
from kappamask.scenes.readers.raster import (
    CHUNK,
    NODATA,
    has_mask,
    hidden_pixels,
    is_url,
    number_type,
    open_raster,
    redact,
)
from kappamask.scenes.resample import resample_window

__all__ = ["Driver", "append_band_number", "fill_hidden", "load_pixels", "source_window"]

PROJECTION: Final = "https://stac-extensions.github.io/projection/v1.1.0/schema.json"
AROUND: Final = 64
"""Pixels of a file that are read around those that are needed, for the longest kernel."""
START: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Items need a time; theirs are set apart, and the true ones are written into the cube."""
BAND: Final = "#kappamask-band="
"""Between a source and the number of a band in it; fragments of addresses mean nothing to stores."""
Part = tuple[slice, slice]


def load_pixels(sources: Sequence[Mapping[str, str]], target: Grid, driver: "Driver") -> Array:
    """A dask array (item, band, y, x) on `target`: for each item a file or address for each band label, in order."""
    try:
        from odc.geo.geobox import GeoBox
        from odc.stac import load
    except ModuleNotFoundError as error:
        raise missing_extra("odc-stac", "stac", user="A STAC item") from error
    labels, wkt = list(sources[0]), target.crs.to_wkt() if target.crs else ""
    loaded = load(
        [_bare_item(number, assets, target, wkt) for number, assets in enumerate(sources)],
        bands=labels,
        geobox=GeoBox((target.height, target.width), target.transform, wkt),
        chunks={"y": CHUNK, "x": CHUNK},
        groupby="id",
        dtype=str(driver.dtype),
        nodata=driver.nodata,
        driver=driver,
    )
    stacked = loaded[labels].to_dataarray("bands")
    pixels: Array = stacked.transpose("time", "bands", ...).data  # then rows and columns, by names that the CRS gives
    return pixels


def _bare_item(number: int, assets: Mapping[str, str], target: Grid, wkt: str) -> Any:
    """An item with nothing in it but checked places, all said to cover the target, so that each chunk looks at them."""
    import pystac

    place = {"proj:shape": [target.height, target.width], "proj:transform": list(target.transform)[:6]}
    when = START + timedelta(seconds=number)
    item = pystac.Item(str(number), None, None, when, {"proj:wkt2": wkt}, stac_extensions=[PROJECTION])
    for label, href in assets.items():
        item.add_asset(label, pystac.Asset(href, media_type="image/tiff", roles=["data"], extra_fields=place))
    return item


def append_band_number(source: str | Path, band: int) -> str:
    """A source as text, with the number of a band in it where that is not the first."""
    return str(source) if band == 1 else f"{source}{BAND}{band}"


class Driver:
    """A `ReaderDriver` of odc-loader: one band from a file or an address, GeoTIFF or JPEG 2000, nothing else.

    Reading raises SceneError where a file cannot be read or holds other numbers than `dtype`; odc's own driver would
    open whatever GDAL knows, VRT and the like, which name further files and hosts.
    """

    md_parser = None
    dask_reader = None
    aux_reader = None

    def __init__(
        self, dtype: np.dtype[Any], nodata: float, kernel: str, stated: Mapping[str, tuple[float, ...]] | None = None
    ) -> None:
        """`nodata`: of what is read; `stated`: file or address -> nodata values that its item states for it."""
        self.dtype, self.nodata, self.kernel, self.stated = dtype, nodata, kernel, dict(stated or {})

    def new_load(self, geobox: Any, *, chunks: Any = None) -> None:
        """Nothing is shared between reads."""

    def finalise_load(self, load_state: Any) -> None:
        """Nothing is left to close."""

    def capture_env(self) -> dict[str, Any]:
        """No setting of the caller's GDAL counts."""
        return {}

    @contextmanager
    def restore_env(self, env: Any, load_state: Any) -> Iterator[None]:  # noqa: ARG002  (the protocol's, as below)
        """See `capture_env`."""
        yield

    def open(self, src: Any, ctx: Any) -> "_Reader":  # noqa: ARG002
        """`src`: a `RasterSource`."""
        return _Reader(src.uri, self)


class _Reader:
    def __init__(self, uri: str, driver: Driver) -> None:
        self.uri = uri
        name, _, band = uri.partition(BAND)
        self.source: str | Path = name if is_url(name) else Path(name)
        self.band = int(band or 1)
        self.driver = driver

    def read(
        self, cfg: Any, dst_geobox: Any, *, dst: NDArray[Any] | None = None, selection: Any = None  # noqa: ARG002
    ) -> tuple[Part, NDArray[Any]]:  # fmt: skip
        """The pixels of a piece of the target, and which part of it they are: all."""
        height, width = dst_geobox.shape
        target = Grid(CRS.from_wkt(dst_geobox.crs.to_wkt()), dst_geobox.transform, width, height)
        with open_raster(self.source) as dataset:
            if number_type(dataset, self.band) != self.driver.dtype:
                held = f"{redact(self.source)} holds {dataset.dtypes[self.band - 1]}"
                raise SceneError(f"{held}, other bands {self.driver.dtype}; all need the same.")
            window = Window(0, 0, width, height)
            pixels = self._read_measured(dataset, window, target)
        whole = (slice(0, height), slice(0, width))
        if dst is not None:
            np.copyto(dst[whole], pixels)
        return whole, pixels

    def _read_measured(self, dataset: DatasetReader, window: Window, target: Grid) -> NDArray[Any]:
        """Read pixels (y, x) of `target`, the driver's nodata where the file's mask or own nodata values hide them."""
        driver, stated = self.driver, self.driver.stated.get(self.uri, ())
        declared = [*stated, *([] if dataset.nodata is None else [dataset.nodata])]
        own = [value for value in dict.fromkeys(declared) if fits(value, driver.dtype)] or [NODATA]
        if own == [driver.nodata] and not has_mask(dataset, self.source, self.band):
            return np.asarray(resample_window(dataset, [self.band], window, target, driver.kernel, driver.nodata)[0])
        needed = source_window(dataset, target)
        if needed is None:
            return np.full((target.height, target.width), driver.nodata, driver.dtype)
        with fill_hidden(dataset, self.source, self.band, needed, own, driver.nodata) as filled:
            return np.asarray(resample_window(filled, [1], window, target, driver.kernel, driver.nodata)[0])


def source_window(dataset: DatasetReader, target: Grid) -> Window | None:
    """The pixels of a file that those of `target` are made of, and some more; None if it has none of them."""
    west, south, east, north = transform_bounds(target.crs, dataset.crs, *target.bounds)
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
    """A copy in memory of a part of a file with one nodata value, in place of its mask and its `own` values."""
    values = dataset.read(band, window=needed)
    hidden = np.isin(values, np.array(own, values.dtype))
    masked = hidden_pixels(dataset, source, band, needed)
    values[hidden if masked is None else hidden | masked] = nodata
    height, width = values.shape
    profile = {"crs": dataset.crs, "transform": dataset.window_transform(needed), "dtype": values.dtype, "count": 1}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", height=height, width=width, **profile) as copy:
            copy.write(values, 1)
        with memory.open() as filled:
            yield filled
