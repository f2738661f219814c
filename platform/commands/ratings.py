"""``legan ratings``: from synthetic faces to rating batches, from scores to ratings, and how Q compares with them (section 3)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from legan.platform.commands.options import (
    COUNT,
    PERSON_HELP,
    SVM,
    DatasetArgument,
    Out,
    Overwrite,
    Quality,
    RatingsArgument,
    Seed,
    out_option,
    path,
    path_argument,
    told,
)
from legan.platform.errors import counted

if TYPE_CHECKING:
    import pandas as pd

StudyOfBatches = Annotated[Path, path_argument(metavar="STUDY", help="Study folder of `legan ratings batches`.")]

ratings = typer.Typer(
    help="Have synthetic faces rated by people, and compare Q with what they say.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@ratings.command()
def svm(
    rated: RatingsArgument,
    features: Annotated[Path, path("--features", help=f"Face features: {PERSON_HELP}.")],
    out: Out,
    masked: Annotated[
        bool, typer.Option("--masked", help="The images of a table are black outside the face; a ratings folder says so itself.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Stage I: fit a linear SVM on face features that tells natural (5-10) from unnatural (0-5) images."""
    from legan.platform.evaluation.ratings.stages import make_svm

    about = make_svm(rated, features, out, masked=masked, overwrite=overwrite).about
    typer.echo(
        f"fitted on {'SIMULATED ' if about['simulated'] else ''}ratings of "
        f"{counted(about['images']['train'], 'image')}, C = {about['C']:g}"
    )
    for split, accuracy in about["balanced_accuracy"].items():
        if accuracy is not None:
            natural, images = about["natural"][split], about["images"][split]
            typer.echo(f"{split:>5}: {accuracy:.3f} balanced accuracy; {natural} natural, {images - natural} unnatural")
    typer.echo(f"written to {out}; use it with: legan ratings batches DATASET --svm {out}")


@ratings.command()
def sides(
    dataset: DatasetArgument,
    svm: Annotated[Path, SVM],
    out: Annotated[Path, out_option("CSV to write: image, side, distance.")],
) -> None:
    """Say of every face on which side of the SVM it lies, and how far from the border."""
    from legan.platform.evaluation.ratings.stages import write_sides

    counts = write_sides(dataset, svm, out)["side"].value_counts()
    typer.echo(f"{counts.get('natural', 0)} natural and {counts.get('unnatural', 0)} unnatural faces: {out}")


@ratings.command()
def batches(
    dataset: DatasetArgument,
    out: Annotated[Path, out_option("Study folder to write.")],
    svm: Annotated[Path | None, SVM] = None,
    group: Annotated[str | None, typer.Option(help="Column to balance over, such as perceived gender.")] = None,
    groups: Annotated[
        Path | None,
        path("--groups", help="CSV or Parquet with image and the column of --group.", show_default="the data set's own"),
    ] = None,
    max_yaw: Annotated[
        float, typer.Option(min=0, max=180, help="Faces turned by more degrees are left out; 180 keeps all.")
    ] = 15.0,
    count: Annotated[int | None, told(COUNT, "all that balance allows")] = None,
    batches: Annotated[int, typer.Option(min=1, help="Batches the images are divided into.")] = 72,
    raters: Annotated[int, typer.Option(min=1, max=100, help="Raters of each batch.")] = 3,
    whole: Annotated[bool, typer.Option("--whole", help="Don't mask what lies outside the hull: for stage I's seeds.")] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Stage II: choose, balance and mask faces, and divide them into batches for raters.

    With --svm, as many natural faces as unnatural ones are chosen.
    """
    from legan.platform.evaluation.ratings.stages import make_batches

    choice = make_batches(
        dataset, out, svm=svm, group=group, groups=groups, max_yaw=max_yaw, count=count, batches=batches, raters=raters,
        masked=not whole, seed=seed, overwrite=overwrite,
    )  # fmt: skip
    chosen, dropped = len(choice.rows), choice.dropped
    left_out = ", ".join(f"{number} {reason}" for reason, number in dropped.items())
    typer.echo(f"{chosen} of {counted(chosen + sum(dropped.values()), 'face')}; left out: {left_out}")
    for cell in choice.cells.itertuples():
        typer.echo(f"  {cell.side}, {cell.group}: {cell.chosen} of {cell.found}")
    typer.echo(
        f"{counted(batches, 'batch', 'batches')} × {counted(raters, 'rater')}, "
        f"{counted(chosen * raters, 'score')} to give: {out}\n"
        f"Fill in the column score of {out / 'assignments.csv'}, then: legan ratings collect {out} --scores … --out RATINGS"
    )


@ratings.command()
def mturk(
    study: StudyOfBatches,
    images_at: Annotated[
        str, typer.Option("--images-at", help="Where the images will lie, such as https://bucket.example.org/faces.")
    ],
    photographs: Annotated[
        Path | None,
        path(
            "--photographs",
            help="Data set of photographs: one on each page, which has to be rated as natural.",
            show_default="none",
        ),
    ] = None,
    per_page: Annotated[int, typer.Option("--per-page", min=2, max=50, help="Images of the study on each page.")] = 8,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write a study as a batch of Amazon Mechanical Turk: input.csv, layout.html, and the images, with attention checks."""
    from legan.platform.data.ratings.mturk import INPUT, LAYOUT, write_mturk

    made = write_mturk(study, images_at, photographs, per_page=per_page, seed=seed, overwrite=overwrite)
    kinds = made.key["kind"].value_counts()
    typer.echo(
        f"{counted(made.pages, 'page')} of {counted(made.images, 'image')}: {kinds['rated']} to rate, "
        f"{kinds['repeat']} repeated, {kinds.get('real', 0)} of real faces; written to {made.folder}"
    )
    typer.echo(
        f"Put {made.folder / 'images'} at {images_at}, make {LAYOUT} the design of a project, and publish a batch of {INPUT}.\n"
        f"Keep key.csv to yourself. Then: legan ratings collect {study} --scores Batch_…_batch_results.csv --out RATINGS"
    )


@ratings.command()
def collect(
    study: StudyOfBatches,
    scores: Annotated[
        list[Path],
        path(
            "--scores",
            help="CSV or Parquet with image, rater, score; an export of Label Studio; Mechanical Turk's results. Repeatable.",
        ),
    ],
    out: Annotated[Path, out_option("Ratings folder to write.")],
    std: Annotated[
        Literal["population", "sample"], typer.Option(help="Standard deviation: divided by n, or by n - 1.")
    ] = "population",
    min_scores: Annotated[int, typer.Option(min=2, help="Images with fewer scores are left out.")] = 2,
    attentive: Annotated[
        bool,
        typer.Option("--attentive", help="Leave out Mechanical Turk's workers who fail the attention checks."),
    ] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Turn raters' scores, all or those given so far, into labels: mean, standard deviation, 80/10/10."""
    from legan.platform.data.ratings.labels import collect as run
    from legan.platform.data.ratings.ratings import histogram

    done = run(
        study, scores, out, deviation=std, least=min_scores, attentive=attentive, seed=seed, overwrite=overwrite
    )  # fmt: skip
    for note in done.notes:
        typer.echo(note)
    if len(done.workers):
        _print_workers(done.workers)
    unfinished = done.batches[done.batches["complete"] < done.batches["images"]]
    total = done.batches.drop(columns="batch").sum()
    typer.echo(
        f"{len(done.ratings)} of {counted(total['images'], 'image')} are rated: {total['complete']} by all "
        f"their raters, {total['partial']} "
        f"by some; {total['left_out']} have fewer than {min_scores} scores and are left out"
    )
    for row in unfinished.head(10).itertuples():
        typer.echo(
            f"  batch {row.batch}: {row.complete} of {row.images} complete, {row.partial} partial, {row.left_out} left out"
        )
    if len(unfinished) > 10:
        typer.echo(f"  … and {len(unfinished) - 10} more unfinished batches")
    purpose = f"train Q with them: legan train quality --ratings {out}"
    stage_one = f"whole faces, for stage I: legan ratings svm {out} --features T --out SVM"
    typer.echo(f"{histogram(done.ratings.mean)}\nwritten to {out}; {purpose if done.ratings.masked else stage_one}")


@ratings.command()
def report(rated: RatingsArgument, quality: Quality, out: Out) -> None:
    """Compare Q with the raters: histogram, mean per source, correlation, share inside their margin (Figures 7-9)."""
    from legan.platform.evaluation.ratings.stages import compare

    done = compare(rated, quality, out)
    for row in done.splits.itertuples():
        typer.echo(
            f"{row.split:>5}: {row.images} images, Pearson {row.pearson:.3f}, Spearman {row.spearman:.3f}, "
            f"error {row.error:.2f}, {row.inside_margin:.0%} inside the raters' margin"
        )
        typer.echo(f"       always the mean rating: error {row.constant_error:.2f}, {row.constant_inside:.0%} inside")
    typer.echo(f"report: {out} (ratings.md, ratings.png)")
    if done.problem is not None:
        typer.echo(f"The numbers are in these files and not in MLflow: {done.problem}")
    else:
        typer.echo(f"Logged as eval/ratings/… to Q's MLflow run {done.run_id}.")


def _print_workers(workers: "pd.DataFrame") -> None:
    from rich.console import Console
    from rich.table import Table

    from legan.platform.data.ratings.mturk_results import LEAST_NATURAL, MOST_APART

    failed = int((workers["checks"] == "failed").sum())
    table = Table(title=f"{counted(len(workers), 'worker')}, of whom {failed} failed the attention checks")
    for name in ("worker", "images", "repeats", "apart", "real", "natural", "s/image", "checks"):
        table.add_column(name, justify="left" if name in ("worker", "checks") else "right")
    for row in workers.itertuples():
        shown = (f"{row.apart:.2f}", str(row.real), f"{row.natural:.0%}", f"{row.seconds:.1f}")
        cells = ["–" if "nan" in cell else cell for cell in shown]
        table.add_row(str(row.worker), str(row.images), str(row.repeats), *cells, str(row.checks))
    Console().print(table)
    typer.echo(
        f"A worker fails who scores repeated images more than {MOST_APART:g} apart in the mean, or finds fewer than "
        f"{LEAST_NATURAL:.0%} of the real faces natural (5 and more)."
    )


def mount(app: typer.Typer) -> None:
    """Add ``legan ratings`` to the command line."""
    app.add_typer(ratings, name="ratings")
