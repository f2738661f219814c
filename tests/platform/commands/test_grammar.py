"""What every command makes of its words, by the whole command line."""

import pytest
from typer.testing import CliRunner

from legan.cli import app


def said(*words: str) -> tuple[int, str]:
    """Exit code, and what is printed without its frame."""
    done = CliRunner().invoke(app, words)
    return done.exit_code, " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train legan --data a --data b", "Option '--data' / '-d' is given twice; give it once."),
        ("train legan --data a -d b -d a", "Option '--data' / '-d' is given 3 times; give it once."),
        ("train legan --gpu --cpu", "Option '--gpu' / '--cpu' is given twice"),
        ("translate a.jpg -e smile --expression neutral -l left", "Option '--expression' / '-e' is given twice"),
        ("serve --port 1 --port 2", "Option '--port' is given twice"),
        ("call http://x model --help --model 3", "No such option: --model"),
    ],
)
def test_one_value_is_not_given_twice(words: str, message: str) -> None:
    code, text = said(*words.split())
    assert (code, message in text) == (2, True), text


def test_what_may_be_repeated_may_be() -> None:
    assert "given" not in said("train", "legan", "--set", "steps=1", "--set", "loss.q=7", "--dry-run", "--dry-run")[1]


def test_all_that_is_missing_wrong_or_repeated_is_said_at_once() -> None:
    code, text = said("evaluate", "nobody", "--pairs", "0", "--seed", "1", "--seed", "2")
    assert code == 2
    for message in (
        "Option '--seed' is given twice",
        "Missing option '--data' / '-d'.",
        "Missing option '--classifier'.",
        "Missing option '--matcher'.",
        "Invalid value for '--pairs': 0 is less than 1",
    ):
        assert message in text


def test_help_is_shown_whatever_else_is_there() -> None:
    code, text = said("train", "legan", "--data", "a", "--data", "b", "--help")
    assert (code, "Train LEGAN." in text) == (0, True)


@pytest.mark.parametrize("command", ["translate", "augment", "quality", "model"])
def test_the_help_of_a_call_needs_no_address(command: str) -> None:
    code, text = said("call", command, "--help")
    assert (code, text) == (0, said("call", "http://127.0.0.1:8000", command, "--help")[1])
    assert f"call {{URL}} {command}" in text
    code, text = said("call", command, "photo.jpg")
    assert (code, "Missing argument 'URL': write it before the command" in text) == (2, True)
