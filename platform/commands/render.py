"""``legan data render`` and ``legan data ratings``."""

import os
import time
from typing import Annotated, Literal

import typer

from legan.platform.commands.options import COUNT, PROCESSES, DatasetArgument, Out, Overwrite, Seed, told
from legan.platform.errors import counted


def mount_data(data: typer.Typer) -> None:
    """Add ``render`` and ``ratings`` to the group ``data``."""

    @data.command()
    def render(
        out: Out,
        subjects: Annotated[int, typer.Option(min=3, help="How many people.")] = 40,
        size: Annotated[int, typer.Option(min=32, max=512, help="Side of the images in pixels.")] = 128,
        seed: Seed = 0,
        images_per_subject: Annotated[
            int | None,
            typer.Option(
                min=1, max=120, help="Images of each person, of 120 combinations of expression and lighting.", show_default="all"
            ),
        ] = None,
        workers: Annotated[int | None, told(PROCESSES, "one per core")] = None,
        overwrite: Overwrite = False,
    ) -> None:
        """Draw faces: people × 6 expressions × 20 lightings, with exact targets and landmarks."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from legan.platform.data.rendered.render import EXPRESSIONS, LIGHTINGS, render_dataset

        processes = max(1, workers) if workers is not None else len(os.sched_getaffinity(0))
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
            f"{counted(len(dataset), 'rendered face')} of {counted(subjects, 'person', 'people')} "
            f"({size}×{size}) in {seconds:.1f} s, "
            f"{len(dataset) / seconds:.0f} a second with {counted(processes, 'process', 'processes')}: {out}\n"
            f"Look at them: legan data show {out}"
        )

    @data.command()
    def ratings(
        dataset: DatasetArgument,
        out: Out,
        count: Annotated[int | None, told(COUNT, "one per face, at most 6000")] = None,
        panel: Annotated[
            Literal["training", "judging"],
            typer.Option(
                "--panel", help="Whose scores: for the Q in LEGAN's loss, or others on other faults for a Q that judges."
            ),
        ] = "training",
        seed: Seed = 0,
        overwrite: Overwrite = False,
    ) -> None:
        """Make SIMULATED naturalness ratings: distorted images and three simulated raters, to train Q without people."""
        from rich.console import Console

        from legan.platform.data.dataset import open_dataset
        from legan.platform.data.ratings.ratings import histogram
        from legan.platform.data.ratings.simulated import make_simulated_ratings

        with Console(stderr=True).status("distorting and rating images (simulated) …"):
            made = make_simulated_ratings(open_dataset(dataset), out, count=count, seed=seed, panel=panel, overwrite=overwrite)
        typer.echo(
            f"{counted(len(made.mean), 'image')} with simulated ratings, {float(made.mean.mean()):.2f} of 10 on average: {out}\n"
            f"{histogram(made.mean)}\n"
            f"Train Q with them: legan train quality --ratings {out}"
        )
