"""Label the real scenes, score masks on them by kind, and draw all of them.

    python benchmarks/real_scenes.py sources DATA
    python benchmarks/real_scenes.py label DATA -o LABELLED
    python benchmarks/real_scenes.py score LABELLED [--model compact] [--peer ukis-csmask] [-o scores.json]
    python benchmarks/real_scenes.py doubts LABELLED [--model compact] [--part train]
    python benchmarks/real_scenes.py sheets LABELLED [--model compact] [--docs] -o SHEETS
    python benchmarks/real_scenes.py picture LABELLED [--model compact] -o docs/images/real-masks.png

DATA is the folder of scenes that docs/training-rounds.md describes. LABELLED gets the parts `train` and `validation`,
an archive for each image, in the layout that `kappamask train --dataset arrays=LABELLED` reads. Needs the extra `ukis`.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import scene_pictures
import typer
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

from kappamask.datasets import Patch, arrays
from kappamask.datasets.planes import BANDS, Planes
from kappamask.datasets.real_scenes import Row, find_file, label_scene, read_rows, read_scene, read_sources
from kappamask.evaluation.scene_kinds import MEASURES, SUBSETS, score_scenes, show_bands, summarise_figures
from kappamask.evaluation.tools import make_csmask_peer
from kappamask.models import SceneError, load_card
from kappamask.udf import cloud_mask

app = typer.Typer(add_completion=False)
SIX, FOUR = SUBSETS["6"], SUBSETS["4"]
LEAST_SIDE: Final = 256
"""Tile of ukis-csmask in pixels: smaller images are mirrored to it."""
ROWS: Final = 8
"""Images on a sheet."""
NAMES: Final = ("clear", "shadow", "thin", "cloud")
MINICUBES: Final = ("romania", "portugal")
"""Places of 29 images of 128 px each."""
PICTURE: Final = {
    "017_sen12-85": "cumulus over wetland",
    "046_sen12-139": "cumulus over a town",
    "182_exeter": "city, Level-2A",
    "065_gen-746": "cirrus",
    "049_gen-2266": "closed cloud, drawn darker",
}
"""Images of the README's picture, and their titles."""
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False)]
Output = Annotated[Path, typer.Option("--output", "-o")]


@app.command()
def sources(data: Folder) -> None:
    """Say where every file comes from, and whether it is there."""
    for file, (source, licence) in read_sources().items():
        try:
            there = str(find_file(file, data).relative_to(data))
        except SceneError:
            there = "not here"
        typer.echo(f"{file}\n    {there}\n    from {source}; {licence}")


@app.command()
def label(data: Folder, output: Output) -> None:
    """Write every image with its labels."""
    for number, row in enumerate(read_rows()):
        scene, labels = read_scene(row, data), label_scene(row, data, ask_teachers)
        (output / row.split).mkdir(parents=True, exist_ok=True)
        np.savez(
            output / row.split / f"labelled_{number:03d}_{row.place}.npz",
            dn=(np.nan_to_num(scene.reflectance) * 1e4).round().clip(0, 65535).astype(np.uint16).transpose(1, 2, 0),
            bands=np.array(BANDS), sets=labels.with_b10, sets_without_b10=labels.without_b10,
            level=scene.level, place=row.place, split=row.split,
            kinds=np.array(row.kinds),
        )  # fmt: skip
        if row.ground:
            _write_ground(row, data, output / "grounds")
        typer.echo(f"{number + 1} of {len(read_rows())}: {row.name}, {row.place}")


def _write_ground(row: Row, data: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    scene = read_scene(row, data)
    there = np.isfinite(scene.reflectance).any(axis=(1, 2))
    numbers = (np.nan_to_num(scene.reflectance[there]) * 1e4).round().astype(np.uint16).transpose(1, 2, 0)
    bands = np.array(BANDS)[there]
    np.savez(folder / f"{row.name.replace(':', '_')}.npz", dn=numbers, bands=bands, level=scene.level)


def ask_teachers(scene: Planes, level: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return what ukis-csmask's networks of six and of four bands say, class codes (y, x)."""
    infrared = "B08" if np.isfinite(scene[BANDS.index("B08")]).any() else "B8A"
    four = _ask(scene, level, {band: infrared if band == "B08" else band for band in FOUR})
    if np.isnan(scene[BANDS.index("B11")]).all():
        return four, four
    return _ask(scene, level, {band: infrared if band == "B08" else band for band in SIX}), four


def _ask(scene: Planes, level: str, bands: dict[str, str]) -> NDArray[np.uint8]:
    height, width = scene.shape[1:]
    planes = np.stack([scene[BANDS.index(source)] for source in bands.values()])
    frame = ((0, 0), *((0, max(0, LEAST_SIDE - length)) for length in (height, width)))
    wide = np.pad(planes, frame, mode="symmetric")
    truth = np.zeros(wide.shape[1:], np.uint8)
    patch = Patch("x", "x", "test", level, None, tuple(bands), wide, truth, merges_thin=True)
    return make_csmask_peer().run(patch).mask[:height, :width]


def run_network(model: str, patch: Patch) -> NDArray[np.uint8]:
    """Return the class codes (y, x) of a network."""
    cube = xr.DataArray(patch.reflectance, dims=("bands", "y", "x"), coords={"bands": list(patch.bands)})
    return np.asarray(cloud_mask(cube, level=patch.level, model=model, radiometry="reflectance").values)


def run_ukis(patch: Patch) -> NDArray[np.uint8]:
    """Return the class codes (y, x) of ukis-csmask; KeyError with less than four bands."""
    scene, names = patch.stack(BANDS), set(patch.bands)
    if not names & {"B08", "B8A"}:
        raise KeyError("B08")
    infrared = "B08" if "B08" in names else "B8A"
    wanted = SIX if {*SIX[-2:]} <= names else FOUR
    return _ask(scene, patch.level, {band: infrared if band == "B08" else band for band in wanted})


def read_patches(folder: Path) -> list[Patch]:
    """Read the labelled images in `folder`."""
    return [arrays.read(path) for path in arrays.find(folder)]


@app.command()
def score(
    labelled: Folder,
    model: str = "compact",
    peer: bool = True,
    output: Annotated[Path | None, typer.Option("--output", "-o")] = None,
) -> None:
    """Score a network and ukis-csmask on the validation places."""
    patches = read_patches(labelled / "validation")
    found: dict[str, Any] = {}
    card = load_card(model)
    for name, predict in {model: partial(run_network, model), **({"ukis-csmask": run_ukis} if peer else {})}.items():
        figures = score_scenes(predict, patches)
        found["compact" if name == model else name] = [figure._asdict() for figure in figures]
        typer.echo(name)
        for measure, by_subset in summarise_figures(figures).items():
            cells = "  ".join(f"{key} {mean:.3f} (worst {worst:.3f})" for key, (mean, worst) in by_subset.items())
            typer.echo(f"  {MEASURES[measure]}: {cells}")
    if output:
        made = datetime.now(UTC).isoformat(timespec="seconds")
        kept = {"made": made, "sha256": card.sha256, "masks": found}
        output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


@app.command()
def doubts(labelled: Folder, model: str = "compact", part: str = "train", count: int = 20) -> None:
    """List the images whose labels the network contradicts most, with what it says there.

    What a network still contradicts after it was trained on it is hard, or labelled wrong: look at these images.
    """
    found = [_count_contradictions(patch, model) for patch in read_patches(labelled / part)]
    for share, name, said in sorted(found, reverse=True)[:count]:
        typer.echo(f"{share:7.2%}  {name}  {', '.join(f'{key} {pixels}' for key, pixels in said.most_common(3))}")


def _count_contradictions(patch: Patch, model: str) -> tuple[float, str, Counter[str]]:
    """Count the judged pixels whose class the label does not allow, by both."""
    codes, sets = run_network(model, _keep_seen_bands(patch)), patch.class_sets()
    said: Counter[str] = Counter()
    for label in np.unique(sets[sets > 0]):
        allowed = [name for i, name in enumerate(NAMES) if label >> i & 1]
        for code, name in enumerate(NAMES, start=1):
            if name not in allowed:
                said[f"{' or '.join(allowed)} called {name}"] += int(((sets == label) & (codes == code)).sum())
    return said.total() / max(1, int((sets > 0).sum())), patch.name, said


@app.command()
def sheets(labelled: Folder, output: Output, model: str = "compact", docs: bool = False) -> None:
    """Draw every image, eight on a sheet: views, masks with all bands, four, three, labels.

    docs: only what the documentation shows, the validation places without the many small minicubes.
    """
    output.mkdir(parents=True, exist_ok=True)
    for part in ("validation",) if docs else ("validation", "train"):
        paths = [path for path in arrays.find(labelled / part) if not (docs and path.stem.endswith(MINICUBES))]
        for first in range(0, len(paths), ROWS):
            rows = [_draw_row(path, model) for path in paths[first : first + ROWS]]
            scene_pictures.draw_sheet(rows).save(output / f"{part}_{first // ROWS:02d}.jpg", quality=80)


def _draw_row(path: Path, model: str) -> scene_pictures.Row:
    patch = arrays.read(path)
    masks = [
        None if one is None else run_network(model, _keep_seen_bands(one))
        for one in (patch, *(show_bands(patch, subset) for subset in ("4", "3")))
    ]
    place = path.stem.split("_", 2)[-1]
    caption = f"{place} · Level-{patch.level[1:]} · {', '.join(one.replace('_', ' ') for one in patch.kinds)}"
    return scene_pictures.Row(caption, patch.stack(BANDS), masks, patch.class_sets())


def _keep_seen_bands(patch: Patch) -> Patch:
    seen = np.isfinite(patch.reflectance).any(axis=(1, 2))
    bands = tuple(band for band, there in zip(patch.bands, seen, strict=True) if there)
    return replace(patch, bands=bands, reflectance=patch.reflectance[seen])


@app.command()
def picture(labelled: Folder, output: Output, model: str = "compact") -> None:
    """Draw the picture of the README: scenes above, their masks below."""
    columns = []
    for name, title in PICTURE.items():
        patch = arrays.read(labelled / "validation" / f"labelled_{name}.npz")
        mask = run_network(model, _keep_seen_bands(patch))
        scene = patch.stack(BANDS)
        white = {"white": float(np.nanmax(scene[1:4]))} if title.startswith("closed") else {}
        columns.append(scene_pictures.Column(title, scene, mask, **white))
    scene_pictures.draw_columns(columns).quantize(256, dither=Image.Dither.NONE).save(output, optimize=True)


if __name__ == "__main__":
    app()
