"""Serve the older UDF API of `openeo-udf` (extra `legacy`).

Its cubes wrap an xarray.DataArray.

Like `chunk`, this module must not postpone annotations.
"""

from typing import Dict  # noqa: UP035  the older runner compares annotations with typing.Dict

from openeo_udf.api.datacube import DataCube

from kappamask.udf import chunk

__all__ = ["apply_datacube"]


def apply_datacube(cube: DataCube, context: Dict) -> DataCube:  # type: ignore[type-arg]  # noqa: UP006
    """Run `chunk.apply_datacube` on the array inside `cube`."""
    return DataCube(chunk.apply_datacube(cube.get_array(), context))
