"""A client in a process of its own, that tests may kill at any moment."""

from pathlib import Path

import openeo

from kappamask.openeo_process.jobs.driver import Driver
from kappamask.openeo_process.jobs.journal import Journal
from kappamask.openeo_process.jobs.retry import Patience

PATIENCE = Patience(poll_s=0.1, first_s=0.05, most_s=0.5, request_s=5, settle_s=1.0, deadline_s=30.0, bad_files=20)


def connect(url: str, account: tuple[str, str]) -> openeo.Connection:
    connection = openeo.connect(url, retry=False, default_timeout=PATIENCE.request_s, auto_validate=False)
    return connection.authenticate_basic(*account)


def drive(url: str, account: tuple[str, str], journal: str, keys: list[str]) -> None:
    book = Journal(Path(journal), lease_s=20.0)
    Driver(book, lambda: connect(url, account), at_once=2, patience=PATIENCE).run(keys)
