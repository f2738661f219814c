"""``legan runs list|show|compare``."""

import sys
from typing import Annotated

import typer

from legan.platform.commands import complete
from legan.platform.commands.options import AsJson, path_argument
from legan.platform.commands.output import answer

RUN_HELP = "A run: its name under the runs' home, its folder, or its name or id in MLflow."
First = Annotated[str, path_argument(metavar="A", help=RUN_HELP, autocompletion=complete.runs)]
Second = Annotated[str, path_argument(metavar="B", help=RUN_HELP, autocompletion=complete.runs)]
Run = Annotated[str, path_argument(metavar="RUN", help=RUN_HELP, autocompletion=complete.runs)]


def mount(app: typer.Typer) -> None:
    """Add ``runs`` to the application."""
    runs = typer.Typer(help="Look at trainings: those of this home, and those that MLflow knows besides.", no_args_is_help=True)

    @runs.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """Show all runs with state, step and validation, the newest first; trials of sweeps are among them."""
        from legan.platform.catalogue.runs import list_runs
        from legan.platform.catalogue.tell import run_values, runs_table

        found = list_runs(lambda line: print(line, file=sys.stderr))
        answer([run_values(run) for run in found], runs_table(found), as_json)

    @runs.command()
    def show(run: Run, as_json: AsJson = False) -> None:
        """Show one run: state, validations, data and settings."""
        from legan.platform.catalogue.runs import find_run
        from legan.platform.catalogue.tell import run_lines, run_values

        found = find_run(run)
        answer(run_values(found), run_lines(found), as_json)

    @runs.command()
    def compare(a: First, b: Second, as_json: AsJson = False) -> None:
        """Show two runs side by side: the settings that differ, and their validations."""
        from legan.platform.catalogue.runs import find_run
        from legan.platform.catalogue.tell import comparison, comparison_lines

        first, second = find_run(a), find_run(b)
        answer(comparison(first, second), comparison_lines(first, second), as_json)

    app.add_typer(runs, name="runs")
