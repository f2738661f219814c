"""``legan augment``: a whole data set of faces under other expressions and lightings."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from legan.platform.commands.options import (
    ATTEMPTS,
    PROCESSES,
    Address,
    All,
    DryRun,
    MaybeMatcher,
    MinQuality,
    MinSimilarity,
    Model,
    Overwrite,
    Seed,
    path_argument,
    told,
)

Input = Annotated[
    Path,
    path_argument(
        metavar="INPUT", help="A data set folder, a folder of photographs, or a table (CSV or Parquet) with a column path."
    ),
]
Out = Annotated[Path, path_argument(metavar="OUT", help="Folder of the new data set; unfinished work lies in OUT.partial.")]
Listed = Annotated[
    str | None, typer.Option("--labels", metavar="E:L,…", help="Make these of every face, for example smile:left,neutral:right.")
]
Fill = Annotated[
    Literal["expression", "lighting", "both"] | None,
    typer.Option("--balance", help="Fill the rare classes of the training split up to the largest, from the others."),
]
Random = Annotated[int | None, typer.Option("--random", min=1, metavar="N", help="N random other combinations of every face.")]
Attempts = Annotated[int, ATTEMPTS]
Originals = Annotated[
    bool | None,
    typer.Option(
        "--originals/--no-originals", help="Put the source faces into OUT too.", show_default="--originals with --balance alone"
    ),
]
TrainOnly = Annotated[bool, typer.Option("--train-only", help="Translate faces of the training split alone, as --balance does.")]
Workers = Annotated[int | None, told(PROCESSES, "the cluster's GPUs, else its cores")]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Images through the network at once.", show_default="64 on a GPU, 8 on a CPU"),
]


def mount(app: typer.Typer) -> None:
    """Add ``augment`` to the application."""

    @app.command()
    def augment(
        source: Input, out: Out, model: Model = None, labels: Listed = None, all_: All = False,
        balance: Fill = None, random: Random = None, min_quality: MinQuality = None, min_similarity: MinSimilarity = None,
        matcher: MaybeMatcher = None, attempts: Attempts = 3, originals: Originals = None, seed: Seed = 0,
        train_only: TrainOnly = False, workers: Workers = None, batch_size: BatchSize = None, address: Address = None,
        overwrite: Overwrite = False, dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Translate a whole data set into a new one. Stopped at any moment, the same command goes on.

        One of --labels, --all, --balance and --random says what is made. --min-similarity needs --matcher.
        """
        from legan.serve.augment.job import augment as run
        from legan.serve.augment.request import AugmentRequest
        from legan.serve.chosen import champion_or_box

        model = champion_or_box(model)
        request = AugmentRequest(
            source, out, model, labels, all_, balance, random, min_quality, min_similarity, matcher, attempts, originals, seed,
            workers, batch_size, address, overwrite, dry_run, train_only,
        )  # fmt: skip
        folder = run(request, lambda line: typer.echo(line))
        if not dry_run:
            typer.echo(f"\nwritten to {folder}; look at it with: legan data show {out}")
