"""What ``legan ratings`` does at each stage: check where the result goes, read everything, compute, write."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from legan.platform.data.dataset import open_dataset
from legan.platform.data.ratings.batches import ChosenFaces, choose_faces, read_groups, refuse_replacing, write_study
from legan.platform.data.ratings.ratings import mask_problem, read_ratings
from legan.platform.device import command_device
from legan.platform.errors import ConfigError, DataError, Problem, TrackingError
from legan.platform.evaluation.ratings.naturalness import (
    FILE,
    NaturalnessSVM,
    fit_naturalness,
    read_svm,
    side_names,
    write_svm,
)
from legan.platform.evaluation.ratings.report import expect_quality, predict, split_table, tracked_metrics, write_report
from legan.platform.files import refuse_existing, unwritable, write_whole
from legan.platform.model import QUALITY, load_identity, load_network, network_folder
from legan.platform.tracking.mlflow_access import run_of
from legan.platform.tracking.places import StoredRun
from legan.platform.tracking.tracker import log_to_run


class Comparison(NamedTuple):
    """How Q and its raters agree, by split, and to which MLflow run that was logged; ``problem`` says why it was not."""

    splits: pd.DataFrame
    run_id: str | None
    problem: str | None


def make_svm(rated: Path, features: Path, out: Path, *, masked: bool, overwrite: bool) -> NaturalnessSVM:
    """Fit the SVM of stage I on ratings and write its folder."""
    refuse_existing(out, FILE, overwrite=overwrite)
    network = load_identity(features)
    size = int(network.numbers["image_size"]) if "image_size" in network.numbers else None
    ratings = read_ratings(rated, size)

    fitted = fit_naturalness(ratings, network, masked=masked or bool(ratings.masked), device=command_device())
    write_svm(out, fitted, overwrite=overwrite)
    return fitted


def write_sides(dataset: Path, svm: Path, out: Path) -> pd.DataFrame:
    """Write the side and the distance of every face of a data set as CSV, and give the table."""
    problem = f"{out} is a folder" if out.is_dir() else unwritable(out.absolute().parent)
    if problem is not None:
        raise DataError(f"{out} cannot be written: {problem}; choose another --out.")
    data = open_dataset(dataset)
    distance = read_svm(svm).rate(data, command_device())

    table = pd.DataFrame({"image": data.faces["source_path"], "side": side_names(distance), "distance": distance})
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, table.to_csv(index_label="row"))
    return table


def make_batches(
    dataset: Path,
    out: Path,
    *,
    svm: Path | None,
    group: str | None,
    groups: Path | None,
    max_yaw: float,
    count: int | None,
    batches: int,
    raters: int,
    masked: bool,
    seed: int,
    overwrite: bool,
) -> ChosenFaces:
    """Choose faces and write them as the batches of a study; balanced over the SVM's sides and ``group``, where given."""
    if groups is not None and group is None:
        raise ConfigError([Problem("--groups", f"{groups} needs --group, the name of its column to balance over")])
    refuse_replacing(out, overwrite=overwrite)
    data = open_dataset(dataset)
    fitted = read_svm(svm) if svm is not None else None
    grouped = read_groups(groups, group, data) if group is not None else None

    distance = fitted.rate(data, command_device()) if fitted is not None else None
    side = side_names(distance) if distance is not None else None
    choice = choose_faces(data, side=side, group=grouped, max_yaw=max_yaw, count=count, seed=seed)

    about = {"max_yaw": max_yaw, "group": group, "svm": dict(fitted.about) if fitted is not None else None}
    write_study(
        data, out, choice, batches=batches, raters=raters, masked=masked, distance=distance, side=side, group=grouped,
        seed=seed, overwrite=overwrite, about=about,
    )  # fmt: skip
    return choice


def compare(rated: Path, quality: Path, out: Path) -> Comparison:
    """Write the report on Q and its raters, and log it to the MLflow run that Q comes from."""
    problem = unwritable(out)
    if problem is not None:
        raise DataError(f"{out} cannot be written: {problem}; choose another --out.")
    folder = network_folder(quality)
    network = load_network(folder, *QUALITY)
    model = expect_quality(network)
    ratings = read_ratings(rated, model.image_size)
    whole = mask_problem(ratings)
    if whole is not None:
        raise DataError(f"Q cannot be compared with its raters: {whole}.")

    predictions = predict(ratings, model, command_device())
    run = run_of(quality, folder, network.info)
    about = {
        "simulated": ratings.simulated,
        "ratings": rated.name,
        "images": len(ratings),
        "quality_model": quality.name,
        "MLflow_run": run.run_id or "none",
    }
    files = write_report(out, predictions, about)
    splits = split_table(predictions)
    return Comparison(splits, *_logged(run, splits, files))


def _logged(run: StoredRun, splits: pd.DataFrame, files: list[Path]) -> tuple[str | None, str | None]:
    """The run that has the numbers now, else why none has them."""
    try:
        return log_to_run(run, tracked_metrics(splits), files), None
    except TrackingError as error:
        return None, str(error)
