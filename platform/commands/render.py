"""``legan data render`` and ``legan data ratings``."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer


def mount_data(data: typer.Typer) -> None:
    """Add ``render`` and ``ratings`` to the group ``data``."""

    @data.command()
    def render(
        out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
        subjects: Annotated[int, typer.Option(help="How many people; at least 3.")] = 40,
        size: Annotated[int, typer.Option(help="Image size in pixels, from 32 to 512.")] = 128,
        seed: Annotated[int, typer.Option(help="The same seed draws the same people, to the byte.")] = 0,
        images_per_subject: Annotated[
            int | None, typer.Option(help="Of the 120 combinations of expression and lighting; default: all.")
        ] = None,
        workers: Annotated[int | None, typer.Option("--workers", "-w", help="Processes; default: one per core.")] = None,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set that is already there.")] = False,
    ) -> None:
        """Draw faces: people × 6 expressions × 20 lightings, with exact targets and landmarks."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from legan.platform.data.rendered.render import EXPRESSIONS, LIGHTINGS, render_dataset

        processes = workers if workers is not None else len(os.sched_getaffinity(0))
        total = subjects * (images_per_subject or len(EXPRESSIONS) * len(LIGHTINGS))
        columns = (TextColumn("drawing faces"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task("faces", total=total)
            start = time.perf_counter()
            dataset = render_dataset(
                out,
                subjects=subjects,
                size=size,
                seed=seed,
                images_per_subject=images_per_subject,
                workers=processes,
                overwrite=overwrite,
                progress=lambda count: bar.advance(task, count),
            )
        seconds = time.perf_counter() - start
        typer.echo(
            f"{len(dataset)} rendered faces of {subjects} people ({size}×{size}) in {seconds:.1f} s, "
            f"{len(dataset) / seconds:.0f} a second with {processes} process{'es' if processes != 1 else ''}: {out}\n"
            f"Look at them: legan data show {out}"
        )

    @data.command()
    def ratings(
        dataset: Annotated[Path, typer.Argument(help="Data set folder the images are taken from.")],
        out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
        count: Annotated[int | None, typer.Option(help="Images to rate; default: one per face, at the most 6000.")] = None,
        seed: Annotated[int, typer.Option(min=0, help="Seed of distortions and raters.")] = 0,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace ratings that are already there.")] = False,
    ) -> None:
        """Make SIMULATED naturalness ratings: distorted images and three simulated raters, to train Q without people."""
        from rich.console import Console

        from legan.platform.data.dataset import open_dataset
        from legan.platform.data.ratings.ratings import histogram, make_simulated_ratings

        with Console(stderr=True).status("distorting and rating images (simulated) …"):
            made = make_simulated_ratings(open_dataset(dataset), out, count=count, seed=seed, overwrite=overwrite)
        typer.echo(
            f"{len(made.mean)} images with simulated ratings, {float(made.mean.mean()):.2f} of 10 on average: {out}\n"
            f"{histogram(made.mean)}\n"
            f"Train Q with them: legan train quality --ratings {out}"
        )
