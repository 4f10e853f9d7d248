"""What `submit` and `resume` show on a terminal."""

import io
import time
from contextlib import ExitStack

import pytest
from rich.console import Console

from kappamask.openeo_process.jobs.journal import JobRecord, State
from kappamask.workflows.progress import render_jobs, show_job_table

JOB = "j-2611272126461630dd294474"
"""As long as the ids of Copernicus Data Space."""


def part(number: int, state: State = State.PLANNED, **values) -> JobRecord:
    name = f"32635_500280_{6_486_000 + 60 * number}"
    return JobRecord(f"{number:016x}", "9dc63b8c", name, "https://example.org", "{}", "{}", "out", state, **values)


def screen(parts, rows: int = 20, width: int = 80) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True, color_system=None).print(render_jobs(parts, rows))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_part_state_credits_and_job_are_readable(width):
    parts = [
        part(1), part(2, State.FETCHED, job=JOB, costs=1234.25), part(3, State.CANCELED, job=JOB, costs=0.5),
        part(4, State.STARTED, job=JOB, changed=time.time() - 7),
        part(5, State.FINISHED, job=JOB, changed=time.time() - 5400, costs=3),
    ]  # fmt: skip
    lines = screen(parts, width=width).splitlines()
    assert max(map(len, lines)) <= width
    summary, table = " ".join(lines[: -len(parts) - 1]), [line.split() for line in lines[-len(parts) :]]
    line_ = "5 jobs: 1 planned, 1 fetched, 1 canceled, 1 started, 1 finished; 1237.75 credits so far"
    assert " ".join(summary.split()) == line_
    assert table[0] == [parts[0].name, "planned"], "no row is folded"
    assert [parts[1].name, "fetched", "1234.25", JOB] in table
    assert [parts[3].name, "started", "7", "s", JOB] in table
    assert [parts[4].name, "finished", "90", "min", "3", JOB] in table


def test_messages_of_parts_are_printed_unchanged_in_full():
    """Square brackets are no markup, and a long sentence takes whole lines."""
    message = "[403] TokenInvalid at [/jobs]: " + "log in again, then kappamask resume. " * 3
    shown = screen([part(1, State.FAILED, job=JOB, message=message.strip()), part(2)])
    assert message.strip() in " ".join(shown.split())
    assert len(shown.splitlines()) == 7


def test_a_narrow_terminal_cuts_the_job_and_nothing_else():
    shown = screen([part(1, State.FETCHED, job=JOB, costs=3.25)], width=60)
    assert part(1).name in shown and "fetched" in shown and "3.25" in shown and "…" in shown


def test_of_many_parts_those_that_changed_last_are_listed_and_all_are_counted():
    parts = [part(number, State.FETCHED, changed=float(number)) for number in range(90)] + [part(99)]
    shown = screen(parts, rows=3)
    assert "91 jobs: 90 fetched, 1 planned; no credits reported yet" in shown
    assert [number for number in range(100) if part(number).name in shown] == [87, 88, 89]


def test_an_interruption_prints_how_to_go_on(capsys):
    shown = ExitStack()
    show = shown.enter_context(show_job_table([part(1)]))
    show(part(1, State.STARTED, job=JOB))
    assert not shown.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None), "it goes on its way"
    said = capsys.readouterr().err
    assert f"{part(1).name} started {JOB}" in said
    assert "kappamask resume goes on" in said and "kappamask cancel ends them" in said
