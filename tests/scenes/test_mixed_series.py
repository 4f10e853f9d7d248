"""Each date of a series is read by its own baseline, nodata and level."""

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

from kappamask import mask_scene
from kappamask.models import CubeError
from kappamask.models.mask_options import MaskOptions
from kappamask.scenes import open_scene
from kappamask.udf import cloud_mask
from kappamask.udf.stream import prepare_stream


def write_scene(path, add, nodata=None, **tags):
    values = np.random.default_rng(4).integers(300, 4000, (3, 32, 32)).astype("int16") + np.int16(add)
    if nodata is not None:
        values[:, :8] = nodata
    shape = {"count": 3, "height": 32, "width": 32, "dtype": "int16", "crs": "EPSG:32631", "nodata": nodata}
    with rasterio.open(path, "w", driver="GTiff", transform=from_origin(5e5, 5e6, 10, 10), **shape) as file:
        file.write(values)
        file.descriptions = ("B02", "B03", "B04")
        file.update_tags(**tags)
    return open_scene(path, level="L1C")


def join_dates(scenes, dim="t"):
    return xr.concat(scenes, pd.Index(pd.date_range("2021-06-01", periods=len(scenes)), name=dim))


@pytest.mark.parametrize("dim", ["t", "time"])
@pytest.mark.parametrize("scores", [False, True])
def test_each_date_is_read_by_its_own_baseline(tmp_path, brightness, dim, scores):
    early = write_scene(tmp_path / "a.tif", 0, processing_baseline="03.01")
    late = write_scene(tmp_path / "b.tif", 1000, processing_baseline="05.11")
    made = cloud_mask(join_dates([early, late], dim), model=brightness, scores=scores)
    mask = made["mask"] if scores else made
    assert mask.attrs["radiometry"] == "dn_harmonized; dn_offset"
    for i, alone in enumerate((early, late)):
        assert (mask.isel(t=i) == cloud_mask(alone, model=brightness)).all()
    assert (join_dates([early, late], dim).kappamask.mask(model=brightness).values == mask.values).all()


def test_each_date_has_its_own_nodata(tmp_path, brightness):
    scenes = [write_scene(tmp_path / f"{-fill}.tif", 0, fill, radiometry="dn_harmonized") for fill in (0, -999, -500)]
    mask = cloud_mask(join_dates(scenes), model=brightness)
    assert (mask[:, :8] == 5).all()
    assert (mask[:, 8:] != 5).all()


def test_dates_of_the_same_facts_are_one_series(tmp_path, brightness):
    scenes = [write_scene(tmp_path / f"{i}.tif", 1000, processing_baseline="05.11") for i in range(2)]
    assert cloud_mask(join_dates(scenes), model=brightness).attrs["radiometry"] == "dn_offset"
    assert "scene_facts" not in cloud_mask(scenes[0], model=brightness).coords


def test_a_mixed_series_is_streamed_date_by_date(tmp_path, brightness):
    early = write_scene(tmp_path / "a.tif", 0, processing_baseline="03.01")
    late = write_scene(tmp_path / "b.tif", 1000, processing_baseline="05.11")
    series = join_dates([early, late])
    expected = cloud_mask(series, model=brightness, scores=True).compute()
    found = prepare_stream(series, MaskOptions(model=brightness))
    template, steps = found.make_template(), []
    mask, score = (np.zeros(template[name].shape, template[name].dtype) for name in ("mask", "score"))

    def keep(piece):
        mask[piece.date, piece.y, piece.x], score[piece.date, :, piece.y, piece.x] = piece.mask, piece.scores

    found.run(keep, lambda done, total: steps.append((done, total)))
    np.testing.assert_array_equal(mask, expected["mask"])
    np.testing.assert_array_equal(score, expected["score"])
    assert list(template["mask"].attrs) == list(expected["mask"].attrs)
    assert template["mask"].attrs["radiometry"] == "dn_harmonized; dn_offset"
    assert steps[-1] == (2, 2) and found.window_count == 2


def test_a_written_series_keeps_the_facts_of_its_dates(tmp_path, brightness):
    early = write_scene(tmp_path / "a.tif", 0, processing_baseline="03.01")
    late = write_scene(tmp_path / "b.tif", 1000, processing_baseline="05.11")
    series = join_dates([early, late])
    expected = cloud_mask(series, model=brightness).values
    dataset = series.to_dataset(name="dn").drop_encoding()
    dataset.to_netcdf(tmp_path / "s.nc")
    dataset.to_zarr(tmp_path / "s2.zarr", zarr_format=2)
    dataset.to_zarr(tmp_path / "s3.zarr", zarr_format=3)
    for path in (tmp_path / "s.nc", tmp_path / "s2.zarr", tmp_path / "s3.zarr"):
        opened = open_scene(path)
        np.testing.assert_array_equal(opened.kappamask.mask(model=brightness), expected)
        made = xr.open_dataset(mask_scene(path, tmp_path / f"{path.stem}_mask.nc", model=brightness)["files"][0])
        np.testing.assert_array_equal(made["mask"], expected)


def test_a_date_that_is_cut_out_is_read_by_its_own_facts(tmp_path, brightness):
    early = write_scene(tmp_path / "a.tif", 0, processing_baseline="03.01")
    late = write_scene(tmp_path / "b.tif", 1000, processing_baseline="05.11")
    expected = cloud_mask(late, model=brightness).values
    for place in (1, [1]):
        clean = xr.concat([early, late], "t", combine_attrs="drop_conflicts").isel(t=place)
        assert (cloud_mask(clean, model=brightness).values == expected).all()
        first = xr.concat([early, late], "t", combine_attrs="override").isel(t=place)
        with pytest.raises(CubeError) as found:
            cloud_mask(first, model=brightness)
        for fact in ("processing_baseline", "03.01", "05.11", "radiometry=", "scene_facts"):
            assert fact in str(found.value)
        given = cloud_mask(first, model=brightness, radiometry="dn_offset")
        assert (given.values == expected).all()


@pytest.mark.parametrize("text", ["", "none", "[1]", "3", "[" * 100_000])
def test_facts_that_are_no_json_object_are_refused(tmp_path, brightness, text):
    scene = write_scene(tmp_path / "a.tif", 0, processing_baseline="03.01")
    for facts in (text, ("t", [text, "{}"])):
        cube = scene if isinstance(facts, str) else xr.concat([scene, scene], "t")
        with pytest.raises(CubeError, match=r"drop_vars.*scene_facts"):
            cloud_mask(cube.assign_coords(scene_facts=facts), model=brightness)
