"""From scores that people gave to a study's images to a ratings folder that Q is trained on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from legan.platform.data.dataset import SPLITS
from legan.platform.data.image import read_image
from legan.platform.data.labels.splits import check_shares, split_people
from legan.platform.data.plain_table import read_plain_table
from legan.platform.data.ratings.batches import ASSIGNMENTS
from legan.platform.data.ratings.batches import FILE as STUDY_FILE
from legan.platform.data.ratings.batches import FORMAT as STUDY_FORMAT
from legan.platform.data.ratings.label_studio import ReadScores, is_export, read_scores
from legan.platform.data.ratings.mturk import FOLDER
from legan.platform.data.ratings.mturk_results import WORKERS, is_results, read_results
from legan.platform.data.ratings.ratings import FILE, FORMAT, Ratings, read_ratings, write_ratings
from legan.platform.data.ratings.table import LEAST_SCORES, Deviation, is_rater, labels_of, long_scores, told
from legan.platform.errors import DataError, Problem, counted, first_line
from legan.platform.files import refuse_existing, write_whole

WEB_STUDY = "study.sqlite"
"""What a folder of `legan study create` holds."""


@dataclass(frozen=True)
class Collected:
    """What came of a study: its ratings and, per batch, images, complete (as many scores as raters), partial, left_out.

    ``notes`` say what of the files with scores is no score. ``workers`` are those of Mechanical Turk (mturk_results.py), in the
    study's ``mturk/workers.csv`` too; empty where there are none.
    """

    ratings: Ratings
    batches: pd.DataFrame
    notes: tuple[str, ...] = ()
    workers: pd.DataFrame = field(default_factory=pd.DataFrame)


def collect(
    study: Path,
    scores: Sequence[Path],
    out: Path,
    *,
    deviation: Deviation = "population",
    least: int = LEAST_SCORES,
    attentive: bool = False,
    seed: int = 0,
    overwrite: bool = False,
) -> Collected:
    """Label a study's images with mean and standard deviation of their scores, as a ratings folder.

    The split is 80/10/10 by subject, stratified by source.

    ``scores`` are CSV or Parquet files with image, rater, score (assignments.csv filled in) or image, rater_1, …, exports of
    Label Studio (label_studio.py), or results of Mechanical Turk (mturk_results.py): of these, with ``attentive``, without the
    workers who fail the attention checks. A blank score has not been given yet. Images with fewer than ``least`` scores are left
    out.
    Raises DataError with everything that is wrong at once.
    """
    refuse_existing(out, FILE, overwrite=overwrite)
    record, images = _read_study(study)
    given, notes, workers = _read_scores(scores, study, set(images["image"]), attentive)

    labels = labels_of(given, deviation)
    rated = images.merge(labels, on="image", how="left").fillna({"scores": 0})
    batches = _per_batch(rated, int(record["raters"]), least)
    used = rated[rated["scores"] >= least].reset_index(drop=True)
    if used.empty:
        raise DataError(f"no image of {study} has {least} scores yet; collect again when more are given, or lower --min-scores.")

    people = used[["subject", "source"]].astype(str)
    check_shares(people["subject"].nunique(), val_share=0.1, test_share=0.1)
    splits = split_people(people, val_share=0.1, test_share=0.1, seed=seed)
    table = _table(used, given, splits)
    about = {
        "format": FORMAT,
        "simulated": False,
        "masked": bool(record["masked"]),
        "note": f"Scores of {counted(given['rater'].nunique(), 'rater')}.",
        "std": f"{deviation} standard deviation of an image's scores",
        "seed": seed,
        "images": len(used),
        "image_size": int(record["image_size"]),
        "dataset": record["dataset"],
        "dataset_hash": record["dataset_hash"],
        "splits": {split: int((table["split"] == split).sum()) for split in SPLITS},
    }
    pixels = np.stack([read_image(study / name) for name in used["image"]])
    write_ratings(out, about, table, pixels, overwrite=overwrite)
    if len(workers):
        write_whole(study / FOLDER / WORKERS, workers.to_csv(index=False))
    return Collected(read_ratings(out), batches, tuple(notes), workers)


def _table(used: pd.DataFrame, given: pd.DataFrame, splits: Mapping[str, str]) -> pd.DataFrame:
    """The rows of ratings.parquet: each image's label and split, and its scores in the order of the raters' names."""
    ordered = given.sort_values("rater", kind="stable")
    ordered = ordered.assign(place="rater_" + (ordered.groupby("image").cumcount() + 1).astype(str))
    by_rater = ordered.pivot_table(index="image", columns="place", values="score").reindex(used["image"])
    return pd.DataFrame(
        {
            "image": np.arange(len(used)),
            "name": used["image"],
            "mean": used["mean"].astype(np.float32),
            "std": used["std"].astype(np.float32),
            "scores": used["scores"].astype(np.int64),
            "source": used["source"].astype(str),
            "split": used["subject"].astype(str).map(splits),
            **{str(column): by_rater[column].to_numpy() for column in by_rater},
            **{column: used[column] for column in ("subject", "batch", "row", "side", "distance", "group") if column in used},
        }
    )


def _read_study(study: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    if (study / WEB_STUDY).is_file():
        raise DataError(
            f"{study} is a web study, whose answers `legan study report` writes; name the batches that it was made of, or train "
            "with its report's ratings.csv."
        )
    if not (study / STUDY_FILE).is_file():
        raise DataError(f"{study} is no study (it has no {STUDY_FILE}); make one with `legan ratings batches`.")
    try:
        record = json.loads((study / STUDY_FILE).read_text(encoding="utf-8"))
        images = pd.read_csv(study / "images.csv", dtype={"image": str, "source": str, "subject": str}, keep_default_na=False)
        if record["format"] != STUDY_FORMAT:
            raise DataError(f"{study} has study format {record['format']}, this version reads {STUDY_FORMAT}; make it anew.")
        images[["image", "batch", "source", "subject"]]
        [record[key] for key in ("masked", "image_size", "raters", "dataset", "dataset_hash")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the study {study} is damaged ({first_line(error)}); make it anew.") from error
    return record, images


def _read_seats(study: Path) -> dict[str, set[str]]:
    """The images that each seat was given."""
    try:
        table = read_plain_table(study / ASSIGNMENTS)[["rater", "image"]]
    except KeyError as error:
        raise DataError(f"the study {study} is damaged ({ASSIGNMENTS} lacks {first_line(error)}); make it anew.") from error
    return {str(rater): set(own) for rater, own in table.groupby("rater")["image"]}


def _read_scores(
    files: Sequence[Path], study: Path, known: set[str], attentive: bool
) -> tuple[pd.DataFrame, list[str], pd.DataFrame]:
    """Columns image, rater, score of all files together, notes, and Mechanical Turk's workers; DataError with all that is wrong.

    A rater who is one of the study's seats can have scored that seat's images only; others may score any that are ``known``.
    """
    parts: list[pd.DataFrame] = []
    problems: list[Problem] = []
    notes: list[str] = []
    workers = pd.DataFrame()
    turk = [file for file in files if is_results(file)]
    seats = _read_seats(study)
    for file in files:
        if file in turk:
            continue
        given, wrong, said = read_scores(file, known) if is_export(file) else _read_table(file, known, seats)
        problems += [problem._replace(file=file.name) for problem in wrong]
        notes += said
        parts.append(given)
    if turk:
        given, wrong, said, workers = read_results(turk, study, attentive=attentive)
        problems += wrong
        notes += said
        parts.append(given)
    elif attentive:
        problems.append(Problem("--attentive", "only results of Mechanical Turk have attention checks; leave it out"))

    scores = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["image", "rater", "score"])
    again = scores[scores.duplicated(["image", "rater"])]
    if len(again) and not problems:
        problems.append(
            Problem("", f"{counted(len(again), 'score')} are in more than one file, the first for {again['image'].iloc[0]}")
        )

    if problems:
        raise DataError(f"the scores cannot be used: {told(problems)}.")
    if scores.empty:
        why = "; ".join(notes) if turk and notes else "fill in the column score"
        raise DataError(f"there is no score in {', '.join(file.name for file in files)} yet; {why}.")
    return scores, notes, workers


def _read_table(file: Path, known: set[str], seats: Mapping[str, set[str]]) -> ReadScores:
    """The scores of a plain table."""
    table = read_plain_table(file)
    if "image" not in table or not ({"rater", "score"} <= set(table.columns) or any(map(is_rater, table.columns))):
        there = ", ".join(map(str, table.columns))
        message = f"it has no columns image, rater and score, nor image, rater_1, rater_2, …; its columns are: {there}"
        return ReadScores(pd.DataFrame(columns=["image", "rater", "score"]), [Problem("", message)], [])
    given, problems = long_scores(table)

    foreign = given[~given["image"].isin(known)].drop_duplicates("image")
    problems += [
        Problem(f"row {row}", f"{image} is not an image of the study")
        for row, image in zip(foreign["row"], foreign["image"], strict=True)
    ]
    problems += [
        Problem(f"row {row}", f"{image} was not given to {rater}")
        for row, image, rater in zip(given["row"], given["image"], given["rater"], strict=True)
        if image in known and image not in seats.get(rater, known)
    ]
    return ReadScores(given, problems, [])


def _per_batch(rated: pd.DataFrame, raters: int, least: int) -> pd.DataFrame:
    count = rated["scores"]
    flags = rated.assign(complete=count >= raters, partial=(count >= least) & (count < raters), left_out=count < least)
    counts = flags.groupby("batch")[["complete", "partial", "left_out"]].sum().astype(int)
    counts.insert(0, "images", rated.groupby("batch").size())
    return counts.reset_index()
