"""The demo does all that it promises, or fails."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr

from kappamask.workflows.demo import format_demo

KAPPAMASK = [str(Path(sys.executable).parent / "kappamask")]


def test_demo_runs_a_real_job_and_writes_what_it_says(tmp_path):
    out = tmp_path / "demo"
    done = subprocess.run(
        [*KAPPAMASK, "demo", "-o", str(out), "--json"], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    for name in ("mask.tif", "mask.nc", "quicklook.png", "report.html"):
        assert str(out / name) in summary["files"]
        assert (out / name).stat().st_size > 1000
    with rasterio.open(out / "mask.tif") as file:
        values = file.read(1)
        assert (file.nodata, file.crs.to_epsg()) == (255, 32618)
    assert set(np.unique(values)) <= {1, 2, 3, 4, 5}
    assert len(np.unique(values)) >= 3
    assert (values != 255).all()
    with xr.open_dataset(out / "mask.nc") as dataset:
        np.testing.assert_array_equal(dataset["mask"].values, values)
    assert abs(sum(summary["classes"].values()) - 1) < 1e-6
    assert "running" in done.stderr
    report = (out / "report.html").read_text()
    assert summary["job"] in report
    assert "http://" not in report
    assert "https://" not in report


def test_the_lines_of_the_demo_have_one_word_for_a_class():
    result = {
        "percent_of_valid": {"cloud_shadow": 25.6, "semi_transparent_cloud": 9.6},
        "dice": {"shadow": 0.592, "semi_transparent": 0.667, "all": 0.733},
        "files": [],
    }
    shares, dice = format_demo(result)
    assert shares.endswith("cloud shadow 25.6 %, semi-transparent cloud 9.6 %")
    assert dice.endswith("cloud shadow 0.592, semi-transparent cloud 0.667, mean 0.733")


def test_demo_that_cannot_write_says_so(tmp_path):
    (tmp_path / "demo").write_text("in the way")
    done = subprocess.run(
        [*KAPPAMASK, "demo", "-o", str(tmp_path / "demo")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("kappamask: ")
    assert "Traceback" not in done.stderr
