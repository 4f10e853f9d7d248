"""List and hash the files of this package that a back-end's worker needs.

The standard library only: the client builds and hashes the archive with it, and the worker hashes what it was given.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from kappamask.models.card import ModelCard
from kappamask.models.errors import JobError
from kappamask.models.weights import read_weights

__all__ = ["FOLDER", "check_package", "compute_package_hash", "list_package_files"]

FOLDER = "kappamask_deps"
"""Where the job unpacks the archive, and where the UDF looks."""
INSTALLED = Path(__file__).resolve().parents[1]
PACKAGES = ("models", "udf")
REBUILD_HINT = (
    "build the archive again with kappamask archive, put it where the back-end can read it and give its URL again"
)
OWN_PACKAGE_HINT = (
    "it comes before the archive's: install the same version here, or ask the back-end to do without its own"
)
HASH_DIGITS = 12
"""Digits of a hash in a message."""


def list_package_files(card: ModelCard) -> Iterator[tuple[str, bytes]]:
    """Yield the name in the archive and the bytes of each file.

    These are `models` and `udf` as they are installed, and this network alone.

    Raises WeightsError if the network is not that of its card.
    """
    for room in PACKAGES:
        for path in (INSTALLED / room).glob("*.py"):
            yield f"kappamask/{room}/{path.name}", path.read_bytes()
    yield f"kappamask/models/{card.id}.json", (card.folder / card.document).read_bytes()
    yield f"kappamask/models/{card.file}", read_weights(card)


def compute_package_hash(files: Iterable[tuple[str, bytes]]) -> str:
    """Return the SHA-256, 64 hex digits, over names and bytes, ordered by name."""
    each = ((name, hashlib.sha256(data).hexdigest()) for name, data in files)
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in sorted(each)).encode()).hexdigest()


def check_package(card: ModelCard, wanted: str) -> None:
    """Raise JobError unless installed package and unpacked archive have the hash `wanted`.

    They are the same files, but where a worker has a package of its own, which comes before the archive's.
    """
    unpacked, help_ = Path(FOLDER), REBUILD_HINT
    if unpacked.is_dir():
        _check_hash("The dependency archive", compute_package_hash(_unpacked_files(unpacked)), wanted, help_)
        help_ = OWN_PACKAGE_HINT
    _check_hash(f"The package in {INSTALLED}", compute_package_hash(list_package_files(card)), wanted, help_)


def _unpacked_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in (folder / "kappamask").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _check_hash(what: str, found: str, wanted: str, help_: str) -> None:
    if found != wanted:
        raise JobError(
            f"{what} is not the KappaMask that sent this job: package hash {found[:HASH_DIGITS]}…, needed is "
            f"{wanted[:HASH_DIGITS]}…; {help_}."
        )
