"""Read a cube's dimensions, labels and level; pick bands by label, never by position."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from kappamask.models import LEVEL_BANDS, LEVELS, SENTINEL2_BANDS, CubeError, ModelCard

__all__ = ["MIN_SIDE", "normalise", "pick", "resolve_level"]

DIMS = {"band": "bands", "time": "t"}
"""Other libraries' names of openEO's dimensions."""
MIN_SIDE = 4
"""openEO back-ends hand over no smaller chunk; below it a network has nothing to see."""


def normalise(cube: xr.DataArray, labels: Sequence[str] | None = None) -> xr.DataArray:
    """`cube` with dims ([t,] bands, y, x) in this order and a text label on every band.

    `labels` are used only where the cube has none. Raises CubeError for other dimensions, missing or
    doubled labels, or sides below 4 px.
    """
    if not isinstance(cube, xr.DataArray):
        raise CubeError(f"A cube must be an xarray.DataArray with dims (bands, y, x), not {type(cube).__name__}.")
    cube = cube.rename({old: new for old, new in DIMS.items() if old in cube.dims and new not in cube.dims})
    cube = _sized(cube)
    order = [d for d in ("t", "bands", "y", "x") if d in cube.dims]
    if order[-3:] != ["bands", "y", "x"] or set(order) != set(cube.dims):
        raise CubeError(f"The cube has dims {tuple(cube.dims)}; needed are (bands, y, x) or (t, bands, y, x).")
    if min(cube.sizes["y"], cube.sizes["x"]) < MIN_SIDE:
        raise CubeError(
            f"The cube is {cube.sizes['x']} x {cube.sizes['y']} px; at least {MIN_SIDE} x {MIN_SIDE} needed."
        )
    if cube.dtype.kind not in "uif":
        raise CubeError(f"The cube holds {cube.dtype}; needed are whole or real numbers, see DataArray.astype.")
    return _labelled(cube.transpose(*order), labels)


def _sized(cube: xr.DataArray) -> xr.DataArray:
    """`cube` with chunks of known size; where dask does not know one, the cube is computed once to count."""
    if cube.chunks is None or not np.isnan([float(n) for sizes in cube.chunks for n in sizes]).any():
        return cube
    counted = cube.data.copy().compute_chunk_sizes()
    made = xr.DataArray(counted, dims=cube.dims, coords=cube.coords, attrs=cube.attrs, name=cube.name)
    made.encoding = cube.encoding
    return made


def _labelled(cube: xr.DataArray, labels: Sequence[str] | None) -> xr.DataArray:
    if "bands" not in cube.coords:
        if not labels:
            raise CubeError(
                "The cube's bands have no labels: name them with cube.assign_coords(bands=['B02', …]), "
                "or in a UDF with the context key 'bands'."
            )
        if len(labels) != cube.sizes["bands"]:
            raise CubeError(f"{len(labels)} labels were given for {cube.sizes['bands']} bands.")
        cube = cube.assign_coords(bands=list(labels))
    names = [str(name) for name in np.atleast_1d(cube.coords["bands"].values)]
    doubled = sorted({n for n in names if names.count(n) > 1} & set(SENTINEL2_BANDS))
    if doubled:
        raise CubeError(f"The cube has several bands named {', '.join(doubled)}: keep one of each.")
    return cube.assign_coords(bands=names)


def pick(cube: xr.DataArray, card: ModelCard) -> xr.DataArray:
    """The bands of `cube` that the network knows, in the card's order; others are left out.

    Raises CubeError that lists what is lacking if a required band is not there.
    """
    found = [str(name) for name in cube.coords["bands"].values]
    lacking = [band for band in card.bands if band in card.required and band not in found]
    if lacking:
        raise CubeError(
            f"Cube lacks bands {', '.join(lacking)}; {card.id} needs {', '.join(sorted(card.required))} "
            f"and the cube has {', '.join(found)}. Load them with bands=[…], or rename the labels."
        )
    positions = [found.index(band) for band in card.bands if band in found]
    if positions == list(range(len(found))):
        return cube
    return cube.isel(bands=positions)


def resolve_level(cube: xr.DataArray, card: ModelCard, level: str | None) -> str:
    """The product level: as given, else as the bands, the attribute `level` or the card decide.

    Raises CubeError if nothing decides, if bands and level contradict, or if the network is not for that level.
    """
    shown = {LEVEL_BANDS[b] for b in map(str, cube.coords["bands"].values) if b in LEVEL_BANDS}
    stated = cube.attrs.get("level") if level is None else level
    if stated is None and len(shown) == 1:
        stated = shown.copy().pop()
    if stated is None and len(card.levels) == 1:
        stated = card.levels[0]
    if not isinstance(stated, str) or stated not in LEVELS:
        given = "not known" if stated is None else repr(stated)
        raise CubeError(f"The product level is {given}: say level='L1C' or level='L2A' (command line: --level L1C).")
    if stated not in card.levels:
        raise CubeError(f"{card.id} is for {' and '.join(card.levels)}, not for {stated}: choose another model.")
    if stated == "L2A" and "L1C" in shown:
        raise CubeError("level is L2A, but the cube has B10, which only L1C has: say level='L1C', or leave B10 out.")
    if stated == "L1C" and "L2A" in shown:
        raise CubeError("level is L1C, but the cube has AOT, WVP or SCL, which only L2A has: say level='L2A'.")
    return str(stated)
