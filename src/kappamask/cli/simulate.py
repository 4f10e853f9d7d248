"""`kappamask simulate`: scenes under painted clouds, with the truth of every pixel."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kappamask.cli.options import AsJson, Grounds, print_result
from kappamask.models.errors import require_extra
from kappamask.workflows.progress import progress_bar

if TYPE_CHECKING:
    from kappamask.training.simulator.realism import Check

__all__ = ["simulate"]

EXAMPLE = "kappamask simulate --data data/ -o tiles/ --count 100 --gallery gallery.png --check"
SHOWN = 12
"""Tiles in a gallery."""

Data = Annotated[Path, typer.Option(help="Folder of the real scenes and pixels.", show_default=False)]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder of the tiles.", show_default=False)]
Gallery = Annotated[Path | None, typer.Option(help="Also draw some of the tiles into this PNG.", show_default=False)]


def simulate(
    data: Data,
    output: Output,
    count: Annotated[int, typer.Option(min=1, help="Tiles to have.")] = 100,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first tile; a seed is a tile.")] = 0,
    gallery: Gallery = None,
    grounds: Grounds = None,
    check: Annotated[bool, typer.Option("--check", help="Compare the tiles with published and real figures.")] = False,
    as_json: AsJson = False,
) -> None:
    """Simulate Sentinel-2 tiles with their truth.

    Writes NUMBER.npy, uint16 (14, 512, 512): 13 bands of L1C times 10000, and the truth. Clouds, their shadows and a
    sensor, over real clear scenes and fields of real spectra. Tiles that are there are kept.
    """
    with require_extra("demo"):
        from kappamask.training.simulator.realism import read_tiles
        from kappamask.training.simulator.tiles import write_tiles
        from kappamask.workflows.simulation import check_tiles, draw_gallery

    with progress_bar("simulate") as show:
        write_tiles(data, output, first, count, show, grounds)
    if gallery:
        draw_gallery(read_tiles(output, SHOWN), gallery)
    checks = check_tiles(data, output) if check else []
    result = {"tiles": str(output), "count": count, "first": first, "gates": [vars(one) for one in checks]}
    print_result(result, [f"{output}: {count} tiles from seed {first}", *map(_format_check, checks)], as_json)


def _format_check(check: "Check") -> str:
    return f"{'met   ' if check.met else 'MISSED'}  {check.what:<34} {check.figure:>8}  ({check.bar})"
