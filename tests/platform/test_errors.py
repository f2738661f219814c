import re
from pathlib import Path

import pytest

from legan.platform.errors import ConfigError, Problem, counted, first_line, one_line


def test_all_problems_come_with_their_count() -> None:
    assert str(ConfigError([Problem("--pairs", "0 is too few")])) == "1 problem:\n  - --pairs: 0 is too few"
    assert str(ConfigError([Problem("", "a"), Problem("", "b")])) == "2 problems:\n  - a\n  - b"


def test_a_problem_of_a_file_names_it_and_the_line() -> None:
    problem = Problem("loss.q", "it is too high", file="mine.yaml")
    assert str(problem) == "mine.yaml: loss.q: it is too high"
    assert str(problem._replace(line=3)) == "mine.yaml, line 3: loss.q: it is too high"
    assert str(Problem("", "it is no YAML", file="mine.yaml")) == "mine.yaml: it is no YAML"


@pytest.mark.parametrize(
    ("names", "concerned"),
    [(["loss.q"], True), (["workers"], True), (["loss"], True), (["los"], False), (["loss.q.x"], False), ([], False)],
)
def test_a_problem_concerns_its_place_what_it_depends_on_and_their_sections(names: list[str], concerned: bool) -> None:
    assert Problem("loss.q", "it is wrong", ("workers",)).concerns(names) is concerned


@pytest.mark.parametrize(
    ("error", "first", "one"),
    [
        (ValueError("wrong.\nvery wrong."), "wrong", "wrong. very wrong"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError("\n"), "ValueError", "ValueError"),
        (KeyError("size"), "'size' is missing", "'size'"),
        (KeyError(), "KeyError", "KeyError"),
        (ConfigError([Problem("seeds", "0 is too few"), Problem("", "no")]), "2 problems:", "seeds: 0 is too few; no"),
        (OSError(2, "No such file", "a.png"), "[Errno 2] No such file: 'a.png'", "[Errno 2] No such file: 'a.png'"),
    ],
)
def test_what_an_error_says_in_a_line(error: Exception, first: str, one: str) -> None:
    assert first_line(error) == first
    assert one_line(error) == one


def test_a_line_is_short_and_has_no_passwords() -> None:
    assert one_line(OSError("no answer from http://me:secret@host:1/x")) == "no answer from http://host:1/x"
    assert one_line(OSError("x" * 1000)) == "x" * 300 + "…"


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (1, "worker", "1 worker"),
        (0, "worker", "0 workers"),
        (2, "worker", "2 workers"),
        (1.0, "CPU", "1 CPU"),
        (0.5, "CPU", "0.5 CPUs"),
    ],
)
def test_a_number_agrees_with_its_noun(number: float, noun: str, said: str) -> None:
    assert counted(number, noun) == said
    assert counted(number, "process", "processes").endswith("process" if number == 1 else "processes")


WORDS = "workers|CPUs|subjects|photographs|translations|raters|trials"


def test_no_message_counts_without_looking_at_the_number() -> None:
    root = Path(__file__).parents[2]
    files = [file for folder in ("platform", "serve", "sweeps") for file in (root / folder).rglob("*.py")]
    found = [
        f"{file.relative_to(root)}: {line.strip()}"
        for file in files
        for line in file.read_text().splitlines()
        if re.search(rf"\{{(len\([^{{}}]*\)|[\w.]+)(:g)?\}} ({WORDS})\b", line)
    ]
    assert found == []
