"""Spellings of earlier versions are understood, and not shown."""

import pytest
import typer

from kappamask.cli.app import app, translate
from kappamask.cli.options import Level


@pytest.mark.parametrize(
    ("given", "known", "expected"),
    [
        ("--plan -o x", {"--dry-run", "-o"}, "--dry-run -o x"),
        ("--out x --out=y", {"--output"}, "--output x --output=y"),
        ("--engine here --engine=serial", {"--engine"}, "--engine local --engine=local"),
        ("--engine dask here", {"--engine"}, "--engine dask here"),
        ("--plan --out x", {"--plan", "--out"}, "--plan --out x"),
        ("--option a=b=c --area=POINT(1", {"--option"}, "--option a=b=c --area=POINT(1"),
        ("--out", set(), "--out"),
        ("--no-canary", {"--test-job", "--no-test-job"}, "--no-test-job"),
    ],
)
def test_earlier_spellings_become_those_of_today(given, known, expected):
    assert " ".join(translate(given.split(), known)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--level l2a x", "--level L2A x"),
        ("--level=l1c", "--level=L1C"),
        ("--engine Dask --engine=HERE", "--engine dask --engine=HERE"),
        ("--engine here", "--engine local"),
        ("--level L3 --other l1c l2a", "--level L3 --other l1c l2a"),
    ],
)
def test_words_are_taken_in_any_case(given, expected):
    choices = {"--level": ("L1C", "L2A"), "--engine": ("local", "dask")}
    assert " ".join(translate(given.split(), {*choices, "--other"}, choices)) == expected


@pytest.mark.parametrize(
    ("command", "option", "value", "listed"),
    [
        ("mask", "--level", "L3", "'L1C', 'L2A'"),
        ("mask", "--device", "GPU", "'cpu', 'cuda', 'openvino', 'auto'"),
        ("submit", "--level", "1C", "'L1C', 'L2A'"),
    ],
)
def test_a_word_that_is_none_is_answered_with_those_of_the_help(kappamask, command, option, value, listed):
    done = kappamask(command, option, value)
    assert done.code == 2 and f"'{value}' is not one of {listed}" in " ".join(done.err.replace("│", "").split())
    shown = kappamask(command, "--help").out.replace("│", "")
    assert listed.replace("'", "").replace(", ", "|") in "".join(shown.split())


@pytest.mark.parametrize(("given", "level"), [("l2a", Level.L2A), ("L1c", Level.L1C)])
def test_a_command_is_given_the_word_of_its_help(given, level):
    command = typer.main.get_command(app).commands["mask"]
    context = command.make_context("mask", ["a.tif", "-o", "b.tif", "--level", given, "--radiometry", "DN_Offset"])
    assert context.params["level"] in (level, level.value)


@pytest.mark.parametrize(
    ("command", "shown", "hidden"),
    [
        ("submit", "--dry-run", "--plan"),
        ("submit", "--no-test-job", "canary"),
        ("train", "--output", "--out "),
        ("mask", "local", "here|"),
        ("serve", "local", "serial"),
    ],
)
def test_help_shows_one_spelling(kappamask, monkeypatch, command, shown, hidden):
    monkeypatch.setenv("COLUMNS", "200")
    found = kappamask(command, "--help").out
    assert shown in found and hidden not in found


@pytest.mark.parametrize("words", [["--help"], ["mask", "--help"], ["submit", "--help"], ["models", "card", "--help"]])
def test_nothing_is_shown_behind_a_flag(kappamask, words):
    assert "bool" not in kappamask(*words).out.lower()


@pytest.mark.parametrize("words", [["mask"], ["submit"], ["compare"], ["report"], ["train"], ["models", "card"]])
def test_a_list_is_shown_as_one_value(kappamask, words):
    assert "list[" not in kappamask(*words, "--help").out


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["mask", "a.tif", "-o", "b.tif", "--threads", "-1"], "0 or more"),
        (["mask", "a.tif", "-o", "b.tif", "--threads", "two"], "a whole number"),
        (["mask", "a.tif", "-o", "b.tif", "--pixel-m", "wide"], "a number"),
        (["serve", "--scenes", ".", "--port", "70000"], "65535 or less"),
    ],
)
def test_a_number_out_of_range_is_refused_in_plain_words(kappamask, words, needed):
    done = kappamask(*words)
    assert done.code == 2
    assert f"needed is {needed}" in " ".join(done.err.split()) and "Input" not in done.err
