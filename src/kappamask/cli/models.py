"""`kappamask models`: list, show, verify, download, convert and export networks, and write their cards."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from kappamask.cli.options import AsJson, Level, parse_bands, print_result
from kappamask.models import CardError, KappaMaskError, ModelCard, WeightsError, list_cards, load_card, read_weights
from kappamask.models.errors import require_extra
from kappamask.workflows.networks import describe_network, format_network, format_networks, list_networks

__all__ = ["models"]

models = typer.Typer(help="List, show, verify and add networks.", no_args_is_help=True)


class Architecture(StrEnum):
    """What weights are published of: KappaZeta's two, and a peer."""

    UNET = "unet"
    DEEPLABV3PLUS = "deeplabv3plus"
    DL_L8S2_UV = "dl-l8s2-uv"


Which = Annotated[str, typer.Argument(help="A model's id, or the path of a card.")]


@models.command("list", epilog="Example: kappamask models list --json")
def list_all(as_json: AsJson = False) -> None:
    """List the networks that are here, and those that can be downloaded."""
    errors: list[KappaMaskError] = []
    networks = list_networks(errors.append)
    print_result(networks, format_networks(networks), as_json)
    _raise_errors(errors)


@models.command(epilog="Example: kappamask models show compact")
def show(model: Which = "compact", as_json: AsJson = False) -> None:
    """Show a network's bands and classes, training, scores, limits and licence."""
    facts = describe_network(load_card(model))
    print_result(facts, format_network(facts), as_json)


@models.command(epilog="Example: kappamask models verify compact")
def verify(
    model: Annotated[str | None, typer.Argument(help="All models if left out.")] = None, as_json: AsJson = False
) -> None:
    """Check the network's file against its card.

    Its sha256 must be the card's, and it must hold nothing that a network may not carry.
    """
    errors: list[KappaMaskError] = []
    found = []
    for card in [load_card(model)] if model else list_cards(errors.append):
        try:
            size = len(read_weights(card))
        except WeightsError as error:
            errors.append(WeightsError(f"{card.id}: {error}"))
        else:
            found.append({"id": card.id, "sha256": card.sha256, "bytes": size, "verified": True})
    print_result(
        found, [f"{one['id']}: verified, {one['bytes']} bytes, sha256 {one['sha256']}" for one in found], as_json
    )
    _raise_errors(errors)


def _raise_errors(errors: list[KappaMaskError]) -> None:
    """Raise the errors of single networks as one, if there are any."""
    if errors:
        raise KappaMaskError(" ".join(map(str, errors)))


@models.command(epilog="Example: kappamask models export run1/best.pt --data data/ --tiles run1/tiles -o models/")
def export(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(help="best.pt of a run, or an ONNX file; of several, their mean."),
    ],
    data: Annotated[Path, typer.Option(help="Folder of the real scenes and pixels.", show_default=False)],
    tiles: Annotated[Path, typer.Option(help="Folder of the tiles that were trained on.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for NAME.onnx and NAME.json.")],
    name: Annotated[str, typer.Option(help="The model's id.")] = "compact",
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
        typer.Option(help="Labelled scenes whose validation part the card shall have scores of.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained network as ONNX with a card.

    Its scores are calibrated. The card says how the network was made and how good it is.
    """
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
    architecture: Annotated[Architecture, typer.Option(help="Of the weights.", show_default=False)],
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
    kept: Annotated[int, typer.Option(min=0, help="Convolutions at each end that stay in 32 bits.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Write a network with convolutions of eight bits: faster, and slightly less exact.

    Prints the share of classes that stay the same. The card has scores of its own.
    """
    with require_extra("convert"):
        from kappamask.conversion.quantise import quantise_on_scenes
        from kappamask.datasets import arrays

    patches = [arrays.read(path) for path in arrays.find(labelled)]
    made = quantise_on_scenes(load_card(model), patches, output, kept)
    facts: dict[str, Any] = {"id": made.card.id, "sha256": made.card.sha256, "same_class": made.same_class}
    facts["times_faster"] = made.times_faster
    line = f"{made.card.file}: {made.same_class:.2%} of classes the same, {made.times_faster:.2f} times as fast"
    print_result(facts, [line, f"kappamask mask SCENE -o mask.tif --model {output / made.card.document}"], as_json)


@models.command(epilog="Example: kappamask models fetch official-l2a-unet")
def fetch(
    name: Annotated[str, typer.Argument(help="official-l1c-unet, …", show_default=False)],
    source: Annotated[Path | None, typer.Option("--from", help="A file to take instead of downloading it.")] = None,
    mirror: Annotated[str | None, typer.Option(help="URL of a folder that holds the files of weights.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow plain HTTP.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download an official network, convert it and keep it.

    A download that was cut off is resumed.
    """
    with require_extra("convert"):
        from kappamask.conversion import fetch as run
        from kappamask.conversion.official_networks import BUCKET

    from kappamask.workflows.progress import progress_bar

    with progress_bar(name) as show:
        card = run(name, mirror=mirror or BUCKET, source=source, insecure=insecure, show=show)
    lines = [f"{card.folder}: {card.id}, sha256 {card.sha256}", f"kappamask mask SCENE -o mask.tif --model {card.id}"]
    print_result(describe_network(card), lines, as_json)


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
    bands: Annotated[str, typer.Option(help="Band of each input channel, as B02,B03,B04.", show_default=False)],
    classes: Annotated[
        str,
        typer.Option(
            help="Class of each output channel, as clear,cloud; NAME=CODE for one that KappaMask has not.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The card; left out, card.json next to the network.")
    ] = None,
    name: Annotated[str, typer.Option(help="Id; left out, the name of the file.")] = "",
    level: Annotated[list[Level] | None, typer.Option(help="Level that it takes; left out, both.")] = None,
    required: Annotated[str, typer.Option(help="Bands that must be there; left out, all.")] = "",
    mean: Annotated[str, typer.Option(help="Mean of each band, in reflectance, with --std.")] = "",
    std: Annotated[str, typer.Option(help="Standard deviation of each band, in reflectance.")] = "",
    softmax: Annotated[bool, typer.Option("--softmax", help="The network gives logits.")] = False,
    licence: Annotated[str, typer.Option("--license", help="SPDX name of the licence of the weights.")] = "other",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a card.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the card of an ONNX network, with defaults for all else."""
    from kappamask.conversion.onnx_card import OnnxCardOptions, write_onnx_card

    target = output or network.with_name("card.json")
    if target.exists() and not overwrite:
        raise CardError(f"{target} is there already; --overwrite replaces it.")
    options = OnnxCardOptions(
        name=name,
        levels=[one.value for one in level or Level],
        required=parse_bands(required or None) or (),
        moments=_parse_moments(mean, std),
        softmax=softmax,
        licence=licence,
    )
    made = write_onnx_card(network, parse_bands(bands) or (), _split_words(classes), target, options)
    facts = describe_network(made)
    print_result(facts, [*format_network(facts), f"kappamask mask SCENE -o mask.tif --model {target}"], as_json)


def _parse_moments(mean: str, std: str) -> list[tuple[float, float]]:
    """Parse the numbers of two options that need each other."""
    try:
        means, deviations = ([float(word) for word in _split_words(text)] for text in (mean, std))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--mean, --std") from error
    if len(means) != len(deviations):
        raise typer.BadParameter(
            f"{len(means)} means and {len(deviations)} deviations were given.", param_hint="--mean, --std"
        )
    return list(zip(means, deviations, strict=True))


def _split_words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
