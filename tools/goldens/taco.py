"""Write tests/tacotoolbox.taco with the format's own writer: `taco.py OUT.taco FOLDER`, FOLDER holding `*.tif`.

Run by hand, once, in an environment with tacotoolbox 0.3.3 and pytortilla 0.5.1, the last that write version 1; their
many dependencies are why tests read the file that is kept. The images are those of tests/test_datasets.py, which says
how they are made.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytortilla
from pytortilla.datamodel.main import STAC, Sample, Samples
from tacotoolbox.create import tortilla2taco

PLACE = STAC(
    crs="EPSG:32618", raster_shape=(8, 8), geotransform=(438000, 10, 0, 4173000, 0, -10),
    time_start=datetime(2020, 1, 5, 15, 30, tzinfo=UTC),
)  # fmt: skip
FACTS = {"label_type": "high", "real_proj_shape": 509, "file_format": "TORTILLA", "stac_data": PLACE}


def main(out: Path, images: Path) -> None:
    with TemporaryDirectory() as name:
        folder, patches = Path(name), []
        for patch, part in (("a", "test"), ("b", "train")):
            files = {"s2l1c": images / f"{patch}_image.tif", "target": images / f"{patch}_labels.tif"}
            inside = [Sample(id=key, file_format="GTiff", path=path) for key, path in files.items()]
            path = folder / f"{patch}.tortilla"
            pytortilla.create(Samples(samples=inside), path, nworkers=1, quiet=True)
            patches.append(Sample(id=patch, path=path, data_split=part, roi_id=f"ROI_{patch}", **FACTS))
        pytortilla.create(Samples(samples=patches), out, nworkers=1, quiet=True)
    tortilla2taco(out, SimpleNamespace(model_dump_json=lambda: '{"id": "test"}'))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
