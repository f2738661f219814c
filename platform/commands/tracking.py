"""``legan ui``, ``legan sync`` and ``legan doctor``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from legan.platform.commands.options import Port, path_argument

if TYPE_CHECKING:
    from legan.platform.doctor import Fact

RunName = Annotated[str, path_argument(metavar="RUN", help="A run: its name under the runs' home, or its folder.")]
STYLES = {"ok": "green", "missing": "yellow", "problem": "bold red"}


def mount(app: typer.Typer) -> None:
    """Add the commands to the application."""

    @app.command()
    def ui(port: Port = 5000) -> None:
        """Show the runs in MLflow's web pages, on 127.0.0.1 alone."""
        from legan.platform.errors import TrackingError
        from legan.platform.tracking.delivery import StoreAwayError
        from legan.platform.tracking.places import default_tracking_uri, shown, sqlite_file
        from legan.platform.tracking.tracker import open_store
        from legan.platform.tracking.ui import serve_ui

        database = sqlite_file(default_tracking_uri())
        if database is None:
            print(f"MLFLOW_TRACKING_URI points to {shown(default_tracking_uri())}: open that; nothing was started here.")
            return
        if not database.exists():  # made here, because a training may be about to make it too
            try:
                open_store(default_tracking_uri())
            except StoreAwayError as error:
                raise TrackingError(f"{database} cannot be made: {error}.") from error
        serve_ui(database, port)

    @app.command()
    def sync(run: RunName) -> None:
        """Send to MLflow what a run recorded while MLflow was away."""
        from legan.platform.tracking.places import default_home, run_tracking_uri, shown
        from legan.platform.tracking.tracker import sync_run

        folder = Path(run) if (Path(run) / "tracking.jsonl").is_file() else default_home() / run
        count = sync_run(folder)
        print(f"{count} records of {folder} were sent to {shown(run_tracking_uri(folder))}.")

    @app.command()
    def doctor() -> None:
        """Say what is on this machine and how to get the rest; the exit code is 1 where something required is missing."""
        from legan.platform.doctor import examine, healthy

        facts = examine()
        _print_facts(facts)
        raise typer.Exit(0 if healthy(facts) else 1)


def _print_facts(facts: list["Fact"]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("", "", "found", box=None)
    for fact in facts:
        table.add_row(fact.name, f"[{STYLES[fact.status]}]{fact.status}[/]", fact.found)
    console.print(table)
    for fact in facts:
        if fact.remedy:
            console.print(f"\n{fact.name}: {fact.remedy}.", soft_wrap=True, markup=False, highlight=False)
