"""Data sets by name: description, classes, and the reader of each format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, overload

from kappamask.datasets import alcd, arrays, cloudsen12, francis, hollstein, kappazeta, pixbox
from kappamask.datasets.patch import Patch
from kappamask.models import SceneError

__all__ = [
    "DATASETS",
    "DataSet",
    "Patches",
    "open_dataset",
    "parse_dataset",
]


@dataclass(frozen=True)
class DataSet:
    """A published set: where it comes from and how it is read."""

    name: str
    title: str
    source: str
    licence: str
    find: Callable[[Path], Iterator[Any]]
    split: Callable[[Any], str]
    read: Callable[[Any], Patch]
    files: str
    judges: str
    """What its labels can tell."""


_FOUR: Final = "all four classes"


_THREE: Final = "clear, cloud shadow, cloud of either kind"


#: Facts of the published sets are those of their records on Zenodo, Hugging Face and GitLab.
DATASETS: Final = {
    data.name: data
    for data in (
        DataSet("kappaset", "KappaSet: 9251 patches of 1038 products, worldwide, L1C", "doi:10.5281/zenodo.7100327",
                "CC-BY-4.0", kappazeta.find, kappazeta.split, kappazeta.read, "*.nc", _FOUR),
        DataSet("kappazeta-north", "KappaZeta Northern Europe: 4403 patches of 155 scenes, April to September, L1C",
                "doi:10.5281/zenodo.5095024", "CC-BY-4.0", kappazeta.find, kappazeta.split, kappazeta.read, "*.nc",
                _FOUR),
        DataSet("cloudsen12", "CloudSEN12+: about 10,000 hand-labelled patches, worldwide, L1C or L2A",
                "https://huggingface.co/datasets/tacofoundation/cloudsen12", "CC0-1.0", cloudsen12.find,
                cloudsen12.split, cloudsen12.read, "*.taco", _FOUR),
        DataSet("francis", "Sentinel-2 Cloud Mask Catalogue: 513 subscenes of 2018, worldwide, L1C at 20 m",
                "doi:10.5281/zenodo.4172871", "CC-BY-4.0", francis.find, francis.split, francis.read,
                "subscenes/*.npy, masks/*.npy", f"{_THREE}; shadow in 424 of the subscenes"),
        DataSet("alcd", "ALCD reference masks: 38 whole scenes, L1C at 60 m", "doi:10.5281/zenodo.1460961",
                "see its record", alcd.find, alcd.split, alcd.read, "*/Classification/classification_map.tif", _THREE),
        DataSet("pixbox", "PixBox-S2-CMIX: 17,351 pixels of 29 products, L1C", "doi:10.5281/zenodo.5036991",
                "see its record", pixbox.find, pixbox.split, pixbox.read, "pixbox_sentinel2_cmix_*.csv",
                f"{_FOUR}, at single pixels"),
        DataSet("hollstein", "Hollstein et al. 2016: 5.6 million spectra of Sentinel-2A, L1C",
                "https://git.gfz-potsdam.de/EnMAP/sentinel2_manual_classification_clouds", "see its repository",
                hollstein.find, hollstein.split, hollstein.read, "*_s2_manual_classification_data.h5",
                "cloud, cirrus and all else, by colour alone"),
        DataSet("pixels", "Labelled pixels as tables of bands, cloud and scene", "your own", "yours",
                arrays.find_tables, arrays.split_tables, arrays.read_tables, "labelled_*.csv",
                "cloud of either kind, by colour alone"),
        DataSet("arrays", "Labelled scenes as numpy archives of dn, bands and gt_kappa", "your own", "yours",
                arrays.find, arrays.split, arrays.read, "labelled_*.npz", "those that each file holds"),
    )
}  # fmt: skip


class Patches(Sequence[Patch]):
    """Patches that are read on access."""

    def __init__(self, dataset: DataSet, places: Sequence[Any]) -> None:
        self.dataset, self.places = dataset, places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Patch: ...
    @overload
    def __getitem__(self, index: slice) -> Patches: ...
    def __getitem__(self, index: int | slice) -> Patch | Patches:
        if isinstance(index, slice):
            return Patches(self.dataset, self.places[index])
        return self.dataset.read(self.places[index])

    def part(self, split: str) -> Patches:
        """Return those of `train`, `validation` or `test`."""
        return Patches(self.dataset, [place for place in self.places if self.dataset.split(place) == split])


def parse_dataset(text: str) -> tuple[str, Path] | None:
    """Split NAME=FOLDER; None where `text` is a folder or file of the user's own."""
    name, equals, folder = text.partition("=")
    return (name, Path(folder)) if equals and (name in DATASETS or not Path(text).exists()) else None


def open_dataset(name: str, folder: Path) -> Patches:
    """Open the patches of the set `name` under `folder`, lazily.

    Raises SceneError for an unknown name, a folder that is not there, or no patch.
    """
    if name not in DATASETS:
        raise SceneError(f"No data set {name!r}; known are {', '.join(DATASETS)}.")
    if not folder.exists():
        raise SceneError(f"No folder {folder}; needed is the folder of {name} ({DATASETS[name].files}).")
    places = list(DATASETS[name].find(folder))
    if not places:
        raise SceneError(f"{folder} holds no patch of {name} ({DATASETS[name].files}).")
    return Patches(DATASETS[name], places)
