"""Estimate the memory of a worker, and the job options that request it.

The numbers were measured by `benchmarks/udf_memory.py`; docs/design/0006 has them, and what was not measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from kappamask.models import JobError, ModelCard

__all__ = ["Load", "check_memory", "find_largest_load", "make_memory_options", "parse_gigabytes"]

HEAP, OVERHEAD, PYTHON = "executor-memory", "executor-memoryOverhead", "python-memory"
"""Of an executor: the JVM's heap; what else it takes, Python too; and a limit of Python's, which is virtual."""
GB, MB = 2**30, 2**20
FLOAT = 4
"""Bytes of a number that goes in or comes out."""
IDLE = 150 * MB
"""Of Python, xarray, openEO and ONNX Runtime before a chunk comes."""
WEIGHTS = 8
"""Times the file of weights: read, checked, parsed, folded, laid out for the processor. Official U-Net: 7.3."""
ACTIVATIONS = 2048
"""Bytes for each pixel of a window while the network runs: compact 290, DL_L8S2_UV 1490, official U-Net 1984."""
COPIES = 3
"""Times the numbers that go in and come out. Measured: 2.1 to 2.5."""
MARGIN = 1.5
"""On all of that: other versions, fragments, a worker that Spark keeps besides the active one."""
HEAP_BASE, HEAP_COPIES = GB, 8
"""Of the JVM: itself, and times the chunk as it is read, cut, padded and handed over. Not measured: a guess."""
SPARK_SHARE, SPARK_LEAST = 0.1, 384 * MB
"""What Spark itself takes outside of its heap: of the heap, and at least."""
UNKNOWN = 160_000_000
"""Bytes of weights that are not here: those of the official U-Net, the largest known, rounded up."""
MOST = 64.0
"""GB that the three together may have on Copernicus Data Space (openeo-geopyspark-driver 0.73.0, config.py)."""
ADDRESSES = 1.6
"""GB of address space with which the UDF could not even load its libraries."""
UNITS = {"G": 1.0, "M": 1 / 1024}
DISABLED = "disable"


@dataclass(frozen=True)
class Load:
    """What a worker is handed at a time."""

    card: ModelCard
    bands: int
    results: int = 1
    """Bands that come back."""
    dates: int = 1
    """In one call: 1 in all graphs of this package, whose chunks are of one date."""
    side: int | None = None
    """Px of a chunk, overlap included; the card's window if left out."""

    @property
    def pixels(self) -> int:
        """Of one band and date."""
        return (self.side or self.card.window) ** 2

    @property
    def chunk(self) -> int:
        """Bytes that go in."""
        return self.pixels * self.bands * self.dates * FLOAT

    @property
    def weights(self) -> int:
        """Bytes of the network's file."""
        file = self.card.folder / self.card.file
        return file.stat().st_size if file.is_file() else UNKNOWN

    @property
    def python(self) -> float:
        """Bytes that the UDF's process holds at most, without margin."""
        window = min(self.pixels, self.card.window**2)
        out = self.pixels * self.results * self.dates * FLOAT
        return IDLE + WEIGHTS * self.weights + ACTIVATIONS * window + COPIES * (self.chunk + out)


def find_largest_load(card: ModelCard) -> Load:
    """Return the load of a chunk with all bands of the network, in and out."""
    return Load(card, len(card.bands), len(card.result_bands(scores=True)))


def make_memory_options(load: Load, tasks: int = 1) -> dict[str, str]:
    """Return the memory options that `load` needs with `tasks` at once in an executor.

    Python's own limit is disabled.
    """
    heap = HEAP_BASE + HEAP_COPIES * load.chunk * tasks
    overhead = MARGIN * load.python * tasks + max(SPARK_LEAST, SPARK_SHARE * heap)
    return {HEAP: f"{ceil(heap / GB)}G", OVERHEAD: f"{ceil(overhead / GB)}G", PYTHON: DISABLED}


def check_memory(options: Mapping[str, Any]) -> None:
    """Raise JobError if the memory options are more than back-ends give.

    Also if Python's limit is below what libraries take.
    """
    limit = 0.0 if options[PYTHON] == DISABLED else parse_gigabytes(options[PYTHON])
    total = parse_gigabytes(options[HEAP]) + parse_gigabytes(options[OVERHEAD]) + limit
    if total > MOST:
        raise JobError(
            f"The job options ask for {total:g} GB ({HEAP} {options[HEAP]}, {OVERHEAD} {options[OVERHEAD]}, {PYTHON} "
            f"{options[PYTHON]}); back-ends give {MOST:g}: take fewer bands, one date at a time, or smaller chunks, or "
            f"fewer executor-cores."
        )
    if 0 < limit <= ADDRESSES:
        raise JobError(
            f"{PYTHON} {options[PYTHON]} limits the address space, of which libraries alone take {ADDRESSES:g} GB: "
            f"leave it {DISABLED!r} and say {OVERHEAD}, or give 3G."
        )


def parse_gigabytes(text: str) -> float:
    """Parse an amount of memory such as 3G or 500m, in gigabytes.

    Raises JobError for another text.
    """
    number, unit = str(text)[:-1], str(text)[-1:].upper()
    if unit not in UNITS or not number.replace(".", "", 1).isdigit():
        raise JobError(f"The job option {text!r} is no amount of memory, such as 3G or 500m.")
    return float(number) * UNITS[unit]
