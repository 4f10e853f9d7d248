"""A client in a process of its own, that tests may kill at any moment."""

from pathlib import Path

import openeo

from kappamask.openeo_process.jobs.driver import Driver
from kappamask.openeo_process.jobs.journal import Journal
from kappamask.openeo_process.jobs.retry import RetryPolicy

POLICY = RetryPolicy(
    poll_s=0.1, first_s=0.05, most_s=0.5, request_s=5, create_grace_s=1.0, deadline_s=30.0, max_file_retries=20
)


def connect(url: str, account: tuple[str, str]) -> openeo.Connection:
    connection = openeo.connect(url, retry=False, default_timeout=POLICY.request_s, auto_validate=False)
    return connection.authenticate_basic(*account)


def drive(url: str, account: tuple[str, str], journal: str, keys: list[str]) -> None:
    book = Journal(Path(journal), lease_s=20.0)
    Driver(book, lambda: connect(url, account), at_once=2, policy=POLICY).run(keys)
