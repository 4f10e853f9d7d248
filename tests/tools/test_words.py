import ast
from pathlib import Path

import pytest
import words

RULES = words.load_rules()


def _names(source: str) -> list[str]:
    return [sentence.split()[2] for _, sentence in words.check_names(ast.parse(source), RULES["names"])]


@pytest.mark.parametrize(
    "name", ["told", "_told_by", "shared_out", "written_whole", "dressed", "roomy", "whole", "touching", "most_at_once"]
)
def test_a_name_of_participles_and_adjectives_is_refused(name):
    assert _names(f"def {name}(): ...") == [name]
    assert _names(f"class A:\n    async def {name}(self): ...") == [name]


@pytest.mark.parametrize(
    "name", ["to_dataarray", "seed", "feed", "is_local", "_has_unknown", "masked", "labelled_sets", "cut", "__init__"]
)
def test_a_name_with_a_verb_or_a_noun_is_allowed(name):
    assert _names(f"def {name}(): ...") == []


def test_a_property_may_be_an_adjective():
    assert _names("class A:\n    @property\n    def missing(self): ...") == []
    assert _names("class A:\n    @functools.cached_property\n    def finished(self): ...") == []
    assert _names("class A:\n    @staticmethod\n    def finished(): ...") == ["finished"]


@pytest.mark.parametrize(
    ("first", "fact"),
    [
        (" ".join(["word"] * 16) + ".", "16 words"),
        ("Return the mask", "full stop"),
        ("Return the mask,\n\n    and more.", "full stop"),
    ],
)
@pytest.mark.parametrize("frame", ['"""{}"""', 'def f():\n    """{}"""', 'class A:\n    class B:\n        """{}"""'])
def test_a_long_or_open_first_line_is_refused(frame, first, fact):
    ((_, sentence),) = words.check_docstrings(ast.parse(frame.format(first)), 15)
    assert fact in sentence


def test_a_first_line_of_fifteen_words_is_allowed():
    source = (
        f'def f():\n    """{" ".join(["word"] * 15)}.\n\n    Any number of words, as they come,\n    here.\n    """'
    )
    assert not list(words.check_docstrings(ast.parse(source), 15))
    assert not list(words.check_docstrings(ast.parse("def f():\n    return 1"), 15))


@pytest.mark.parametrize(
    "line", ["# built anew", "_told = 1", "raise E('who wants it')", "def settle_inputs", "Beside them"]
)
def test_a_word_of_the_table_is_found_in_comments_strings_and_names(line):
    ((number, word, _),) = words.check_words(f"\n{line}", RULES["words"])
    assert number == 2
    assert word in line.lower()


def test_a_word_within_another_is_not_found():
    assert not list(words.check_words("besides, planes, unsettled, toldo, ANEWLY", RULES["words"]))


def test_an_exception_is_of_one_path_and_one_word():
    rules = {**RULES, "exceptions": {"udf/a.py: told": "a key of journals"}}
    assert words.check_file("udf/a.py", 'KEY = "told"\n', rules) == ([], {"udf/a.py: told"})
    assert len(words.check_file("udf/b.py", 'KEY = "told"\n', rules)[0]) == 1
    assert len(words.check_file("udf/a.py", 'KEY = "anew"\n', rules)[0]) == 1


def test_tests_are_checked_as_the_product_is():
    assert len(words.check_file("tests/test_a.py", "def told(): ...\n", {**RULES, "words": {"anew": "again"}})[0]) == 1
    assert len(words.check_file("tests/test_a.py", "# anew\n", RULES)[0]) == 1


def test_the_command_fails_on_a_fault(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(words, "ROOT", tmp_path)
    (tmp_path / "bad.py").write_text('"""Build it anew."""\n', encoding="utf-8")
    (tmp_path / "good.py").write_text('"""Build it again."""\n', encoding="utf-8")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "old.py").write_text("told = 1\n", encoding="utf-8")
    assert words.main(["good.py"]) == 0
    assert words.main(["good.py", "bad.py"]) == 1
    assert "bad.py:1" in capsys.readouterr().out
    assert words.main(["build"]) == 1
    with pytest.raises(FileNotFoundError, match=r"gone\.py"):
        words.main(["gone.py"])


def test_an_exception_that_nothing_needs_is_a_fault(monkeypatch, capsys):
    monkeypatch.setattr(
        words, "load_rules", lambda: {**RULES, "clean": [], "exceptions": {"udf/gone.py: told": "once"}}
    )
    assert words.main([]) == 1
    assert "udf/gone.py: told" in capsys.readouterr().out
