"""Facts about pictures: distinct colours, a fixed stretch, captions, and how panels lie."""

from itertools import combinations, product

import numpy as np
import pytest
import xarray as xr
from files import cube, digits
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kappamask.models import load_card
from kappamask.scenes.statistics import compute_class_percentages
from kappamask.scenes.writers import quicklook
from kappamask.scenes.writers.captions import (
    format_date,
    is_north_up,
    make_scale_bar,
    measure_width_m,
    name_network,
)
from kappamask.scenes.writers.class_colours import COLOURS, OUTLINES, colour_codes, draw_outlines, find_picture_colour
from kappamask.scenes.writers.layout import choose_layout
from kappamask.scenes.writers.natural_colour import WHITE, make_rgb, stretch_reflectance
from kappamask.scenes.writers.quicklook import draw_figure, make_true_colour
from kappamask.udf.schemes import make_flag_attributes

VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
"""Linear sRGB as people with full dichromacy see it (Machado, Oliveira and Fernandes 2009, severity 1.0)."""
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
D65 = np.array([0.95047, 1, 1.08883])
APART = 20
"""CIE 1976 L*a*b* difference of two colours that nobody takes for one another."""


def to_lab(rgb: bytes, vision: str) -> np.ndarray:
    """Return L*, a*, b* (IEC 61966-2-1 sRGB, D65) of a colour as it is seen."""
    stored = np.array([*rgb]) / 255
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    ratio = TO_XYZ @ np.clip(VISION[vision] @ linear, 0, 1) / D65
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def scene(height: int = 60, width: int = 60, **attrs: object) -> xr.DataArray:
    return cube(digits(4, height, width)).assign_attrs(attrs)


def mask_like(like: xr.DataArray, **attrs: object) -> xr.DataArray:
    codes = np.arange(like.sizes["y"] * like.sizes["x"]).reshape(like.shape[1:]) // 7 % 5 + 1
    found = like.isel(bands=0, drop=True).copy(data=codes.astype(np.uint8))
    return found.assign_attrs({**make_flag_attributes(load_card()), **attrs})


def texts_of(figure: Figure) -> str:
    """All text in a figure."""
    parts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    parts += [text for ax in figure.axes for text in (ax.title, ax._left_title, *ax.texts)]
    return "\n".join(part.get_text() for part in parts)


# colours


def test_the_measure_of_colours_is_right() -> None:
    np.testing.assert_allclose(to_lab(b"\xff\xff\xff", "usual"), [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(to_lab(b"\xff\x00\x00", "usual"), [53.24, 80.09, 67.20], atol=0.05)
    red, green = (np.linalg.norm(to_lab(a, "deuteranopia") - to_lab(b, "deuteranopia"))
                  for a, b in ((b"\xd1\x49\x5b", b"\x7f\xb0\x69"), (b"\xff\xff\xff", b"\x00\x00\x00")))  # fmt: skip
    assert red < APART < green, "the palette of files would not do"


@pytest.mark.parametrize("vision", VISION)
def test_any_two_classes_have_distinct_colours(vision: str) -> None:
    fills = [bytes.fromhex(find_picture_colour(one)) for one in load_card().classes]
    assert len(set(fills)) == len(COLOURS) == 6
    for colours in (fills, [bytes(one) for one in OUTLINES.values()]):
        seen = [to_lab(one, vision) for one in colours]
        assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) >= APART


def test_classes_of_another_scheme_keep_their_colours() -> None:
    other = load_card().classes[1].__class__(1, "land", "123456", "")
    assert find_picture_colour(other) == "123456"
    np.testing.assert_array_equal(
        colour_codes(np.array([[1, 9, 255]]), [other]), [[[0x12, 0x34, 0x56, 255], [0] * 4, [0] * 4]]
    )


def test_outlines_lie_on_the_inner_edge_of_their_class() -> None:
    codes = np.ones((7, 7), np.uint8)
    codes[2:5, 2:5] = 4
    drawn = draw_outlines(np.zeros((7, 7, 3), np.float32), codes, {1: 1, 4: 4})
    coloured = drawn.any(axis=-1)
    assert coloured.sum() == 8
    assert not coloured[3, 3]
    np.testing.assert_allclose(drawn[2, 2] * 255, OUTLINES[4], atol=0.01)


# stretch


def test_a_quarter_of_the_light_is_not_white() -> None:
    brightness = stretch_reflectance(np.float32([0, 0.05, 0.25, WHITE, 1, np.nan, -0.1]))
    assert brightness[0] == brightness[5] == brightness[6] == 0
    assert 0.2 < brightness[1] < 0.4
    assert 0.5 < brightness[2] < 0.8
    assert brightness[3] == brightness[4] == 1
    assert 0.45 <= WHITE <= 0.6


@pytest.mark.parametrize(("mode", "number"), [("reflectance", 0.2), ("dn_harmonized", 2000), ("dn_offset", 3000)])
def test_one_reflectance_has_one_brightness(mode: str, number: float) -> None:
    like = scene().astype(np.float64)
    flat = like.copy(data=np.full(like.shape, number))
    np.testing.assert_allclose(make_rgb(flat.assign_attrs(radiometry=mode)), 0.2, rtol=1e-5)
    np.testing.assert_allclose(make_rgb(flat, mode), 0.2, rtol=1e-5)
    half = flat.where(flat.x > float(flat.x.mean()), 9 * number)
    np.testing.assert_allclose(make_true_colour(half, mode)[:, -1], make_true_colour(flat, mode)[:, -1], rtol=1e-5)


@pytest.mark.parametrize(("number", "reflectance"), [(0.2, 0.2), (2000.0, 0.2)])
def test_numbers_without_attributes_are_read_by_their_size(number: float, reflectance: float) -> None:
    like = scene().astype(np.float64)
    np.testing.assert_allclose(make_rgb(like.copy(data=np.full(like.shape, number))), reflectance, rtol=1e-5)


# text


def test_a_figure_says_what_it_shows() -> None:
    facts = {"datetime": "2018-02-02T10:52:49Z", "level": "L1C", "model_id": "compact"}
    text = texts_of(draw_figure(scene(200, 200), mask_like(scene(200, 200), **facts), "S2A_somewhere"))
    for fact in ("S2A_somewhere", "2018-02-02 10:52 UTC", "Level-1C", "ompact network, KappaMask classes", "500 m"):
        assert fact in text
    for fact in ("north is up", "N", "Natural colours (red, green, blue)", "semi-transparent cloud 25.0 %"):
        assert fact in text
    assert "_transparent" not in text
    assert "B04" not in text


def test_a_figure_without_places_claims_neither_scale_nor_north() -> None:
    bare = scene().drop_vars(["x", "y", "spatial_ref"], errors="ignore")
    text = texts_of(draw_figure(bare, mask_like(bare), "bare"))
    assert "north" not in text
    assert " m" not in text.replace(" mask", "").replace(" missing", "")
    assert make_scale_bar(bare) is None


def test_the_truth_has_a_panel_and_its_shares() -> None:
    mask = mask_like(scene())
    figure = draw_figure(scene(), mask, "scene", mask.copy(data=np.full(mask.shape, 4, np.uint8)))
    assert len(figure.axes) == 4
    assert "(truth 100.0 %)" in texts_of(figure)


def test_a_bar_of_scale_is_as_long_as_it_says() -> None:
    for width, metres in ((60, 200.0), (200, 500.0), (1000, 2000.0)):
        one = scene(30, width)
        bar = make_scale_bar(one)
        assert bar is not None
        assert bar.part * measure_width_m(one) == pytest.approx(metres)
        assert bar.label == (f"{metres:g} m" if metres < 1000 else f"{metres / 1000:g} km")
        assert 0.1 < bar.part <= 0.35
    assert is_north_up(scene())
    assert not is_north_up(scene().isel(y=slice(None, None, -1)))


def test_shares_are_of_the_pixels_with_data() -> None:
    mask = mask_like(scene())
    mask.values[:] = 5
    mask.values[:15], mask.values[15:30], mask.values[30:45] = 1, 4, 255
    shares = {one.name: share for one, share in compute_class_percentages(mask).items()}
    assert shares == {"clear": 50, "cloud": 50, "missing": pytest.approx(100 / 3)}


def test_dates_and_networks_in_words() -> None:
    assert format_date("2018-02-02T00:00:00Z") == format_date("2018-02-02") == "2018-02-02"
    assert format_date(None) == ""
    assert name_network({}) == "KappaMask classes"
    assert name_network({"model_id": "mine", "scheme": "SCL"}) == "mine network, SCL classes"


# layout


@pytest.mark.parametrize("aspect", [1 / 6, 1 / 4, 1 / 2, 1, 2, 4, 10])
@pytest.mark.parametrize("panels", [3, 4])
def test_no_panel_is_more_than_half_empty(aspect: float, panels: int) -> None:
    height, width = (round(64 * max(1, 1 / aspect)), round(64 * max(1, aspect)))
    one = scene(height, width)
    truth = mask_like(one) if panels == 4 else None
    figure = draw_figure(one, mask_like(one), "scene", truth)
    FigureCanvasAgg(figure).draw()
    boxes = [ax.get_window_extent() for ax in figure.axes]
    layout = choose_layout(panels, width / height)
    assert layout.rows * layout.columns == len(boxes) == panels
    assert all(box.width / box.height == pytest.approx(width / height, rel=0.05) for box in boxes)
    assert layout.width >= layout.cell / 2
    assert sum(box.width * box.height for box in boxes) > 0.5 * figure.bbox.width * figure.bbox.height
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(box.x0 > 0 and box.x1 < figure.bbox.width and box.y0 > 0 for box in boxes)


def test_all_text_lies_within_the_figure() -> None:
    facts = {"datetime": "2018-02-02T10:52:49Z", "level": "L1C", "model_id": "official-l1c-unet"}
    sizes = ((300, 60), (60, 300), (100, 100))
    for (height, width), has_truth in product(sizes, (False, True)):
        one = scene(height, width)
        truth = mask_like(one) if has_truth else None
        name = "S2A_MSIL1C_20180202T105249_N0206_R051_T31UFT_20180202T125111"
        figure = draw_figure(one, mask_like(one, **facts), name, truth)
        FigureCanvasAgg(figure).draw()
        texts = [*figure.texts, *figure.legends, *(ax._left_title for ax in figure.axes)]
        for box in (text.get_window_extent() for text in texts):
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= figure.bbox.width
            assert box.y1 <= figure.bbox.height


@pytest.mark.parametrize(
    ("facts", "source", "heading"),
    [
        ({"product": "S2A_MSIL1C"}, "folder/S2_L1C_20180202.tif", "S2A_MSIL1C"),
        ({}, "folder/S2_L1C_20180202.tif", "S2_L1C_20180202"),
        ({}, None, "Cloud mask"),
    ],
)
def test_a_picture_without_title_is_headed_by_its_scene(tmp_path, monkeypatch, facts, source, heading):
    """Never by its own file's name."""
    shown = scene(**facts)
    shown.encoding = {"source": source} if source else {}
    seen = []
    monkeypatch.setattr(quicklook, "draw_figure", lambda *given: seen.append(given[2]) or Figure())
    quicklook.write_quicklook(shown, mask_like(shown), tmp_path / "look.png")
    assert seen == [heading]
