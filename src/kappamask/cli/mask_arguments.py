"""Arguments and options of `kappamask mask`, as they are typed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kappamask.cli.options import Level, Radiometry

__all__ = [
    "Bands",
    "Buffer",
    "DryRun",
    "Engine",
    "FillHoles",
    "MinObject",
    "Mosaic",
    "OfLevel",
    "Output",
    "Overwrite",
    "Quicklook",
    "Reading",
    "Report",
    "Resampling",
    "Resolution",
    "Scenes",
    "Scheduler",
    "Scheme",
    "Scores",
    "ShadowLength",
    "Stac",
    "Style",
    "Threads",
    "Thresholds",
    "Where",
]

SHAPES = "Classes and cleaning"
BESIDE = "Beside the mask"
RUNNING = "Running"


class Engine(StrEnum):
    """Where masks are made."""

    HERE = "here"
    DASK = "dask"


Scenes = Annotated[
    list[str],
    typer.Argument(
        help="A product (.SAFE, .zip), a GeoTIFF with band descriptions, a netCDF, a Zarr, a VRT, a STAC item, or a "
        "folder of JP2s; several, or a folder of them.",
        show_default=False,
        metavar="SCENE",
    ),
]
Output = Annotated[
    Path,
    typer.Option("--output", "-o", help="The mask: .tif or .nc; for several scenes a folder.", show_default=False),
]
OfLevel = Annotated[Level | None, typer.Option("--level", help="Product level, if the scene does not say.")]
Reading = Annotated[Radiometry, typer.Option("--radiometry", help="What the numbers mean.")]
Bands = Annotated[
    str | None, typer.Option(help="Bands to use, B02,B03,…; names them, in order, if the scene does not.")
]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        help="CLASS=SCORE: take the class from that score on, as cloud=0.3; may be repeated.", metavar="CLASS=SCORE"
    ),
]
Resampling = Annotated[
    str, typer.Option(help="Of coarser bands: nearest, bilinear, cubic, sinc (KappaZeta's tool's).", metavar="WORD")
]
Resolution = Annotated[int, typer.Option(help="10, or 20: quicker, but less sure of small clouds.", metavar="METRES")]
Mosaic = Annotated[str, typer.Option(help="blended, or own: as the network's own tool does.", metavar="WORD")]
Scores = Annotated[bool, typer.Option("--scores", help="Also write the score of each class (OUT_scores.tif).")]
Scheme = Annotated[
    str,
    typer.Option(help="Classes of another mask: SCL, CMIX, Fmask, …, or bits.", metavar="NAME", rich_help_panel=SHAPES),
]
Buffer = Annotated[
    list[str] | None,
    typer.Option(
        help="Let cloud and shadow grow by METRES, or one class by CLASS=METRES.",
        metavar="METRES",
        rich_help_panel=SHAPES,
    ),
]
MinObject = Annotated[
    float, typer.Option(help="Smaller clouds and shadows become clear.", metavar="AREA", rich_help_panel=SHAPES)
]
FillHoles = Annotated[
    float, typer.Option(help="Smaller clear areas inside clouds are filled.", metavar="AREA", rich_help_panel=SHAPES)
]
ShadowLength = Annotated[
    float,
    typer.Option(help="Shadow farther from any cloud becomes clear.", metavar="METRES", rich_help_panel=SHAPES),
]
Quicklook = Annotated[bool, typer.Option("--quicklook", help="A picture: OUT.png.", rich_help_panel=BESIDE)]
Report = Annotated[bool, typer.Option("--report", help="A page: OUT.html.", rich_help_panel=BESIDE)]
Style = Annotated[bool, typer.Option("--style", help="A style for QGIS: OUT.qml.", rich_help_panel=BESIDE)]
Stac = Annotated[bool, typer.Option("--stac", help="A STAC item: OUT.json.", rich_help_panel=BESIDE)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make masks anew that are there already.", rich_help_panel=RUNNING)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done.", rich_help_panel=RUNNING)]
Threads = Annotated[
    int, typer.Option(min=0, help="0: as many as there are cores.", rich_help_panel=RUNNING, metavar="N")
]
Where = Annotated[Engine, typer.Option("--engine", help="dask: one task for each scene.", rich_help_panel=RUNNING)]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Of --engine dask: tcp://HOST:PORT; else workers here.", rich_help_panel=RUNNING, metavar="URL"),
]
