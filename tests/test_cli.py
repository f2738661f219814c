import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from legan import __version__, cli


def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    command = [sys.executable, "-m", "legan.cli", "study", "create", str(tmp_path / "note.txt" / "study"), "--ratings", "x.csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("legan: ")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/data/faces"), "legan: /data/faces: Permission denied; correct the path"),
        (OSError(28, "No space left on device"), "legan: the disk: No space left on device; "),
    ],
)
def test_what_the_disk_refuses_is_one_sentence(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    ("raised", "arguments", "code", "said"),
    [
        (KeyboardInterrupt(), [], 130, "legan: stopped by Ctrl-C.\n"),
        (typer.Exit(3), [], 3, ""),
        (None, [], 0, ""),
        (None, ["--nonsense"], 2, "No such option: --nonsense"),
    ],
)
def test_how_it_ended_is_said_and_is_the_exit_code(
    raised: BaseException | None,
    arguments: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = typer.Typer()

    @app.command()
    def ends() -> None:
        if raised is not None:
            raise raised

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["legan", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == code
    assert said in capsys.readouterr().err


def test_errors_of_the_program_itself_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(ConnectionResetError):
        cli.main()


@pytest.mark.parametrize("start", [["legan.cli"], ["legan"]])
def test_the_version_is_said(start: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *start, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"legan {__version__}\n"


def test_each_command_stands_in_the_panel_of_one_journey() -> None:
    command = typer.main.get_command(cli.app)
    listed = [name for names in cli.PANELS.values() for name in names]
    assert sorted(listed) == sorted(command.commands)
    assert {name: below.rich_help_panel for name, below in command.commands.items()} == {
        name: panel for panel, names in cli.PANELS.items() for name in names
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data", "render", "--out", "x", "--subjects", "abc"), "Invalid value for '--subjects': 'abc' is no whole number"),
        (("data", "render", "--out", "x", "--subjects", "2"), "Invalid value for '--subjects': 2 is less than 3"),
        (("data", "render", "--out", "x", "--images-per-subject", "121"), "'--images-per-subject': 121 is more than 120"),
        (("data", "render", "--out", "x", "--size", "16"), "Invalid value for '--size': 16 is less than 32"),
        (("serve", "--seconds", "0"), "Invalid value for '--seconds': 0 is less than 0.1"),
        (("serve", "--gpus", "half"), "Invalid value for '--gpus': 'half' is no number"),
        (("augment", "in", "out", "--balance", "light"), "'light' is not one of"),
    ],
)
def test_a_wrong_value_is_said_in_our_words(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(cli.app, arguments)
    text = " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == 2
    assert said in text
    assert "Value error" not in text
