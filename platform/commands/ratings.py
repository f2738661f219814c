"""``legan ratings``: from synthetic faces to rating batches, from scores to ratings, and how Q compares with them (section 3)."""

from pathlib import Path
from typing import Annotated, Literal

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
        bool, typer.Option("--masked", help="The table's images are black outside the face; folders know.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Stage I: fit a linear SVM on face features that tells natural (5-10) from unnatural (0-5) images."""
    from legan.platform.data.ratings.ratings import read_ratings
    from legan.platform.device import choose_device
    from legan.platform.evaluation.ratings.naturalness import FILE, fit_naturalness, write_svm
    from legan.platform.files import refuse_existing
    from legan.platform.model import load_identity

    refuse_existing(out, FILE, overwrite=overwrite)
    network = load_identity(features)
    size = int(network.numbers["image_size"]) if "image_size" in network.numbers else None
    read = read_ratings(rated, size)
    fitted = fit_naturalness(read, network, masked=masked or bool(read.masked), device=choose_device())
    write_svm(out, fitted, overwrite=overwrite)
    about = fitted.about
    typer.echo(
        f"fitted on {'SIMULATED ' if read.simulated else ''}ratings of {about['images']['train']} images, C = {about['C']:g}"
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
    import pandas as pd

    from legan.platform.data.dataset import open_dataset
    from legan.platform.device import choose_device
    from legan.platform.errors import DataError
    from legan.platform.evaluation.ratings.naturalness import read_svm, side_names
    from legan.platform.files import unwritable, write_whole

    problem = f"{out} is a folder" if out.is_dir() else unwritable(out.absolute().parent)
    if problem is not None:
        raise DataError(f"{out} cannot be written: {problem}; choose another --out.")
    data = open_dataset(dataset)
    distance = read_svm(svm).rate(data, choose_device())
    table = pd.DataFrame({"image": data.faces["source_path"], "side": side_names(distance), "distance": distance})
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, table.to_csv(index_label="row"))
    counts = table["side"].value_counts()
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
    max_yaw: Annotated[float, typer.Option(min=0, max=180, help="Heads turned further are left out; 180: none.")] = 15.0,
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
    from legan.platform.data.dataset import open_dataset
    from legan.platform.data.ratings.batches import choose_faces, read_groups, refuse_replacing, write_study
    from legan.platform.device import choose_device
    from legan.platform.errors import ConfigError
    from legan.platform.evaluation.ratings.naturalness import read_svm, side_names

    if groups is not None and group is None:
        raise ConfigError([f"--groups {groups} needs --group, the name of its column to balance over"])
    refuse_replacing(out, overwrite=overwrite)
    data = open_dataset(dataset)
    fitted = read_svm(svm) if svm is not None else None
    grouped = read_groups(groups, group, data) if group is not None else None
    distance = fitted.rate(data, choose_device()) if fitted is not None else None
    side = side_names(distance) if distance is not None else None
    choice = choose_faces(data, side=side, group=grouped, max_yaw=max_yaw, count=count, seed=seed)
    about = {"max_yaw": max_yaw, "group": group, "svm": dict(fitted.about) if fitted is not None else None}
    write_study(
        data, out, choice, batches=batches, raters=raters, masked=not whole, distance=distance, side=side, group=grouped,
        seed=seed, overwrite=overwrite, about=about,
    )  # fmt: skip
    typer.echo(f"{len(choice.rows)} of {len(data)} faces; left out: {_listed(choice.dropped)}")
    for cell in choice.cells.itertuples():
        typer.echo(f"  {cell.side}, {cell.group}: {cell.chosen} of {cell.found}")
    typer.echo(
        f"{batches} batches × {raters} raters, {len(choice.rows) * raters} scores to give: {out}\n"
        f"Fill in the column score of {out / 'assignments.csv'}, then: legan ratings collect {out} --scores … --out RATINGS"
    )


@ratings.command()
def collect(
    study: Annotated[Path, path_argument(metavar="STUDY", help="Study folder of `legan ratings batches`.")],
    scores: Annotated[list[Path], path("--scores", help="CSV or Parquet with image, rater, score; repeatable.")],
    out: Annotated[Path, out_option("Ratings folder to write.")],
    std: Annotated[
        Literal["population", "sample"], typer.Option(help="Standard deviation: divided by n, or by n - 1.")
    ] = "population",
    min_scores: Annotated[int, typer.Option(min=2, help="Images with fewer scores are left out.")] = 2,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Turn raters' scores, all or those given so far, into labels: mean, standard deviation, 80/10/10."""
    from legan.platform.data.ratings.labels import collect as run
    from legan.platform.data.ratings.ratings import histogram

    done = run(study, scores, out, deviation=std, least=min_scores, seed=seed, overwrite=overwrite)
    unfinished = done.batches[done.batches["complete"] < done.batches["images"]]
    total = done.batches.drop(columns="batch").sum()
    typer.echo(
        f"{len(done.ratings)} of {total['images']} images are rated: {total['complete']} by all their raters, {total['partial']} "
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
def report(
    rated: RatingsArgument,
    quality: Quality,
    out: Out,
) -> None:
    """Compare Q with the raters: histogram, mean per source, correlation, share inside their margin (Figures 7-9)."""
    from legan.platform.data.ratings.ratings import mask_problem, read_ratings
    from legan.platform.device import choose_device
    from legan.platform.errors import DataError, TrackingError
    from legan.platform.evaluation.ratings.report import expect_quality, predict, split_table, tracked_metrics, write_report
    from legan.platform.files import unwritable
    from legan.platform.model import load_network, network_folder
    from legan.platform.tracking.mlflow_access import log_to_run

    problem = unwritable(out)
    if problem is not None:
        raise DataError(f"{out} cannot be written: {problem}; choose another --out.")
    network = load_network(network_folder(quality))
    model = expect_quality(network)
    read = read_ratings(rated, model.image_size)
    whole = mask_problem(read)
    if whole is not None:
        raise DataError(f"Q cannot be compared with its raters: {whole}.")
    predictions = predict(read, model, choose_device())
    run_id = str(network.info["run_id"]) if "run_id" in network.info else ""
    about = {
        "simulated": read.simulated,
        "ratings": rated.name,
        "images": len(read),
        "quality_model": quality.name,
        "MLflow_run": run_id or "none",
    }
    files = write_report(out, predictions, about)
    splits = split_table(predictions)
    for row in splits.itertuples():
        typer.echo(
            f"{row.split:>5}: {row.images} images, Pearson {row.pearson:.3f}, Spearman {row.spearman:.3f}, "
            f"error {row.error:.2f}, {row.inside_margin:.0%} inside the raters' margin"
        )
        typer.echo(f"       always the mean rating: error {row.constant_error:.2f}, {row.constant_inside:.0%} inside")
    typer.echo(f"report: {out} (ratings.md, ratings.png)")
    if run_id:
        try:
            log_to_run(run_id, tracked_metrics(splits), files)
        except TrackingError as error:
            typer.echo(f"The numbers are in these files and not in MLflow: {error}")
        else:
            typer.echo(f"Logged as eval/ratings/… to Q's MLflow run {run_id}.")


def mount(app: typer.Typer) -> None:
    """Add ``legan ratings`` to the command line."""
    app.add_typer(ratings, name="ratings")


def _listed(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items())
