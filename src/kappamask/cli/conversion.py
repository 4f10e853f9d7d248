"""`kappamask models export`, `convert`, `quantise`, `deepness`, `card`: write networks and cards."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from kappamask.cli.models import Which, models
from kappamask.cli.options import AsJson, Level, print_result
from kappamask.conversion.onnx_card import OnnxCardOptions, find_card_faults, write_onnx_card
from kappamask.models import CardError, ModelCard, SceneError, WeightsError, load_card
from kappamask.models.band_names import find_band
from kappamask.models.errors import require_extra
from kappamask.models.hints import render_hints
from kappamask.workflows.networks import describe_network, format_network

__all__ = ["card", "convert", "deepness", "export", "quantise"]


class Architecture(StrEnum):
    """What weights are published of: KappaZeta's two, and a peer."""

    UNET = "unet"
    DEEPLABV3PLUS = "deeplabv3plus"
    DL_L8S2_UV = "dl-l8s2-uv"


@models.command(
    epilog="Example: kappamask models export run1/best.pt --data data/ --tiles run1/tiles -o run1/ --name mine"
)
def export(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(help="best.pt of a run, or an ONNX file; of several, their mean."),
    ],
    data: Annotated[Path, typer.Option(help="Folder of the real scenes and pixels.", show_default=False)],
    tiles: Annotated[Path, typer.Option(help="Folder of the tiles that were trained on.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for NAME.onnx and NAME.json.")],
    name: Annotated[str, typer.Option(help="Id of the new model, such as mine.", show_default=False)],
    shadow_odds: Annotated[
        float,
        typer.Option(min=0.1, max=10, help="Odds of cloud shadow times this: tiles hold less of it than real scenes."),
    ] = 1.0,
    cloud_odds: Annotated[
        float, typer.Option(min=0.1, max=10, help="Odds of cloud times this, against semi-transparent cloud above all.")
    ] = 1.0,
    title: Annotated[str, typer.Option(help="Title in the card; the id if left out.", show_default=False)] = "",
    author: Annotated[str, typer.Option(help="Who trained it, for the card.", show_default=False)] = "",
    licence: Annotated[
        str, typer.Option("--license", help="SPDX name of the licence of the weights, as CC-BY-4.0.")
    ] = "other",
    labelled: Annotated[
        Path | None,
        typer.Option(help="Labelled scenes; the card gets scores of their validation part.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained network as ONNX with a card.

    Its scores are calibrated. The card says how the network was made and how good it is.
    """
    if missing := [path for path in checkpoints if not path.is_file()]:
        raise WeightsError(f"No file {missing[0]}; needed is best.pt of a run, or an ONNX file.")
    with require_extra("train"):
        from kappamask.training.export import ReleaseOptions, write_release
        from kappamask.training.model_card import Owner

    made = datetime.fromtimestamp(checkpoints[-1].stat().st_mtime, UTC).date().isoformat()
    odds = {"shadow": shadow_odds, "cloud": cloud_odds}
    wanted = ReleaseOptions(name, made, Owner(title, author, licence), odds, labelled)
    facts = write_release(checkpoints, data, tiles, output, wanted)
    short = {key: value for key, value in facts.items() if key not in ("runs", "data_sha256", "scenes")}
    print_result(facts, [f"{key:<24}{value}" for key, value in short.items()], as_json)


@models.command(
    epilog="Example: kappamask models convert l1c_unet.hdf5 --architecture unet --level L1C -o official-l1c-unet/"
)
def convert(
    weights: Annotated[Path, typer.Argument(help="KappaZeta's weights, or DL_L8S2_UV's, as HDF5.", show_default=False)],
    architecture: Annotated[
        Architecture, typer.Option(help="The network that the weights are of.", show_default=False)
    ],
    level: Annotated[Level, typer.Option(help="Product level that they are for.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for model.onnx and card.json.")],
    quantise: Annotated[
        Path | None, typer.Option(metavar="SCENE", help="Also write OUTPUT-int8/, its ranges measured on this scene.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert official KappaMask weights, or DL_L8S2_UV's, to ONNX with their card; TensorFlow is not needed."""
    with require_extra("convert"):
        from kappamask.conversion import convert as run
        from kappamask.conversion.official_networks import ARCHITECTURES

    card = run(weights, architecture.value, level.value, output)
    facts = describe_network(card) | {"head": ARCHITECTURES[architecture.value].head}
    lines = [f"{card.file}: {card.id}, {facts['head']} scores, sha256 {card.sha256}"]
    if quantise:
        with TemporaryDirectory() as scratch:
            plain = run(weights, architecture.value, level.value, Path(scratch), plain=True)
            facts["int8"] = _quantise_network(card, plain, quantise, output.with_name(f"{output.name}-int8"))
        lines.append("{folder}: {same_class:.2%} of classes the same, {times_faster:.2f} times as fast, "
                     "peak {peak_mb:.0f} MB".format(**facts["int8"]))  # fmt: skip
    print_result(facts, [*lines, f"kappamask mask SCENE -o mask.tif --model {output}"], as_json)


def _quantise_network(card: ModelCard, plain: ModelCard, scene: Path, folder: Path) -> dict[str, Any]:
    with require_extra("scenes"):
        from kappamask.conversion.quantise import quantise_card
        from kappamask.scenes import open_scene

    _, measured = quantise_card(card, open_scene(scene, level=card.levels[0]), folder, plain)
    return {"folder": str(folder), **measured}


@models.command(epilog="Example: kappamask models quantise compact --labelled labelled/ -o models/")
def quantise(
    model: Which,
    labelled: Annotated[
        Path,
        typer.Option(help="Labelled scenes: the part train gives the ranges, validation judges.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for ID-int8.onnx and ID-int8.json.")],
    kept: Annotated[int, typer.Option(min=0, help="Convolutions at each end that stay in 32 bits.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Write a network with convolutions of eight bits: faster, and slightly less exact.

    Prints the share of classes that stay the same. The card has scores of its own.
    """
    with require_extra("convert"):
        from kappamask.conversion.quantise_scenes import quantise_on_scenes
        from kappamask.datasets import arrays

    if not labelled.is_dir():
        raise SceneError(f"No folder {labelled}; needed is one of labelled scenes, in train/ and validation/.")
    patches = [arrays.read(path) for path in arrays.find(labelled)]
    made = quantise_on_scenes(load_card(model), patches, output, kept)
    facts: dict[str, Any] = {"id": made.card.id, "sha256": made.card.sha256, "same_class": made.same_class}
    facts["times_faster"] = made.times_faster
    line = f"{made.card.file}: {made.same_class:.2%} of classes the same, {made.times_faster:.2f} times as fast"
    print_result(facts, [line, f"kappamask mask SCENE -o mask.tif --model {output / made.card.document}"], as_json)


@models.command(epilog="Example: kappamask models deepness compact -o compact-deepness.onnx")
def deepness(
    model: Which,
    output: Annotated[Path, typer.Option("--output", "-o", help="The copy, an .onnx file.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a copy of a network that QGIS's Deepness plugin can open.

    Its input has a fixed size, and the file holds the scaling.
    """
    with require_extra("convert"):
        from kappamask.conversion.deepness import write_deepness_network

    if output.exists() and not overwrite:
        raise WeightsError(f"{output} is there already; --overwrite replaces it.")
    network = load_card(model)
    size = f"{network.channels} x {network.window} x {network.window}"
    written = write_deepness_network(network, output)
    channels = [*network.bands, *(["level"] if network.level_plane else [])]
    facts = {"file": str(written), "input": size, "channels": channels, "classes": network.output_names}
    print_result(facts, [f"{written}: {network.id}, input {size} ({', '.join(channels)})"], as_json)


@models.command(
    epilog="Example: kappamask models card net.onnx --bands B02,B03,B04 --classes clear,cloud_shadow,cloud",
)
def card(
    network: Annotated[Path, typer.Argument(metavar="NETWORK.onnx", help="The network.", show_default=False)],
    bands: Annotated[
        str, typer.Option(help="Needed: band of each input channel, as B02,B03,B04.", show_default=False)
    ] = "",
    classes: Annotated[
        str,
        typer.Option(
            help="Needed: class of each output channel, as clear,cloud; NAME=CODE for one that KappaMask lacks.",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The card; left out, card.json next to the network.")
    ] = None,
    name: Annotated[str, typer.Option(help="Id; left out, the name of the file.")] = "",
    level: Annotated[list[Level] | None, typer.Option(help="Level that it takes; left out, both.")] = None,
    required: Annotated[str, typer.Option(help="Bands that must be there; left out, all.")] = "",
    mean: Annotated[str, typer.Option(help="Mean of each band, in reflectance, with --std.")] = "",
    std: Annotated[str, typer.Option(help="Standard deviation of each band, in reflectance.")] = "",
    softmax: Annotated[bool, typer.Option("--softmax", help="The network gives logits, to be made scores.")] = False,
    licence: Annotated[str, typer.Option("--license", help="SPDX name of the licence of the weights.")] = "other",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a card.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the card of an ONNX network; what is left out gets a default."""
    target = output or network.with_name("card.json")
    if target.exists() and not overwrite:
        raise CardError(f"{target} is there already; --overwrite replaces it.")
    moments, faults = _parse_moments(mean, std)
    options = OnnxCardOptions(
        name=name,
        levels=[one.value for one in level or Level],
        required=_parse_labels(required),
        moments=moments,
        softmax=softmax,
        licence=licence,
    )
    channels = _parse_labels(bands), _split_words(classes)
    if faults or not all(channels):
        found = [*faults, *find_card_faults(network, *channels, target, options)]
        raise typer.BadParameter(render_hints(" ".join(found)))
    made = write_onnx_card(network, *channels, target, options)
    facts = describe_network(made)
    print_result(facts, [*format_network(facts), f"kappamask mask SCENE -o mask.tif --model {target}"], as_json)


def _parse_moments(mean: str, std: str) -> tuple[list[tuple[float, float]], list[str]]:
    """Parse two options that need each other, and list their faults."""
    try:
        means, deviations = ([float(word) for word in _split_words(text)] for text in (mean, std))
    except ValueError as error:
        return [], [f"--mean, --std: {error}."]
    if len(means) != len(deviations):
        return [], [f"--mean, --std: {len(means)} means and {len(deviations)} deviations were given."]
    return list(zip(means, deviations, strict=True)), []


def _parse_labels(text: str) -> list[str]:
    """Parse B02,B03,…; a word that is no band stays, to be named with other faults."""
    return [find_band(word) or word for word in _split_words(text)]


def _split_words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
