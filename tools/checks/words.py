"""Check docstrings, function names and words against `words.toml`.

`python tools/checks/words.py` checks what `words.toml` lists as clean; with paths, it checks those.
The exit code is 1 if there is a fault.
"""

import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["check_docstrings", "check_file", "check_names", "check_words", "load_rules", "main"]

ROOT = Path(__file__).parents[2]
TEXTS = {".py", ".md", ".jinja", ".html", ".toml", ".cfg", ".yml", ".yaml", ""}
TABLE = "tools/checks/words.toml"
SPELLS_ALL = {TABLE, "tests/tools/test_words.py"}
"""Files that have to contain the words that are refused."""
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
PROPERTIES = {"property", "cached_property"}
"""Decorators of values: an adjective is a good name for one."""
PREDICATES = ("is_", "has_", "was_", "are_")
"""A verb, so an adjective may follow."""

Fault = tuple[int, str]
"""Line and sentence."""


def load_rules(path: Path = ROOT / TABLE) -> dict[str, Any]:
    """Read the table of rules, with lists of words as sets."""
    rules = tomllib.loads(path.read_text(encoding="utf-8"))
    names = rules["names"]
    rules["names"] = {key: set(value.split()) if isinstance(value, str) else value for key, value in names.items()}
    return rules


def check_docstrings(tree: ast.Module, most: int) -> Iterator[Fault]:
    """Find first lines of more than `most` words, or without a full stop."""
    for node in ast.walk(tree):
        if not isinstance(node, DOCUMENTED) or not (text := ast.get_docstring(node)):
            continue
        first, line = text.splitlines()[0], node.body[0].lineno
        if (count := len(first.split())) > most:
            yield line, f"the docstring's first line has {count} words; at most {most}: {first}"
        elif not first.endswith("."):
            yield line, f"the docstring's first line is no sentence that ends in a full stop: {first}"


def check_names(tree: ast.Module, names: Mapping[str, Any]) -> Iterator[Fault]:
    """Find functions whose name has neither a verb nor a noun; properties may be adjectives."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_property(node):
            name = node.name.strip("_")
            if name.startswith(PREDICATES):
                continue
            if name not in names["allowed"] and all(_is_modifier(word, names) for word in name.split("_") if word):
                yield node.lineno, f"the function {node.name} needs a verb or a noun in its name"


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(decorator).rpartition(".")[2] in PROPERTIES for decorator in node.decorator_list)


def _is_modifier(word: str, names: Mapping[str, Any]) -> bool:
    if word in names["verbs"] or word in names["not_participles"]:
        return False
    return word.endswith("ed") or word in names["participles"] | names["adjectives"] | names["others"]


def check_words(text: str, words: Mapping[str, str]) -> Iterator[tuple[int, str, str]]:
    """Find words of the table in comments, strings and names: line, word and sentence."""
    pattern = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(map(re.escape, words))})(?![A-Za-z])", re.IGNORECASE)
    for number, line in enumerate(text.splitlines(), 1):
        for match in pattern.finditer(line):
            word = match[0].lower()
            yield number, word, f"{match[0]!r} is not a word of this project; write {words[word]}"


def check_file(path: str, text: str, rules: Mapping[str, Any]) -> tuple[list[Fault], set[str]]:
    """Check one file; the faults, and which of the table's exceptions it needs."""
    faults, needed = [], set()
    for line, word, sentence in check_words(text, rules["words"]):
        if (exception := f"{path}: {word}") in rules["exceptions"]:
            needed.add(exception)
        else:
            faults.append((line, sentence))
    if path.endswith(".py"):
        tree = ast.parse(text)
        faults += check_docstrings(tree, rules["first_line"])
        faults += check_names(tree, rules["names"])
    return sorted(faults), needed


def main(arguments: list[str]) -> int:
    """Print the faults of these paths, or of what is listed as clean."""
    rules = load_rules()
    paths = arguments or rules["clean"]
    bad, needed = 0, set()
    for path in _files(paths):
        faults, used = check_file(path, (ROOT / path).read_text(encoding="utf-8"), rules)
        needed |= used
        bad += len(faults)
        for line, sentence in faults:
            print(f"{path}:{line}: {sentence}")
    if not arguments:
        for exception in sorted(set(rules["exceptions"]) - needed):
            bad += 1
            print(f"{TABLE}: the exception {exception!r} is not needed any more; remove it")
    if bad:
        print(f"{bad} faults; the rules are in {TABLE}")
    return min(bad, 1)


def _files(paths: list[str]) -> Iterator[str]:
    """List the texts below `paths`; FileNotFoundError for a path that is not there."""
    for path in paths:
        start = ROOT / path
        if not start.exists():
            raise FileNotFoundError(f"{path}, named in {TABLE} or as an argument, is not in {ROOT}")
        for folder, _, files in os.walk(start) if start.is_dir() else [(str(start.parent), [], [start.name])]:
            for name in sorted(files):
                found = Path(folder, name).relative_to(ROOT).as_posix()
                if Path(name).suffix in TEXTS and found not in SPELLS_ALL:
                    yield found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
