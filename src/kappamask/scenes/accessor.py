"""`.kappamask` on cubes, datasets and masks of xarray: mask, clear, statistics and composite as methods."""

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from dask.base import tokenize

from kappamask.models import load_card
from kappamask.scenes.composite import REACH, make_composite
from kappamask.scenes.masking import UNCLEAR, find_hidden, hide_pixels
from kappamask.scenes.statistics import compute_class_statistics
from kappamask.scenes.xarray_interop import align_mask, as_mask, compute_mask, restore_dims, to_canonical_dims
from kappamask.udf.cube import compute_chunk_sizes

__all__ = ["KappaMaskAccessor"]


class KappaMaskAccessor:
    """What `.kappamask` on a DataArray or Dataset is, once `kappamask.scenes` is imported.

    The data are a cube, dims (bands, y, x) or (t, bands, y, x); a Dataset with a variable for each band, or one with a
    dimension of bands; or, for `statistics`, a mask. Dims may also be called band, time, lat, lon and the like, and
    bands may be named as rioxarray (`long_name`) and odc-stac name them; results have the names of the data. All
    results are lazy if the data are; then only `mask` may compute anything, a sample, for radiometry="auto".

    Example, with a cube as of `open_scene`, or any other with band labels:
        >>> import kappamask.scenes
        >>> clear = cube.kappamask.clear(level="L2A")
        >>> bool((clear.isnull() == (cube.kappamask.mask(level="L2A") != 1)).all())
        True
    """

    def __init__(self, data: xr.DataArray | xr.Dataset) -> None:
        self._data = compute_chunk_sizes(data) if isinstance(data, xr.DataArray) else data
        self._masks: dict[str, xr.DataArray | xr.Dataset] = {}

    def mask(self, **options: Any) -> xr.DataArray | xr.Dataset:
        """Compute the mask of the data, with the options and errors of `kappamask.udf.cloud_mask`.

        It is made once for the same data and options, so that results which need it share its tasks, or its pixels.

        Example:
            >>> mask = cube.kappamask.mask(level="L2A", thresholds={"cloud": 0.3})
            >>> mask.dims, mask.dtype.name, mask.attrs["model_id"]
            (('t', 'y', 'x'), 'uint8', 'compact')
        """
        card = load_card(options.get("model", "compact"))
        token = tokenize(self._data, _list_encodings(self._data), options | {"model": card})
        if token not in self._masks:
            _, own = to_canonical_dims(self._data)
            self._masks[token] = restore_dims(compute_mask(self._data, **options), own)
        return self._masks[token].copy(deep=True)

    def clear(
        self, classes: Sequence[str] = UNCLEAR, *, mask: Any = None, nodata: float | None = None, **options: Any
    ) -> xr.DataArray | xr.Dataset:
        """Remove the pixels of `classes`, and always undefined and missing ones.

        classes: names of KappaMask classes.
        mask: of the same pixels, and dates if it has any, for example with buffers, by `kappamask.udf.clean`; left
            out, `mask` makes it with `options`.
        nodata: what whole numbers are there, keeping their dtype; left out, they become float32 (of 4 bytes and more
            float64) and NaN. Floats are NaN always. In a Dataset it is done to all variables (…, y, x) but masks.

        Attributes stay, and the encoding, so that `to_netcdf` and `rio.to_raster` write the dtype and nodata value that
        the data came with. Raises CubeError for a mask of other pixels, an unknown class or a nodata value that the
        dtype does not have, and what `mask` raises.

        Example, of whole numbers, without their clouds but with shadows and thin clouds:
            >>> cube.dtype.name, cube.kappamask.clear(["cloud"], level="L2A").dtype.name
            ('uint16', 'float32')
            >>> cube.kappamask.clear(["cloud"], nodata=0, level="L2A").dtype.name
            'uint16'
        """
        named, own = to_canonical_dims(self._data)
        hidden = find_hidden(align_mask(self.mask(**options) if mask is None else mask, named), classes)
        return restore_dims(hide_pixels(named, hidden, nodata), own)

    def statistics(
        self, geometry: Any = None, *, crs: Any = None, all_touched: bool = False, mask: Any = None, **options: Any
    ) -> xr.Dataset:
        """Compute shares of classes in an area, by date: see `kappamask.scenes.compute_class_statistics`.

        mask: as for `clear`; left out, the data if they are a mask themselves.

        Example, in a box in the cube's own coordinates:
            >>> box = (500_000, 6_499_500, 500_500, 6_500_000)
            >>> found = cube.kappamask.statistics(box, crs="EPSG:32635", level="L2A")
            >>> found.share.dims, found.pixels.values.tolist()
            (('t', 'class'), [2500, 2500, 2500])
            >>> mask = cube.kappamask.mask(level="L2A")
            >>> found.equals(mask.kappamask.statistics(box, crs="EPSG:32635"))
            True
        """
        found = as_mask(self._data) if mask is None else mask
        codes = self.mask(**options) if found is None else found
        named, own = to_canonical_dims(self._data)
        return restore_dims(
            compute_class_statistics(align_mask(codes, named), geometry, crs=crs, all_touched=all_touched), own
        )

    def composite(
        self,
        *,
        method: str = "best",
        classes: Sequence[str] = UNCLEAR,
        target: Any = None,
        reach_m: float = REACH,
        mask: Any = None,
        **options: Any,
    ) -> xr.Dataset:
        """Compose one image of many dates, each pixel from its best date.

        See `kappamask.scenes.make_composite`.
        mask: as for `clear`, with dates.

        Example:
            >>> made = cube.kappamask.composite(target="2024-06-15", level="L2A")
            >>> made.composite.dims, made.date.dims, made.attrs["method"]
            (('bands', 'y', 'x'), ('y', 'x'), 'best')
        """
        codes = self.mask(**options) if mask is None else mask
        return make_composite(self._data, codes, method=method, classes=classes, target=target, reach_m=reach_m)


def _list_encodings(data: xr.DataArray | xr.Dataset) -> Mapping[Any, Any]:
    variables = data.variables if isinstance(data, xr.Dataset) else {None: data.variable}
    return {name: variable.encoding for name, variable in variables.items()}


xr.register_dataarray_accessor("kappamask")(KappaMaskAccessor)  # type: ignore[no-untyped-call]
xr.register_dataset_accessor("kappamask")(KappaMaskAccessor)  # type: ignore[no-untyped-call]
