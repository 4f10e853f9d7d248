"""`kappamask compare`, and the peers that it asks."""

import csv
import gc
import io
import json
import re
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from browser import browser, needs_browser
from command import one_sentence
from files import geotiff
from labelled import cloudsen12
from patches import patch, write_patches
from rasterio.transform import from_origin

from kappamask.datasets import Patch, open_dataset
from kappamask.evaluation import compute_rates, compute_scores, count_confusion, tools
from kappamask.evaluation.compare import compare
from kappamask.evaluation.comparison import judge
from kappamask.evaluation.metrics import RATES
from kappamask.evaluation.peers import open_peer, repeat_to_shape
from kappamask.evaluation.tables import format_csv, format_latex, format_markdown, make_tables
from kappamask.evaluation.tools import Answer, Peer, list_classes
from kappamask.models import CubeError, MissingExtraError, ModelCard, SceneError
from kappamask.models.errors import format_install_command

FILES = ["comparison.csv", "comparison.html", "comparison.json", "comparison.md", "comparison.tex"]
OF_ONE = [name.replace("comparison", "evaluation") for name in FILES]

# peers


def test_the_floor_is_a_threshold_of_red() -> None:
    red = np.full((48, 48), 0.25, np.float32)
    red[:, 1], red[:, 2] = 0.26, np.nan
    answer = open_peer("threshold", Path()).run(patch(red=red))
    assert [answer.mask[0, i] for i in range(3)] == [1, 4, 5]
    with pytest.raises(CubeError, match="B04"):
        open_peer("threshold", Path()).run(patch(bands=("B02", "B03", "X", "B08", "B11", "B12")))


def test_a_network_is_run_at_its_level_and_gives_its_scores(brightness: ModelCard) -> None:
    peer = open_peer(str(brightness.folder), Path())
    assert (peer.name, peer.predicts) == ("brightness", {1, 2, 3, 4})
    answer = peer.run(patch())
    assert answer.scores is not None
    assert answer.scores.shape == (4, 48, 48)
    assert (answer.scores.argmax(axis=0) + 1 == answer.mask).all()
    assert [answer.mask[y, 20] for y in (5, 24, 42)] == [2, 1, 4]


@pytest.mark.parametrize(
    ("scheme", "predicts"),
    [
        ("SCL", {1, 2, 3, 4}), ("Fmask", {1, 2, 4}), ("S2cloudless", {1, 4}), ("MAJA", {1, 2, 3, 4}),
        ("DL_L8S2_UV", {1, 4}), ("FMSC", {1, 2, 4}), ("KappaMask", {1, 2, 3, 4}),
    ],
)  # fmt: skip
def test_what_rasters_can_tell_follows_from_their_scheme(scheme: str, predicts: set[int]) -> None:
    assert list_classes(scheme) == predicts


def test_rasters_next_to_the_scenes_are_found_and_translated(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    codes = np.repeat([3, 4, 9], 8)[:, None] * np.ones(24, np.uint8)
    geotiff(tmp_path / "deep" / "a_SCL.tif", codes[None].astype(np.uint8), (None,))
    geotiff(tmp_path / "deep" / "b.tif", np.full((1, 5, 5), 4, np.uint8), (None,))
    geotiff(tmp_path / "deep" / "c.tif", np.full((1, 48, 48), 77, np.uint8), (None,))
    for peer in (open_peer("SCL", tmp_path), open_peer(f"SCL={tmp_path}", Path("elsewhere"))):
        np.testing.assert_array_equal(peer.run(patch("a")).mask, patch().truth)
    with pytest.raises(SceneError, match=r"b\.tif has \(5, 5\) pixels"):
        peer.run(patch("b"))
    with pytest.raises(CubeError, match="77"):
        peer.run(patch("c"))
    with pytest.raises(SceneError, match=r"no d_SCL\.tif under"):
        peer.run(patch("d"))


def test_a_window_of_a_product_is_cut_from_the_products_raster(tmp_path: Path) -> None:
    codes = np.full((48, 48), 4, np.uint8)
    codes[12:36, 24:] = np.repeat([3, 4, 9], 8)[:, None]
    geotiff(tmp_path / "P_SCL.tif", codes[None], (None,), transform=from_origin(0, 960, 20, 20))
    peer = open_peer("SCL", tmp_path)
    np.testing.assert_array_equal(peer.run(patch(window=("P", (24, 48)))).mask, patch().truth)
    with pytest.raises(SceneError, match="no whole number"):
        peer.run(patch(window=("P", (25, 48))))
    with pytest.raises(SceneError, match=r"no Q_SCL\.tif"):
        peer.run(patch(window=("Q", (0, 0))))


@pytest.mark.parametrize("shape", [(24, 16), (47, 48), (96, 96)])
def test_only_whole_multiples_fit(shape: tuple[int, int]) -> None:
    with pytest.raises(SceneError, match="warp it"):
        repeat_to_shape(np.zeros(shape, np.uint8), (48, 48))


def test_unknown_peers_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"No peer 'fmask5': known are ukis-csmask.*SCL.*compact"):
        open_peer("fmask5", tmp_path)
    with pytest.raises(SceneError, match="No peer 'FOO="):
        open_peer(f"FOO={tmp_path}", tmp_path)
    assert open_peer("scl", tmp_path).name == "SCL"
    assert open_peer(f"s2cloudless={tmp_path}", tmp_path).predicts == {1, 4}
    with pytest.raises(SceneError, match=r"no a_SCL\.tif under .*no"):
        open_peer(f"SCL={tmp_path / 'no'}", tmp_path).run(patch("a"))


@pytest.mark.shared_data
def test_ukis_csmask_finds_real_clouds_and_shadows(shared_data: Path) -> None:
    pytest.importorskip("ukis_csmask")
    real = open_dataset("arrays", shared_data / "labelled_l1c_cumulus_6band.npz")[0]
    bands, truth = real.reflectance[:, :256, :256].copy(), real.truth[:256, :256]
    bands[:, :16] = np.nan
    found = open_peer("ukis-csmask", Path()).run(replace(real, reflectance=bands, truth=truth)).mask
    assert (found[:16] == 5).all()
    judged = compute_scores(truth[16:], found[16:])["dice"]
    assert judged["cloud"] > 0.8 and judged["shadow"] > 0.6


def test_s2cloudless_runs() -> None:
    try:
        peer = open_peer("s2cloudless", Path())
    except MissingExtraError as error:
        pytest.skip(str(error))
    truth = np.repeat([1, 4], 32)[:, None] * np.ones(64, np.uint8)
    bands = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")
    ground, cloud = (0.12, 0.1, 0.08, 0.12, 0.3, 0.3, 0.1, 0.001, 0.2, 0.1), (0.6,) * 6 + (0.35, 0.02, 0.5, 0.4)
    planes = np.stack([np.where(truth == 4, c, g) for g, c in zip(ground, cloud, strict=True)]).astype(np.float32)
    one = Patch("x", "x", "test", "L1C", 10.0, bands, planes, truth.astype(np.uint8), merges_thin=True)
    found = peer.run(one).mask
    assert (found[:24] == 1).all() and (found[40:] == 4).all()


def test_a_tool_that_is_not_there_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(tools, "import_module", absent)
    for name, extra in (("ukis-csmask", "ukis"), ("s2cloudless", "s2cloudless")):
        with pytest.raises(MissingExtraError, match=re.escape(format_install_command(extra))):
            open_peer(name, Path())


def test_a_tool_whose_library_is_not_there_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(_: str) -> None:
        raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(tools, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"needs s2cloudless \(libgomp"):
        open_peer("s2cloudless", Path())


class TheirOwnError(Exception):
    """As LightGBM and ONNX Runtime have them."""


@pytest.mark.parametrize("error", [TypeError, MemoryError, TheirOwnError])
def test_a_tool_that_fails_in_its_own_way_is_a_failure_of_one_patch(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(**_: object) -> None:
        raise error("img must be nice")

    monkeypatch.setattr(tools, "import_module", lambda _: SimpleNamespace(CSmask=fail))
    with pytest.raises(CubeError, match=f"ukis-csmask failed: {error.__name__}: img must be nice"):
        open_peer("ukis-csmask", Path()).run(patch())


# patch by patch


def make_peer(name: str, mask: np.ndarray | None, predicts: tuple[int, ...] = (1, 2, 3, 4)) -> Peer:
    def run(given: Patch) -> Answer:
        if mask is None or given.name == "hard":
            raise CubeError(f"{name} does not like it.")
        return Answer(mask)

    return Peer(name, name, frozenset(predicts), run)


def test_peers_are_judged_and_those_that_cannot_leave_the_others_running() -> None:
    truth = patch().truth
    wrong = np.where(truth == 2, 1, truth).astype(np.uint8)
    unjudged = patch("empty", truth=np.zeros((48, 48)))
    found = compare(
        [patch("a"), patch("hard"), unjudged],
        [make_peer("good", truth), make_peer("no shadow", wrong), make_peer("x", None)],
    )
    good, blind, absent = found.standings
    assert [*found.scenes] == ["a", "hard"]
    assert found.unjudged == 1
    assert compute_rates(good.tally.confusion_matrix)["dice"]["all"] == 1
    assert compute_rates(blind.tally.confusion_matrix) == compute_scores(truth, wrong)
    assert good.failures == {"good does not like it.": 1}
    assert absent.failures.total() == 2
    assert good.seconds_per_megapixel is not None and absent.seconds_per_megapixel is None


def test_the_first_patch_and_files_do_not_count_as_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, clock = patch().truth, iter([0.0, 9.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0])
    monkeypatch.setattr("kappamask.evaluation.compare.perf_counter", lambda: next(clock))
    (one,) = compare([patch(name) for name in "abc"], [make_peer("network", truth)]).standings
    assert one.seconds_per_megapixel == pytest.approx(2 / (2 * truth.size) * 1e6), "loading took 9 s"
    (read,) = compare([patch()], [replace(make_peer("files", truth), timed=False)]).standings
    assert read.seconds_per_megapixel is None


def test_patches_are_forgotten_once_they_are_counted() -> None:
    alive: list[weakref.ref[Patch]] = []

    class Lazy(list):
        def __getitem__(self, index):
            one = patch(f"p{index}")
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= 1, "at most the one before"
            alive.append(weakref.ref(one))
            return one

    compare(Lazy(range(4)), [make_peer("good", patch().truth)])
    gc.collect()
    assert len(alive) == 4 and not any(ref() for ref in alive)


def test_two_patches_of_one_name_stay_two() -> None:
    found = compare([patch("a"), patch("a")], [make_peer("good", patch().truth)])
    assert found.scenes == {"a": 0, "a #1": 1} and [*found.standings[0].tally.scenes] == ["a", "a #1"]
    assert compute_rates(found.standings[0].tally.confusion_matrix)["pixels"]["all"] == 2 * patch().truth.size


def test_whether_thin_cloud_is_judged_can_be_chosen() -> None:
    truth = np.repeat([1, 3, 4], 16)[:, None] * np.ones(48, np.uint8)
    given, peer = [patch(truth=truth)], make_peer("good", truth.astype(np.uint8))
    assert compare(given, [peer]).merges_thin
    found = compare(given, [peer], merge_thin=False)
    assert (
        not found.merges_thin
        and compute_rates(found.standings[0].tally.confusion_matrix)["dice"]["semi_transparent"] == 1
    )


def test_nothing_to_judge_is_an_error() -> None:
    truth = patch().truth
    with pytest.raises(SceneError, match="labels no pixel"):
        compare([patch("empty", truth=np.zeros((48, 48)))], [make_peer("good", truth)])
    with pytest.raises(SceneError, match=r"x: x does not like it"):
        compare([patch()], [make_peer("x", None)])
    with pytest.raises(SceneError, match="x is given twice"):
        compare([patch()], [make_peer("x", truth), make_peer("x", truth)])


# by name


def test_scores_of_a_set_are_those_of_all_its_pixels(tmp_path: Path, brightness: ModelCard) -> None:
    found = judge(str(write_patches(tmp_path / "set")), [str(brightness.folder), "threshold"]).found
    patches = open_dataset("arrays", tmp_path / "set")
    peer = open_peer(str(brightness.folder), tmp_path)
    whole = [np.concatenate(parts) for parts in zip(*((one.truth, peer.run(one).mask) for one in patches), strict=True)]
    expected = compute_scores(*whole, merge_thin=True)
    ours, floor = found["peers"]
    assert found["view"] == "merged"
    for rate in RATES:
        for name in ("clear", "shadow", "cloud", "all"):
            assert ours["views"]["merged"][rate][name] == pytest.approx(expected[rate][name])
    np.testing.assert_array_equal(
        ours["confusion"], np.delete(np.delete(count_confusion(*whole, merge_thin=True), 2, 0), 2, 1)
    )
    low, high = ours["intervals"]["dice"]["cloud"]
    assert low <= ours["views"]["merged"]["dice"]["cloud"] <= high
    assert floor["tells"] == ["clear", "cloud"]
    assert floor["views"]["merged"]["dice"]["shadow"] is None
    assert floor["calibration_error"] is None and 0 <= ours["calibration_error"] <= 1
    assert [one["scene"] for one in found["worst"]] == ["labelled_l1c_2", "labelled_l1c_1", "labelled_l1c_0"]
    (apart,) = found["differences"]
    assert (apart["peer"], apart["against"], apart["dice"]["shadow"]) == ("brightness", "threshold", None)
    both = [one["views"]["merged"]["dice"] for one in (ours, floor)]
    assert apart["dice"]["cloud"] == pytest.approx(both[0]["cloud"] - both[1]["cloud"])
    assert apart["dice"]["all"] == pytest.approx(np.mean([both[0][n] - both[1][n] for n in ("clear", "cloud")]))


def test_a_published_set_is_judged_on_its_test_part_with_thin_cloud(tmp_path: Path, brightness: ModelCard) -> None:
    labels = np.repeat([3, 0, 2, 1], 16)[:, None] * np.ones(64, np.uint8)
    level = np.select([labels == 3, labels == 0, labels == 2], [200, 1500, 3000], 6000).astype(np.uint16)
    image = np.stack([level] * 13)
    rows = [("a", "test"), ("b", "train"), ("c", "test")]
    cloudsen12(tmp_path / "x.taco", {n: (image, labels.astype(np.uint8), {"tortilla:data_split": s}) for n, s in rows})
    asked = [str(brightness.folder), "threshold"]
    found = judge(f"cloudsen12={tmp_path}", asked).found
    assert (found["split"], found["scenes"], found["view"]) == ("test", 2, "classes")
    assert found["peers"][0]["views"]["classes"]["recall"]["semi_transparent"] > 0.8
    assert judge(f"cloudsen12={tmp_path}", asked, split="all").found["scenes"] == 3
    assert judge(f"cloudsen12={tmp_path}", asked, split="all", limit=2).found["scenes"] == 2
    with pytest.raises(SceneError, match=r"3 patches.*validation.*test, train"):
        judge(f"cloudsen12={tmp_path}", asked, split="validation")
    with pytest.raises(SceneError, match="No data set 'cloudsen13'"):
        judge(f"cloudsen13={tmp_path}", asked)


# tables


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, brightness: ModelCard) -> dict:
    folder = write_patches(tmp_path_factory.mktemp("set"))
    return judge(str(folder), [str(brightness.folder), "threshold", "SCL"]).found


def test_tables_have_the_paper_s_layout(comparison: dict) -> None:
    made = make_tables(comparison)
    assert [title for title, _, _ in made[:4]] == ["Dice coefficient", "Precision", "Recall", "Overall accuracy"]
    title, head, rows = made[0]
    assert head == [title, "brightness", "threshold"]
    assert [row[0] for row in rows] == ["Clear", "Cloud shadow", "Cloud", "All classes"]
    assert rows[1][2] == "–"
    dice = comparison["peers"][1]["views"]["merged"]["dice"]
    assert rows[3][2] == f"{50 * (dice['clear'] + dice['cloud']):.1f} %"


def test_csv_has_every_figure_and_its_interval(comparison: dict) -> None:
    rows = [*csv.DictReader(io.StringIO(format_csv([comparison])))]
    one = {"peer": "threshold", "view": "merged", "score": "dice", "class": "cloud", "stratum": ""}
    (row,) = [row for row in rows if one.items() <= row.items()]
    assert float(row["value"]) == comparison["peers"][1]["views"]["merged"]["dice"]["cloud"]
    assert [float(row["low"]), float(row["high"])] == comparison["peers"][1]["intervals"]["dice"]["cloud"]
    assert {row["view"] for row in rows} == {"classes", "merged", "cloud", "shadow", "valid"}


def test_every_table_names_the_folder_and_a_mask_of_some_scenes(comparison: dict) -> None:
    partly = {**comparison["peers"][0], "scenes": 2, "failures": {"It rained.": 1}}
    partial, words = {**comparison, "peers": [partly]}, "brightness is judged on 2 of 3 scenes; 1 times: It rained."
    assert words in format_markdown([partial]) and f"% {words}" in format_latex([partial])
    assert "# arrays in set0, all: 3 scenes" in format_markdown([{**partial, "folder": "set0"}])
    rows = csv.DictReader(io.StringIO(format_csv([{**partial, "folder": "set0"}])))
    assert {row["folder"] for row in rows} == {"set0"}


def test_text_tables_tell_the_same(comparison: dict) -> None:
    (_, head, rows), plain = make_tables(comparison)[0], format_markdown([comparison])
    assert f"| {' | '.join(head)} |" in plain
    assert all(f"| {' | '.join(row)} |" in plain for row in rows)
    assert "SCL could not run: There is no labelled_l1c_0_SCL.tif" in plain
    typeset = format_latex([{**comparison, "peers": [{**comparison["peers"][0], "name": "50%_of & more"}]}])
    assert r"50\%\_of \& more" in typeset
    assert "% SCL could not run: There is no labelled_l1c_0_SCL.tif" in typeset
    assert typeset.count(r"\begin{tabular}") == typeset.count(r"\end{tabular}") == len(make_tables(comparison))


# the command


def test_compare_writes_tables_and_a_page(kappamask, tmp_path: Path, brightness: ModelCard) -> None:
    asked = ["--data", write_patches(tmp_path / "set"), "--peers", f"{brightness.folder},threshold,SCL"]
    done = kappamask("compare", *asked, "-o", tmp_path / "deep" / "out", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == FILES
    (found,) = json.loads((tmp_path / "deep" / "out" / "comparison.json").read_text())["sets"]
    assert [peer["name"] for peer in found["peers"]] == ["brightness", "threshold"]
    assert found == summary["sets"][0]
    page = (tmp_path / "deep" / "out" / "comparison.html").read_text()
    assert "<h2>arrays in set" in page
    assert "labelled_l1c_2" in page and "<strong>SCL</strong> could not run" in page
    assert page.count("<img ") == 3 * 4, "of each scene true colour, truth and two masks"
    assert str(tmp_path) not in page
    people = kappamask("compare", *asked, "-o", tmp_path / "deep" / "out")
    assert "All classes" in people.out and "SCL could not run" in people.out


def test_evaluate_writes_the_same_files_about_one_mask(kappamask, tmp_path: Path) -> None:
    truth = np.repeat([2, 1, 3, 4, 0], 60)[:, None] * np.ones(280, np.uint8)
    wrong = np.where(np.arange(280) < 30, 1, truth)
    paths = [geotiff(tmp_path / n, c[None].astype(np.uint8), (None,)) for n, c in (("t.tif", truth), ("m.tif", wrong))]
    asked = ["evaluate", "--truth", paths[0], "--mask", paths[1], "--json"]
    plain, full = kappamask(*asked), kappamask(*asked, "-o", tmp_path / "out")
    assert full.code == 0, full.err
    summary = json.loads(full.out)
    assert {key: value for key, value in summary.items() if key != "files"} == json.loads(plain.out)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == OF_ONE
    (found,) = json.loads((tmp_path / "out" / "evaluation.json").read_text())["sets"]
    (peer,) = found["peers"]
    assert {key: peer["views"]["classes"][key] for key in RATES} == {key: summary[key] for key in RATES}
    assert peer["drawn"] == {"of": "blocks", "number": 6}, "two rows of three squares; what is not labelled is in none"
    low, high = peer["intervals"]["recall"]["cloud"]
    assert low < peer["views"]["classes"]["recall"]["cloud"] < high
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert page.count("<img ") == 2 and "Accuracy and cost" not in page
    assert "squares of 128 px" in page and "kappamask evaluate" in page and "your own" not in page


def test_evaluate_shows_a_labelled_image_and_its_mask(kappamask, tmp_path: Path, brightness: ModelCard) -> None:
    image = next(write_patches(tmp_path / "set", 1).iterdir())
    done = kappamask("evaluate", "--labelled", image, "--model", brightness.folder, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    (found,) = json.loads((tmp_path / "out" / "evaluation.json").read_text())["sets"]
    assert (found["view"], found["judges"]) == ("merged", "clear, cloud shadow, cloud")
    assert found["peers"][0]["sha256"] == brightness.sha256
    assert (tmp_path / "out" / "evaluation.html").read_text().count("<img ") == 3


def test_names_of_neighbours_in_the_plot_do_not_collide() -> None:
    from kappamask.reports.comparison import _iter_points

    peers = [
        ("slow", 0.84, 20.0),
        ("close", 0.86, 0.8),
        ("quick", 0.85, 0.003),
        ("far", 0.3, 30.0),
        ("file", 0.9, None),
    ]
    found = {"view": "merged", "peers": [
        {"name": name, "views": {"merged": {"dice": {"all": dice}}}, "seconds_per_megapixel": seconds}
        for name, dice, seconds in peers
    ]}  # fmt: skip
    points = [*_iter_points(found)]
    assert [point.name for point in points] == ["quick", "close", "slow", "far"], "a file has no cost"
    assert [point.raised for point in points] == [False, True, False, False]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "No folder nowhere"),
        (["--data", "kappaset=nowhere"], "No folder nowhere; needed is the folder of kappaset"),
        (["--data", "set", "--peers", "nobody"], "No peer 'nobody'"),
        (["--data", "set", "--peers", "threshold,threshold"], "given twice"),
        (["--data", "set", "--peers", "SCL"], "No peer could mask any patch"),
        (["--data", "set/labelled_l1c_0.npz", "--split", "test"], "None of the 1 patches is of test"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(kappamask, tmp_path: Path, monkeypatch, words, message) -> None:
    monkeypatch.chdir(tmp_path)
    write_patches(tmp_path / "set", 1)
    done = kappamask("compare", *words, "-o", "out")
    assert done.code == 1
    assert message in done.err
    assert one_sentence(done.err.splitlines(keepends=True)[-1])
    assert not Path("out").exists()


def test_wrong_use_is_refused_before_anything_is_read(kappamask, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "file").touch()
    assert kappamask("compare", "--data", tmp_path, "--peers", " , ", "-o", tmp_path / "out").code == 2
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        done = kappamask("compare", "--data", tmp_path, "-o", output)
        assert done.code == 2 and "is no folder" in done.err
    assert kappamask("compare", "--data", tmp_path, "--split", "some", "-o", tmp_path / "out").code == 2


@needs_browser
def test_the_page_is_whole_on_a_screen_and_a_phone(tmp_path: Path, kappamask, brightness: ModelCard) -> None:
    data = write_patches(tmp_path / "set")
    done = kappamask("compare", "--data", data, "--peers", f"{brightness.folder},threshold", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    with browser(tmp_path / "profile") as tab:
        for width in (1280, 390):
            seen = tab.look(tmp_path / "out" / "comparison.html", width)
            assert not seen.faults and not seen.outside
            assert seen.page <= seen.window
            assert all(one["width"] and one["alt"] for one in seen.images)


@pytest.mark.shared_data
def test_the_network_beats_the_floor_on_real_scenes(kappamask, shared_data: Path, tmp_path: Path) -> None:
    done = kappamask("compare", "--data", shared_data, "--peers", "compact,threshold", "-o", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)["sets"]
    compact, floor = (peer["views"]["merged"]["dice"] for peer in found["peers"])
    assert found["scenes"] == 3
    assert all(compact[name] > floor[name] + 0.03 for name in ("clear", "cloud"))
    assert compact["shadow"] > 0.6
