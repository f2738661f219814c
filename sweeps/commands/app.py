"""Sweeps' part of the command line: ``legan sweep …``."""

import typer

from legan.sweeps.commands.jobs import mount as mount_jobs
from legan.sweeps.commands.report import mount as mount_report
from legan.sweeps.commands.run import mount as mount_run


def mount(app: typer.Typer) -> None:
    """Add ``sweep`` to the application."""
    sweep = typer.Typer(help="Compare variants: the paper's ablations, or a search over settings.", no_args_is_help=True)
    mount_run(sweep)
    mount_report(sweep)
    mount_jobs(sweep)
    app.add_typer(sweep, name="sweep")
