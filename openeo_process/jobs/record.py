"""Record of one batch job, and the fingerprint by which it is recognised.

Its fingerprint is the hash of what it asks of which back-end. It stands in the job's title, so a job is found again
even if the answer to its creation was lost.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = [
    "TEST_JOB",
    "JobRecord",
    "State",
    "compute_fingerprint",
    "find_arguments",
    "make_udf_context",
    "redact_urls",
    "title_tag",
]

TEST_JOB, EARLIER_TEST_JOB = "test_job", "canary"
"""Name in journals of the test job on one chunk, which proves UDF, archive and memory before the rest is paid for."""
IMPLIED_OPTIONS = {"stac-version": "1.0"}
"""Job options that earlier versions did not state, and their defaults: stating a default changes no fingerprint."""


class State(StrEnum):
    """Where a job stands; each names what is known to have happened."""

    PLANNED = "planned"
    POSTING = "posting"
    """A request to create the job was made or is being made; its answer is not known."""
    CREATED = "created"
    STARTED = "started"
    FINISHED = "finished"
    """On the back-end; not yet fetched."""
    FETCHED = "fetched"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Whether nothing is left to do."""
        return self in (State.FETCHED, State.FAILED, State.CANCELED)

    @property
    def under_way(self) -> bool:
        """Whether the job was started and not fetched yet."""
        return self in (State.STARTED, State.FINISHED)


@dataclass(frozen=True)
class JobRecord:
    """One job: what it asks for, and what became of it."""

    fingerprint: str
    batch: str
    name: str
    backend: str
    graph: str = field(repr=False)
    """JSON of the flat process graph; a notebook shows a record without it."""
    options: str = field(repr=False)
    """JSON of the job options."""
    folder: str
    """Where its files go."""
    state: State = State.PLANNED
    job: str | None = None
    """The back-end's id."""
    posts: int = 0
    """Requests to create the job so far."""
    message: str = ""
    costs: float | None = None
    changed: float = 0.0
    """Seconds since 1970 of the last change of state."""
    attributes: str = field(default="", repr=False)
    """JSON of what its masks say of classes and network, whose card may lie elsewhere by the time they come; empty in
    what earlier versions wrote down."""
    chunks: int = 0
    """Of one date; 0 in what earlier versions wrote down."""
    max_credits: float | None = None
    """What its batch may cost."""

    @property
    def has_own_graph(self) -> bool:
        """Whether it is a job of the caller's own graph, not of a batch."""
        return self.batch == self.fingerprint[:8]

    @property
    def is_test_job(self) -> bool:
        """Whether it is a batch's job on one chunk, which goes first."""
        return self.name in {TEST_JOB, EARLIER_TEST_JOB}

    @property
    def label(self) -> str:
        """The name that users see."""
        return "test job" if self.is_test_job else self.name

    @property
    def title(self) -> str:
        """The job's title, with the tag by which it is found again."""
        name = self.label if self.has_own_graph else f"KappaMask {self.label}"
        return f"{name} {title_tag(self.fingerprint)}"


def compute_fingerprint(backend: str, graph: dict[str, Any], options: dict[str, Any]) -> str:
    """Hash back-end URL, graph and options to 64 bits, as 16 hex digits.

    Signatures of URLs in the options do not count: a link that is signed again leads to the same archive. Nor do
    options that earlier versions left out.
    """
    said = {name: value for name, value in options.items() if IMPLIED_OPTIONS.get(name) != value}
    asked = [backend.rstrip("/"), graph, json.loads(redact_urls(json.dumps(said)))]
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def redact_urls(text: str) -> str:
    """Remove the query of links in a text, because a signature is a secret."""
    return re.sub(r"(?<=\w)\?[^\s'\"<>()#]+", "?…", text)


def title_tag(key: str) -> str:
    """Format a fingerprint as it stands in a job's title."""
    return f"[km-{key}]"


def make_udf_context(record: JobRecord) -> dict[str, Any]:
    """Return the context of the job's UDF; empty for a graph without one."""
    return next((one["context"] for one in find_arguments(json.loads(record.graph), "run_udf")), {})


def find_arguments(graph: dict[str, Any], process: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments of each node of this process, in callbacks too."""
    for node in graph.values():
        if node["process_id"] == process:
            yield node["arguments"]
        for argument in node["arguments"].values():
            if isinstance(argument, dict) and "process_graph" in argument:
                yield from find_arguments(argument["process_graph"], process)
