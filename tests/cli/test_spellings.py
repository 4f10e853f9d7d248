"""Spellings of earlier versions are understood, and not shown."""

import pytest

from kappamask.cli.app import translate


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
