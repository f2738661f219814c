"""``legan study``: ask people, and report what they said."""

from pathlib import Path
from typing import Annotated

import typer

from legan.platform.commands.options import LOCAL, Host, Out, Overwrite, Seed, path, path_argument
from legan.platform.errors import counted

study = typer.Typer(
    help="Ask people: naturalness ratings for Q, or which model's picture fits a target best.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Folder = Annotated[Path, path_argument(metavar="STUDY", help="Folder of the study.")]
PORT = 8020


@study.command()
def create(
    out: Annotated[Path, path_argument(metavar="STUDY", help="Folder to make.")],
    ratings: Annotated[
        Path | None,
        path(
            "--ratings",
            help="Images to rate from 0 to 10: a folder, or a table with image and perhaps batch, rater, source, split.",
        ),
    ] = None,
    lineup: Annotated[
        Path | None, path("--lineup", help="Folder with base/, a folder per model, targets.csv and perhaps examples/.")
    ] = None,
    raters: Annotated[int | None, typer.Option(min=1, help="People to make links for.")] = None,
    raters_per_item: Annotated[
        int | None,
        typer.Option(min=1, help="How many of them see each item.", show_default="3 for ratings, all for line-ups"),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Time for each item; 0: no limit.", show_default="60 for ratings, no limit for line-ups"),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Make a study of --ratings or of a --lineup, and print a link for each rater."""
    from legan.serve.study.create import StudyRequest
    from legan.serve.study.create import create as run

    made = run(StudyRequest(out, ratings, lineup, raters, raters_per_item, seconds, seed))
    items = made.rows("SELECT COUNT(*) FROM items")[0][0]
    what = "images to rate" if made.about.kind == "ratings" else f"line-ups of {', '.join(made.about.models)}"
    typer.echo(f"{items} {what}, {counted(made.about.raters_per_item, 'rater')} each: {out}")
    _print_links(out, f"http://{LOCAL}:{PORT}", {})
    typer.echo(f"Whoever has a link can answer with it. They work while this runs: legan study serve {out}")


@study.command()
def serve(
    folder: Folder,
    host: Host = LOCAL,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any free one.")] = PORT,
    url: Annotated[
        str | None, typer.Option(help="What the links begin with, where raters reach this machine under another name.")
    ] = None,
) -> None:
    """Serve a study's page until Ctrl-C; answers are on the disk before the next question is shown."""
    from legan.serve.study.app import bind, link_host
    from legan.serve.study.app import serve as run
    from legan.serve.study.store import open_study

    opened = open_study(folder)
    listener = bind(host, port)
    name = link_host(host, listener)
    name = f"[{name}]" if ":" in name else name
    rows = opened.rows("SELECT name, rater FROM raters")
    _print_links(
        folder,
        (url or f"http://{name}:{listener.getsockname()[1]}").rstrip("/"),
        {name: f"{progress.done} of {progress.total} done" for name, rater in rows for progress in [opened.progress(rater)]},
    )
    if host not in (LOCAL, "localhost", "::1") and url is None:
        typer.echo("Others can reach this; what they send is not encrypted, unless a proxy in front adds HTTPS (--url).")
    typer.echo("Ctrl-C ends it; every answer given so far stays.")
    run(opened, listener)


@study.command()
def report(
    folder: Folder,
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Write preferences or ratings with their agreement, as Markdown and CSV; ratings also as a table that Q is trained on."""
    from legan.serve.study.report import write_report
    from legan.serve.study.store import open_study

    opened = open_study(folder)
    typer.echo(write_report(opened, out, overwrite=overwrite))
    typer.echo(f"written to {out}")
    if (out / "ratings.csv").is_file():
        typer.echo(f"Train Q with them: legan train quality --ratings {out / 'ratings.csv'}")


def mount(app: typer.Typer) -> None:
    """Add ``legan study`` to the application."""
    app.add_typer(study, name="study")


def _print_links(folder: Path, start: str, notes: dict[str, str]) -> None:
    from legan.serve.study.store import read_tokens

    for rater, token in read_tokens(folder):
        note = f"   {notes[rater]}" if rater in notes else ""
        print(f"  {rater}  {start}/s/{token}/{note}", flush=True)
