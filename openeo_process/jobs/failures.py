"""Explain why a job failed, from its log, and what to change."""

import re
import time
from typing import NamedTuple

import openeo

from kappamask.models.hints import by_door, option, render_hints
from kappamask.openeo_process.jobs.answers import AnswerError, read_errors
from kappamask.openeo_process.jobs.retry import FAULTS, is_transient

__all__ = ["FAILURES", "Failure", "explain_failure", "find_hint"]


class Failure(NamedTuple):
    """A known failure and what to do about it."""

    pattern: str
    """Regular expression of what its log holds, case ignored."""
    advice: str


FAILURES = (
    Failure(
        r"kappamask's dependency archive is not usable",
        "build the archive for the back-end's Python (kappamask archive --python 3.11) and give its URL "
        f"with {option('archive')}",
    ),
    Failure(
        r"not the kappamask that sent this job|unknown key in the udf's context",
        "the archive is of another KappaMask than this one: build it again (kappamask archive) and give its URL with "
        f"{option('archive')}",
    ),
    Failure(
        r"no udf found",
        "send the UDF's text as it is (kappamask.openeo_process.udf()), without postponed annotations",
    ),
    Failure(
        r"RLIMIT|bad_alloc|cannot allocate memory|failed to allocate|mmap.*failed",
        "the limit is on virtual memory: set python-memory to disable, and more executor-memoryOverhead",
    ),
    Failure(
        r"out of memory|oomkill|exit code:? 137|memory limit|java heap space|exceeding memory",
        "give the job more memory: "
        + by_door(
            python='job_options={"executor-memoryOverhead": "5G"} (of submit: options=)',
            command="--option executor-memoryOverhead=5G",
        ),
    ),
    Failure(
        r"no archive|(?:404|not found|no such file).*(?:archive|\.zip)|(?:archive|\.zip).*(?:404|not found)",
        "the back-end cannot read the archive: give a URL that it reaches (public or signed, and not expired)",
    ),
    Failure(
        r"extenttoolarge|extent.*too large",
        f"ask for a smaller area or a shorter time, or more parts ({option('part_km')})",
    ),
    Failure(
        r"token(?:invalid| expired| has expired)|authenticationrequired",
        "log in again, then: kappamask resume",
    ),
    Failure(
        r"no (?:data|products?|items?) (?:available|found)|nodataavailable",
        f"no image in that time: widen {option('dates')}",
    ),
    Failure(r"(?:sha256|is not the network|checksum)", "the archive holds another network: build it again"),
    Failure(r"soft.?error|error while reading|could not read", "some images could not be read: kappamask resume later"),
)
"""Of openeo-geopyspark-driver, Kubernetes, ONNX Runtime and this project's own errors; the first that fits counts."""


_CLASS = re.compile(r"^\w+(\.\w+)+: (?=.)")
"""With which the last line of a traceback begins; users do not need it."""
_ARGUMENTS = re.compile(r"\.? The process had these arguments: .*$")
"""What openeo-driver adds to an error: all arguments of the process, which hide the reason."""


LOG_TRIES, LOG_WAIT_S = 3, 1.0
LOG_LINES = 200
"""The last errors of a log, of which the last one is shown and all are searched for known failures."""


def explain_failure(connection: openeo.Connection, job_id: str) -> str:
    """Explain in one line why a job failed, and what to change.

    Where its log cannot be read, that is said: the job has failed all the same.
    """
    messages = _read_log(connection, job_id)
    if messages is None:
        return f"it failed, and its log cannot be read now; connection.job({job_id!r}).logs() may show it later"
    last = messages[-1].splitlines()[-1] if messages else "its log holds no error"
    last = _ARGUMENTS.sub("", _CLASS.sub("", last))
    hint = find_hint("\n".join(messages))
    return f"{last} ({hint})" if hint else last


def _read_log(connection: openeo.Connection, job_id: str) -> list[str] | None:
    for left in reversed(range(LOG_TRIES)):
        try:
            return read_errors(connection, job_id)[-LOG_LINES:]
        except (AnswerError, openeo.BaseOpenEoException, *FAULTS) as error:
            if not is_transient(error):
                break
            time.sleep(LOG_WAIT_S if left else 0)
    return None


def find_hint(log: str) -> str | None:
    """Find what to change in a log that holds a known failure, else None.

    Options are named as they are typed where this process was started.
    """
    found = next((known.advice for known in FAILURES if re.search(known.pattern, log, re.IGNORECASE)), None)
    return None if found is None else render_hints(found)
