"""Arguments and options of `kappamask mask` that no other command has."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kappamask.cli.options import PIXELS, RUNNING, SHAPES, Engine, Level, Radiometry

__all__ = [
    "Bands",
    "Device",
    "DryRun",
    "Mosaic",
    "OfLevel",
    "OnDevice",
    "Output",
    "Overwrite",
    "PixelSize",
    "Quicklook",
    "Radiometries",
    "Report",
    "Resampling",
    "Resolution",
    "Scenes",
    "Scheduler",
    "Scores",
    "ShadowLength",
    "Stac",
    "Style",
    "Threads",
    "Thresholds",
    "Where",
]

EXTRA_FILES = "Files next to the mask"


class Device(StrEnum):
    """What runs the network."""

    CPU = "cpu"
    CUDA = "cuda"
    OPENVINO = "openvino"
    AUTO = "auto"


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
Radiometries = Annotated[
    Radiometry,
    typer.Option(
        "--radiometry",
        help="Scaling of the numbers: reflectance, or digital numbers with or without the offset.",
        rich_help_panel=PIXELS,
    ),
]
Bands = Annotated[
    str | None,
    typer.Option(help="Bands to use, B02,B03,…; names them, in order, if the scene does not.", rich_help_panel=PIXELS),
]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        help="Take the class from that score on, as cloud=0.3; may be repeated.",
        metavar="CLASS=SCORE",
        rich_help_panel=PIXELS,
    ),
]
Resampling = Annotated[
    str,
    typer.Option(
        help="Resampling of 20 and 60 m bands: nearest, bilinear, cubic, or sinc as in KappaZeta's tool.",
        metavar="WORD",
        rich_help_panel=PIXELS,
    ),
]
Resolution = Annotated[
    int,
    typer.Option(
        help="Pixels of 10 m, or of 20: faster, but small clouds get lost.", metavar="METRES", rich_help_panel=PIXELS
    ),
]
Mosaic = Annotated[
    str,
    typer.Option(
        help="How windows are joined: blended, or vendor, as the network's own tool does.",
        metavar="WORD",
        rich_help_panel=PIXELS,
    ),
]
Scores = Annotated[bool, typer.Option("--scores", help="Also write the score of each class (OUT_scores.tif).")]
ShadowLength = Annotated[
    float,
    typer.Option(
        help="Shadow farther than this from any cloud becomes clear; 0: none does.",
        metavar="METRES",
        rich_help_panel=SHAPES,
    ),
]
PixelSize = Annotated[
    float | None,
    typer.Option(
        min=0.001, help="Side of a pixel, if the scene does not tell.", metavar="METRES", rich_help_panel=SHAPES
    ),
]
Quicklook = Annotated[bool, typer.Option("--quicklook", help="A picture: OUT.png.", rich_help_panel=EXTRA_FILES)]
Report = Annotated[bool, typer.Option("--report", help="A page: OUT.html.", rich_help_panel=EXTRA_FILES)]
Style = Annotated[bool, typer.Option("--style", help="A style for QGIS: OUT.qml.", rich_help_panel=EXTRA_FILES)]
Stac = Annotated[bool, typer.Option("--stac", help="A STAC item: OUT.json.", rich_help_panel=EXTRA_FILES)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make masks again that are there already.", rich_help_panel=RUNNING)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.", rich_help_panel=RUNNING)]
Threads = Annotated[
    int, typer.Option(min=0, help="Threads of the network; 0: one for each core.", rich_help_panel=RUNNING, metavar="N")
]
OnDevice = Annotated[
    Device,
    typer.Option("--device", help="What runs the network; auto: a GPU if there is one.", rich_help_panel=RUNNING),
]
Where = Annotated[
    Engine,
    typer.Option(
        "--engine", help="Where scenes are masked: local, or dask, one task for each.", rich_help_panel=RUNNING
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="For --engine dask: tcp://HOST:PORT; left out, workers on this machine.",
        rich_help_panel=RUNNING,
        metavar="URL",
    ),
]
