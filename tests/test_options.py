"""What one command accepts for an option, all commands that have it accept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from legan.cli import app
from legan.platform.errors import LeganError
from legan.sweeps.sweep import SweepSettings, create_sweep

NETWORKS = ("--identity", "--matcher", "--features", "--classifier", "--quality")
PEOPLE = NETWORKS[:3]
"""The networks that tell people apart, which FaceNet does too."""
MODELS = ("--model", "--models", "MODEL")
ELSEWHERE = ("sweep submit", "serve update", "evaluate figure")
"""Their networks are looked for on a cluster, need a running server, or depend on a number: tests/sweeps/remote,
tests/serve/deploy and tests/platform/evaluation/paper_figures have them."""


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
    asked = {
        "suite": "losses",
        "data": tiny_data,
        **{name.removeprefix("--"): "there" for name in NETWORKS if name != "--features"},
    }
    create_sweep(ready, "there", SweepSettings.model_validate(asked))
    (ready / "begun").mkdir()
    (ready / "begun" / "config.yaml").touch()

    others = {"--data": tiny_data, "SUITE|SPACE.yaml": "losses", "1|2|3": 1, "--protocol": "table"}

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


def test_a_path_may_begin_with_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = [(command, each) for command, each in EVERYWHERE if each.type_descriptor.annotation is Path]
    assert len(paths) > 50
    for command, parameter in paths:
        assert parameter.process_value(None, "~/faces") == tmp_path / "faces", f"{command} {name_of(parameter)}"


SEVERAL = {
    "--address": "a Ray cluster; the dashboard of one, where sweeps are sent (asked for, or as an alternative to this home)",
    "--aligned": "squares of any size, which a data set is made of; faces of the size that a served model has",
    "--expression": "the one that is wanted; those that random variants are limited to",
    "--face": "a number; in `legan translate` also all",
    "--gpus": "of a trial's worker; of a replica",
    "--lighting": "as --expression",
    "--matcher": "what judges an evaluation; what a model's folder is to carry",
    "--models": "methods with several runs each; one run each",
    "--name": "of a data set, a run, a sweep, an experiment",
    "--out": "says what is written",
    "--overwrite": "a folder, finished or not; pictures",
    "--port": "of a server that has to be told where it is; of a study, which says where it is",
    "--raters": "of a batch; of a study",
    "--ratings": "what Q learns from; what is to be rated",
    "--recolor": "whose colours a training sees; whose a figure shows",
    "--seconds": "for a request; for a rater",
    "--seeds": "of each variant of a sweep; of each arm of an experiment",
    "--size": "of prepared images; of rendered ones, which have other limits",
    "--subjects": "rows of a picture; people to draw",
    "--version": "of a model; of legan",
    "--workers": "of Ray Train; processes",
    "FOLDER": "of a sweep that was sent; of an experiment",
    "NAME": "a sweep here; one that was submitted; a registered model",
    "RUN": "one with a folder; one that MLflow alone knows too",
    "STUDY": "of ratings to be collected; to be made; to be served",
}
"""Names that mean several things, and which."""


def test_an_option_is_declared_once() -> None:
    declared: dict[str, set[Any]] = {}
    for command, each in EVERYWHERE:
        assert each.help or command == "", (command, name_of(each))
        optional = str(each.type_descriptor.annotation)
        declared.setdefault(name_of(each), set()).add((*each.opts, each.help, each.min, each.max, optional, each.metavar))
    several = {name for name, declarations in declared.items() if len(declarations) > 1}
    assert several == set(SEVERAL)


def test_help_says_a_default_where_defaults_stand() -> None:
    """``[default: …]``, which ``told`` fills, and not in the sentence before it."""
    assert not [(command, name_of(each)) for command, each in EVERYWHERE if "default" in (each.help or "")]


def test_help_shows_every_default() -> None:
    hidden = [
        (command, name_of(each)) for command, each in EVERYWHERE if each.default not in (None, False) and not each.show_default
    ]
    assert hidden == []
