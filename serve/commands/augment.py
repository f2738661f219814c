"""``legan augment``: a whole data set of faces under other expressions and lightings."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Input = Annotated[
    Path,
    typer.Argument(
        help="A data set folder, a folder of photographs, or a .parquet or .csv table with a column path.", metavar="INPUT"
    ),
]
Out = Annotated[Path, typer.Argument(help="Folder of the new data set; unfinished work lies in OUT.partial.", metavar="OUT")]
Source = Annotated[str, typer.Option("--model", "-m", help="A run, a model folder, or an MLflow URI.")]
Listed = Annotated[
    str | None, typer.Option("--labels", metavar="E:L,…", help="Make these of every face, for example smile:left,neutral:right.")
]
All = Annotated[bool, typer.Option("--all", help="Make every combination of every face.")]
Fill = Annotated[
    Literal["expression", "lighting", "both"] | None,
    typer.Option("--balance", help="Fill the sparse classes of the training split up to the largest, from the other classes."),
]
Random = Annotated[int | None, typer.Option("--random", metavar="N", help="Make N random other combinations of every face.")]
MinQuality = Annotated[float | None, typer.Option("--min-quality", help="Keep translations that Q rates so, 0–10.")]
MinSimilarity = Annotated[
    float | None, typer.Option("--min-similarity", help="Keep those that the matcher finds so alike, -1–1.")
]
Judge = Annotated[Path | None, typer.Option("--matcher", help="A run of `legan train identity`, or facenet.")]
Attempts = Annotated[
    int, typer.Option("--attempts", help="Candidates tried where one falls short (--random, --balance); 10 at most.")
]
Originals = Annotated[
    bool | None, typer.Option("--originals/--no-originals", help="Put the source faces into OUT too; by default with --balance.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the random choices.")]
Workers = Annotated[
    int | None, typer.Option("--workers", "-w", help="Processes (default: the cluster's GPUs, or else cores; 0: without Ray).")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Images through the network at once (default: 64 on a GPU, 8 on a CPU).")
]
Address = Annotated[str | None, typer.Option("--address", help="Ray cluster; default: RAY_ADDRESS, else one on this machine.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a data set at OUT, and unfinished work.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, print the plan, and stop.")]


def mount(app: typer.Typer) -> None:
    """Add ``augment`` to the application."""

    @app.command()
    def augment(
        source: Input, out: Out, model: Source = "models:/legan@champion", labels: Listed = None, all_: All = False,
        balance: Fill = None, random: Random = None, min_quality: MinQuality = None, min_similarity: MinSimilarity = None,
        matcher: Judge = None, attempts: Attempts = 3, originals: Originals = None, seed: Seed = 0, workers: Workers = None,
        batch_size: BatchSize = None, address: Address = None, overwrite: Overwrite = False, dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Translate a whole data set into a new one. Stopped at any moment, the same command goes on."""
        from legan.serve.augment.job import augment as run
        from legan.serve.augment.request import AugmentRequest

        request = AugmentRequest(
            source, out, model, labels, all_, balance, random, min_quality, min_similarity, matcher, attempts, originals, seed,
            workers, batch_size, address, overwrite, dry_run,
        )  # fmt: skip
        folder = run(request, lambda line: typer.echo(line))
        if not dry_run:
            typer.echo(f"\nwritten to {folder}; look at it with: legan data show {out}")
