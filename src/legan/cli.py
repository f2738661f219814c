"""The command line ``legan``: mounts the folders' commands and turns errors into one sentence and exit code 2."""

import errno
import os
import sys
from typing import Annotated, Any

import typer
import typer.core

from legan import __version__
from legan.platform.commands import app as platform_commands
from legan.platform.commands.grammar import make_strict
from legan.platform.errors import LeganError
from legan.platform.processors import WAITING
from legan.serve.commands import app as serve_commands
from legan.sweeps.commands import app as sweeps_commands

FULL = (errno.ENOSPC, errno.EDQUOT)
STOPPED = 130
"""The exit code that Typer makes of Ctrl-C, without a word."""

PANELS = {
    "Start": ("doctor", "weights"),
    "Data and ratings": ("data", "ratings", "study"),
    "Train and compare": ("train", "evaluate", "sweep", "experiment", "runs", "models", "ui", "sync"),
    "Use": ("translate", "augment", "serve", "call"),
}
"""The commands by journey, as the help shows them."""


class Journeys(typer.core.TyperGroup):
    """Lists the commands in the order of PANELS."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands' names."""
        return [name for names in PANELS.values() for name in names]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"legan {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="legan",
    cls=Journeys,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
platform_commands.mount(app)
sweeps_commands.mount(app)
serve_commands.mount(app)
make_strict(app)


PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}
for command in app.registered_commands:
    command.rich_help_panel = PANEL_OF[command.name or str(getattr(command.callback, "__name__", ""))]
for group in app.registered_groups:
    group.rich_help_panel = PANEL_OF[str(group.name)]


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    """Train, compare, serve and use LEGAN: faces under other lighting and other expressions."""


def main() -> None:
    """Entry point; exit code 2 for bad input, 130 for Ctrl-C."""
    # Third parties stay silent and send nothing home, whatever their defaults are.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except LeganError as error:
        print(f"legan: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        where = "the disk" if error.filename is None else error.filename
        print(f"legan: {where}: {error.strerror}; correct the path or its permissions, or make room.", file=sys.stderr)
        sys.exit(2)
    except SystemExit as error:
        if error.code == STOPPED:
            print("legan: stopped by Ctrl-C.", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
