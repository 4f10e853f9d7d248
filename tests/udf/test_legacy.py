"""The older UDF API of openeo-udf runs the same algorithm, under either runner."""

from pathlib import Path

import numpy as np
import pytest
from openeo.udf import UdfData, XarrayDataCube
from openeo.udf.run_code import run_udf_code
from udf_chunks import CONTEXT, chunk_cube, run

import kappamask.udf.chunk

pytest.importorskip("openeo_udf", reason="the extra 'legacy' is not installed")
LEGACY = Path(kappamask.udf.chunk.__file__).with_name("legacy.py").read_text()


def test_under_the_older_runner():
    from openeo_udf.api.datacube import DataCube
    from openeo_udf.api.run_code import run_user_code
    from openeo_udf.api.udf_data import UdfData as OldUdfData

    cube = chunk_cube()
    data = OldUdfData(proj={"EPSG": 32635}, datacube_list=[DataCube(cube)])
    data.user_context = CONTEXT
    (result,) = run_user_code(LEGACY, data).get_datacube_list()
    np.testing.assert_array_equal(result.get_array(), run(cube))


def test_under_openeos_runner():
    cube = chunk_cube(dates=2)
    data = UdfData(proj={"EPSG": 32635}, datacube_list=[XarrayDataCube(cube)], user_context=CONTEXT)
    (result,) = run_udf_code(code=LEGACY, data=data).get_datacube_list()
    np.testing.assert_array_equal(result.get_array(), run(cube))
