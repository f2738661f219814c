"""What one command accepts for an option, all commands that have it accept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from legan.cli import app
from legan.platform.errors import LeganError

NETWORKS = ("--identity", "--matcher", "--features", "--classifier", "--quality")
PEOPLE = NETWORKS[:3]
"""The networks that tell people apart, which FaceNet does too."""
MODELS = ("--model", "--models", "MODEL")
ELSEWHERE = ("sweep submit", "serve update")
"""Their networks are looked for on a cluster, or need a running server; tests/sweeps/remote and tests/serve/deploy have them."""


def parameters(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every argument and option of the command line with the command that it belongs to."""
    yield from ((path, parameter) for parameter in command.params)
    for name, inner in getattr(command, "commands", {}).items():
        yield from parameters(inner, f"{path} {name}".strip())


def name_of(parameter: Any) -> str:
    return str(parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar or parameter.name.upper())


EVERYWHERE = list(parameters(typer.main.get_command(app)))


def having(names: tuple[str, ...]) -> Any:
    found = [(command, name_of(each)) for command, each in EVERYWHERE if name_of(each) in names and command not in ELSEWHERE]
    return pytest.mark.parametrize(("command", "option"), found)


@pytest.fixture
def problem(ready: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls a command with a value for one option, fills in what else it needs, and gives the error it ends with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path / "weights"))
    (ready / "begun").mkdir()
    (ready / "begun" / "config.yaml").touch()

    others = {"--data": tiny_data, "SUITE|SPACE.yaml": "losses", "1|2|3": 1}

    def call(command: str, option: str, value: str) -> str:
        arguments, options = [], []
        for where, parameter in EVERYWHERE:
            name = name_of(parameter)
            wanted = value if name == option else str(others.get(name, "there"))
            if where != command or not (parameter.required or name in NETWORKS or name == option):
                continue
            if name == "--models":
                options += [f"--models=A={wanted}", "--models=B=there"]
            elif parameter.param_type_name == "argument":
                arguments.append(wanted)
            else:
                options.append(f"{name}={wanted}")
        done = CliRunner().invoke(app, [*command.split(), *options, *arguments])
        assert isinstance(done.exception, LeganError), done.output
        return str(done.exception)

    return call


@having((*NETWORKS, *MODELS))
@pytest.mark.parametrize("value", ["begun", "~/runs/begun"])
def test_a_run_is_taken_by_its_name_and_by_its_folder(problem: Any, command: str, option: str, value: str) -> None:
    assert "the run begun has no model yet" in problem(command, option, value)


@having(PEOPLE)
def test_facenet_is_taken_wherever_people_are_told_apart(problem: Any, command: str, option: str) -> None:
    assert "`legan weights facenet` downloads them" in problem(command, option, "facenet")


@having(MODELS)
def test_a_model_is_taken_from_mlflow(problem: Any, command: str, option: str) -> None:
    assert "models:/nobody@champion" in problem(command, option, "models:/nobody@champion")
