"""Pages in a real browser without a network, light and dark, wide and narrow."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from browser import Browser, browser, needs_browser
from files import cube, digits

from kappamask.models import load_card
from kappamask.reports import read_series, write_page, write_series
from kappamask.scenes import write_mask
from kappamask.udf.schemes import make_flag_attributes

pytestmark = needs_browser
DESK, HAND = 1280, 390
"""Pixels: a laptop, and a phone of 2020 and later held upright."""
PAGES = {"scene": 1 + 2 + 4, "series": 60}
"""Page -> images on it."""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages with all that they may hold, and with long names."""
    folder = tmp_path_factory.mktemp("pages")
    scene = cube(digits(4, 200, 160))
    codes = scene.isel(bands=0, drop=True).copy(
        data=(np.arange(200 * 160) // 997 % 4 + 1).astype(np.uint8).reshape(200, 160)
    )
    attributes = {
        "radiometry": "dn_offset",
        "radiometry_reason": "x" * 300,
        "model_sha256": "ab" * 32,
        "datetime": "2020-01-05",
    }
    mask = codes.assign_attrs(
        {**make_flag_attributes(load_card()), **attributes, "product": "S2A_MSIL1C_" + "20200105T101112_" * 5}
    )
    names = xr.Variable("class", ["clear", "cloud_shadow", "semi_transparent_cloud", "cloud"])
    scores = xr.concat([(codes == i).astype(np.float32) for i in range(1, 5)], names)
    (path, scored) = write_mask(mask, folder / "mask.tif", scores=scores)
    write_page(folder / "scene.html", path, scene=scene, scores_file=scored, scl=codes.copy(data=codes.values + 3))
    days = xr.Variable("t", np.datetime64("2020-01-05", "ns") + np.timedelta64(10, "D") * np.arange(30))
    dated = [codes.isel(y=slice(i, i + 40), x=slice(40)).assign_coords(y=scene.y[:40]) for i in range(30)]
    series = xr.concat(dated, days).rename("mask").assign_attrs(make_flag_attributes(load_card()))
    dates = read_series(write_mask(series, folder / f"{'a_long_name_of_a_product_' * 4}.nc")[0])
    write_series(folder / "series.html", dates, scenes=[scene.isel(y=slice(40), x=slice(40))] * 30)
    return folder


@pytest.mark.parametrize(("page", "width", "dark"), [*product(PAGES, (DESK, HAND), (False, True))])
def test_a_page_is_whole(tab: Browser, pages: Path, page: str, width: int, dark: bool) -> None:
    picture = pages / f"{page}_{width}_{'dark' if dark else 'light'}.png"
    seen = tab.look(pages / f"{page}.html", width, dark=dark, picture=picture)
    assert seen.faults == []
    assert seen.outside == []
    assert len(seen.images) == PAGES[page]
    assert all(image["width"] > 0 and image["shown"] > 0 and image["alt"] for image in seen.images)
    assert seen.page <= seen.window <= width, "nothing is wider than the window"
    assert seen.paper == ("rgb(17, 22, 27)" if dark else "rgb(255, 255, 255)")
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_browser_would_tell(tab: Browser, tmp_path: Path) -> None:
    """What the test above looks for does show, where it is wrong."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><body style='margin:0'><div style='width:900px'>wide</div><img src='http://example.org/a.png'>"
        "<img src='data:image/png;base64,AAAA' alt='broken'><script>console.error('no'); nothing()</script>"
    )
    seen = tab.look(page, HAND)
    assert seen.page > HAND
    assert seen.outside == ["http://example.org/a.png"]
    assert [image["width"] for image in seen.images] == [0, 0]
    assert any("ERR_INTERNET_DISCONNECTED" in fault for fault in seen.faults)
    assert any("Uncaught" in fault for fault in seen.faults)
    assert any("no" in fault for fault in seen.faults)
