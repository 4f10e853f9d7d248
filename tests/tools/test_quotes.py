"""Figures that pages quote are those that were measured."""

import tomllib

import pytest
import quotes
from doc_snippets import ROOT

TABLE = tomllib.loads(quotes.TABLE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def figures():
    return quotes.read_figures()


def test_pages_quote_what_was_measured(figures):
    assert [*quotes.find_wrong_quotes(TABLE, figures)] == []


def test_every_sentence_holds_a_number(figures):
    for rules in TABLE.values():
        for sentence in rules["sentences"]:
            assert sentence.format(**figures) != sentence


def test_another_number_is_found(figures, tmp_path):
    (tmp_path / "page.md").write_text("takes 12 s\non two cores")
    table = {"page.md": {"sentences": ["takes {command.seconds:.0f} s on two cores"]}}
    (wrong,) = quotes.find_wrong_quotes(table, figures, tmp_path)
    assert "page.md" in wrong and f"{figures['command'].seconds:.0f} s" in wrong
    figures = {"command": type(figures["command"])(seconds=12.2)}
    assert not [*quotes.find_wrong_quotes(table, figures, tmp_path)]


def test_pages_with_scores_are_in_the_table():
    assert {"README.md", "docs/weaknesses.md", "docs/how-to/bands.md"} <= set(TABLE)
    assert all((ROOT / page).is_file() for page in TABLE)
