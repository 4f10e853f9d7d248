"""What the documentation shows works: its commands, its Python, its figures."""

import json
import os
import shlex
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from command import runner
from doc_snippets import ROOT, back_end, blocks, commands, list_calls, words, write_scene
from networks import brightness_network, write_model
from products import safe
from stacs import cogs, raw_item, with_scale

from kappamask.cli.app import app
from kappamask.openeo_process.archive import build
from kappamask.scenes import open_scene, write_mask
from kappamask.scenes.readers import stac
from kappamask.udf import cloud_mask

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SCENE = "S2_L1C_20180202.tif"
PAINTED = "demo/scenes/painted_L1C_2018-02-02.tif"
ARCHIVE = "https://example.org/kappamask-deps-compact-cp311.zip"
TESTED_ELSEWHERE = {
    "archive", "cancel", "compare", "demo", "fetch", "jobs", "publish", "resume", "serve", "simulate", "submit",
    "train",
}  # fmt: skip
"""Commands that take long, wait, or need a back-end: here their lines are parsed only."""
NOT_HERE = ("official-", "run1/", "mine.json", "l2a_unet.hdf5", "landsatbiomeRGBISWIR7.hdf5", "https://", "tcp://HOST")
"""What is downloaded or trained first."""


@pytest.mark.parametrize("name", ["weaknesses", "explanation/network", "how-to/bands"])
def test_figures_are_those_of_the_released_network(name):
    """A new network needs new figures here; the card has them."""
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    validation = load_card_document()["kappamask:training"]["validation"]
    assert [f"{validation[key]:.3f}" in page for key in ("shadow", "cloud")] == [True, True]


def test_weaknesses_name_the_network_that_has_them():
    assert f"`compact`, {load_card_document()['datetime'][:10]}" in (DOCS / "weaknesses.md").read_text(encoding="utf-8")


def load_card_document() -> dict[str, Any]:
    return json.loads((ROOT / "models" / "compact.json").read_text(encoding="utf-8"))["properties"]


LINES = [(page, line) for page in [ROOT / "README.md", *PAGES] for line in commands(page)]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[line for _, line in LINES])
def test_commands_have_the_options_that_are_shown(page, line):
    """The command's own parser takes them; nothing is run."""
    command, parent, given = typer.main.get_command(app), None, words(line)
    while given:
        context = command.make_context(given[0], given[1:], parent=parent)
        if not hasattr(command, "resolve_command"):
            return
        parent, rest = context, [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, rest)
        given = [command.name, *rest]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """A folder with a small scene of every name that pages use."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(folder / SCENE)
    for name in (SCENE, "S2_L1C_20180207.tif"):
        write_scene(folder / "scenes" / name, 638_000, 5_679_000)
    safe(folder)
    write_scene(folder / PAINTED, 438_000, 4_173_000, zone=18)
    write_scene(folder / "S2_L2A_20180202.tif", level="L2A")
    (folder / "masks").mkdir()
    for path in (folder / "truth.tif", folder / "masks" / "20180202.tif", folder / "masks" / "20180207.tif"):
        write_mask(cloud_mask(open_scene(folder / SCENE)), path)
    for name in ("my-network", "uv"):
        write_model(folder / name)
    (folder / "mine").mkdir()
    (folder / "mine" / "net.onnx").write_bytes(brightness_network(3))
    dn, truth = np.full((64, 64, 3), 1500, np.uint16), np.ones((64, 64), np.uint8)
    labels = {"dn": dn, "bands": np.array(["B02", "B03", "B04"]), "gt_kappa": truth}
    np.savez(folder / "labelled_l1c_mine.npz", **labels)
    for part in ("train", "validation"):
        (folder / "labelled" / part).mkdir(parents=True)
        np.savez(folder / "labelled" / part / "labelled_mine.npz", **labels, split=part)
    (folder / "item.json").write_text(json.dumps(raw_item(with_scale(cogs(folder), 0.0))))
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> str:
    return build(tmp_path_factory.mktemp("archive")).as_uri()


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python") or commands(p)], ids=lambda path: path.stem)
def test_pages_do_what_they_show(page, scenes, archive, tmp_path, monkeypatch, capsys):
    """Blocks run from top to bottom in their own folder.

    What a page computes, its later blocks may use.

    As printed, but for the back-end and the catalogue, which are this machine's.
    """
    shutil.copytree(scenes, tmp_path, copy_function=os.link, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stac, "search", lambda *_, **__: [str(scenes / "item.json")])
    kappamask, known = runner(monkeypatch, capsys), {"__name__": "__main__"}
    remote = any("openeo.connect" in text for text in blocks(page, "python"))
    served = tmp_path / ("demo/scenes" if page.parent.name == "tutorial" else "scenes")
    with back_end(served, monkeypatch) if remote else nullcontext():
        for kind, text in blocks(page):
            if kind == "python":
                exec(text.replace(ARCHIVE, archive), known)
            for line in lines(list_calls(text)) if kind == "sh" else []:
                done = kappamask(*words(line)[1:])
                assert done.code == 0, f"{line}: {done.err}"


def lines(called: list[str]) -> list[str]:
    """The lines that are worth running here."""
    return [
        line
        for line in called
        if shlex.split(line)[1] not in TESTED_ELSEWHERE and not any(name in line for name in NOT_HERE)
    ]
