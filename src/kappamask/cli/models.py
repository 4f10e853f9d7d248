"""`kappamask models`: list, show, verify and download networks; `conversion` has the commands that write some."""

from pathlib import Path
from typing import Annotated

import typer

from kappamask.cli.options import AsJson, print_result
from kappamask.models import KappaMaskError, WeightsError, list_cards, load_card, read_weights
from kappamask.models.errors import require_extra
from kappamask.workflows.networks import describe_network, format_network, format_networks, list_networks
from kappamask.workflows.progress import progress_bar

__all__ = ["Which", "models"]

models = typer.Typer(help="List, show, verify and add networks.", no_args_is_help=True)


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


@models.command(epilog="Example: kappamask models fetch official-l2a-unet")
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="official-l1c-unet, official-l2a-unet, official-l1c-deeplabv3plus or official-l2a-deeplabv3plus.",
            show_default=False,
        ),
    ],
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

    with progress_bar(name) as show:
        card = run(name, mirror=mirror or BUCKET, source=source, insecure=insecure, show=show)
    lines = [f"{card.folder}: {card.id}, sha256 {card.sha256}", f"kappamask mask SCENE -o mask.tif --model {card.id}"]
    print_result(describe_network(card), lines, as_json)
