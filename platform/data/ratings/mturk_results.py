"""What comes back of a batch of Mechanical Turk: workers' scores of a study's images, and how they passed its attention checks.

A file of results has a row per assignment: HITId, AssignmentId, WorkerId, AssignmentStatus, WorkTimeInSeconds, …, the columns
of input.csv as Input.image_1, …, and the answers. These stand in Answer.score_1, …, in columns such as Answer.score_1.7 that are
true or false, or all together as JSON in Answer.taskAnswers, depending on the project's form.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pandas as pd

from legan.platform.data.plain_table import TEXT_SUFFIXES, cell_text, read_plain_table
from legan.platform.data.ratings.mturk import FOLDER, KEY
from legan.platform.data.ratings.table import TOP
from legan.platform.errors import DataError, Problem, counted, first_line

NEEDED = {"HITId", "AssignmentId", "WorkerId"}
WORKERS = "workers.csv"
NATURAL_FROM = 5.0
MOST_APART, LEAST_NATURAL = 2.0, 0.75
"""A worker fails whose two scores of one image are further apart in the mean, or who finds fewer of the real faces natural."""


class TurkResults(NamedTuple):
    """Scores (columns image, rater, score), all problems, what was left out, and a row per worker (see ``worker_table``)."""

    scores: pd.DataFrame
    problems: list[Problem]
    notes: list[str]
    workers: pd.DataFrame


def is_results(file: Path) -> bool:
    """Whether a file holds results of Mechanical Turk, by its columns."""
    return file.suffix.lower() in TEXT_SUFFIXES and set(read_plain_table(file).columns) >= NEEDED


def read_results(files: Sequence[Path], study: Path, *, attentive: bool = False) -> TurkResults:
    """The scores of all files of results together; with ``attentive`` without those of workers who fail the checks.

    Assignments that were rejected, or that an earlier row has already, are left out. Of a worker's several scores of one image
    the first counts, and a ``repeat`` only checks. Raises DataError where the study has no key.
    """
    key = _read_key(study)
    rows, problems, notes, seen = [], list[Problem](), list[str](), set[str]()
    rejected = again = missing = 0
    for file in files:
        for number, row in enumerate(read_plain_table(file).to_dict("records"), start=1):
            assignment = cell_text(row["AssignmentId"])
            if assignment in seen:
                again += 1
            elif cell_text(row.get("AssignmentStatus", "")) == "Rejected":
                rejected += 1
            else:
                seen.add(assignment)
                answers = _answers(row)
                for position, name in _shown(row):
                    place = f"{file.name}, row {number}"
                    given = answers.get(position, "")
                    if name not in key:
                        problems.append(Problem(place, f"{name} is none of the images of {study / FOLDER}"))
                    elif given == "":
                        missing += 1
                    elif not _is_score(given):
                        problems.append(Problem(place, f"the score of image {position} is {given}, not a number from 0 to {TOP}"))
                    else:
                        rows.append((assignment, cell_text(row["WorkerId"]), *key[name], float(given), _seconds(row)))
    for count, (one, several) in (
        (rejected, ("assignment was rejected and is", "assignments were rejected and are")),
        (again, ("assignment is there twice and once", "assignments are there twice and once")),
        (missing, ("image has no answer and is", "images have no answer and are")),
    ):
        if count:
            notes.append(f"Mechanical Turk: {counted(count, one, several)} left out")

    given_scores = pd.DataFrame(rows, columns=["assignment", "rater", "image", "kind", "score", "seconds"])
    workers = worker_table(given_scores)
    rated = given_scores[given_scores["kind"] == "rated"].drop_duplicates(["image", "rater"])
    if attentive:
        failing = workers.loc[workers["checks"] == "failed", "worker"]
        rated = rated[~rated["rater"].isin(failing)]
        if len(failing):
            notes.append(
                f"Mechanical Turk: {counted(len(failing), 'worker')} failed the attention checks, and their scores are left out"
            )
    return TurkResults(rated[["image", "rater", "score"]].reset_index(drop=True), problems, notes, workers)


def worker_table(given: pd.DataFrame) -> pd.DataFrame:
    """A row per worker of ``given`` (a row per answer: assignment, rater, image, kind, score, seconds), who failed first.

    Columns: worker, assignments, images, repeats, apart (mean distance of the two scores of a repeated image), real, natural
    (share of real faces that got 5 or more), seconds (median of an image), mean, sd, checks (passed, failed or none).
    """
    rows = []
    for worker, own in given.groupby("rater", sort=True):
        rated, real = own[own["kind"] == "rated"], own[own["kind"] == "real"]
        first = rated.set_index(["assignment", "image"])["score"]
        again = own[own["kind"] == "repeat"].set_index(["assignment", "image"])["score"]
        apart = (again - first[~first.index.duplicated()]).dropna().abs()
        natural = (real["score"] >= NATURAL_FROM).mean()
        failed = (len(apart) and apart.mean() > MOST_APART) or (len(real) and natural < LEAST_NATURAL)
        pages = own.groupby("assignment").agg(seconds=("seconds", "first"), images=("score", "size"))
        rows.append(
            {
                "worker": worker,
                "assignments": len(pages),
                "images": len(rated),
                "repeats": len(apart),
                "apart": apart.mean(),
                "real": len(real),
                "natural": natural,
                "seconds": (pages["seconds"] / pages["images"]).median(),
                "mean": rated["score"].mean(),
                "sd": rated["score"].std(ddof=0),
                "checks": "failed" if failed else "passed" if len(apart) or len(real) else "none",
            }
        )
    columns = ["worker", "assignments", "images", "repeats", "apart", "real", "natural", "seconds", "mean", "sd", "checks"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["checks", "worker"], kind="stable", ignore_index=True)


def _read_key(study: Path) -> dict[str, tuple[str, str]]:
    """Image and kind of each file that was shown."""
    file = study / FOLDER / KEY
    if not file.is_file():
        raise DataError(
            f"{study} has no {FOLDER}/{KEY}, which says what workers saw; keep the one of `legan ratings mturk` there."
        )
    try:
        table = read_plain_table(file)[["file", "image", "kind"]]
    except KeyError as error:
        raise DataError(f"{file} is damaged ({first_line(error)}); restore it.") from error
    return {str(row.file): (str(row.image), str(row.kind)) for row in table.itertuples()}


def _shown(row: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """Position and file's name of each image of an assignment."""
    for column, value in row.items():
        start, _, position = str(column).partition("Input.image_")
        if not start and position.isdigit() and cell_text(value):
            yield position, unquote(urlsplit(cell_text(value)).path).rpartition("/")[2]


def _answers(row: Mapping[Any, Any]) -> dict[str, str]:
    """What was answered, as text, by position."""
    found: dict[str, str] = {}
    for name, value in _fields(row):
        start, _, rest = name.partition("score_")
        position, _, option = rest.partition(".")
        if start or not position.isdigit() or value == "":
            continue
        if not option:
            found[position] = value
        elif value.lower() in ("true", "on", option):
            found[position] = option
    return found


def _fields(row: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for column, value in row.items():
        text = cell_text(value)
        if str(column) == "Answer.taskAnswers" and text:
            yield from _of_json(text)
        elif str(column).startswith("Answer."):
            yield str(column).removeprefix("Answer."), text


def _of_json(text: str) -> Iterator[tuple[str, str]]:
    """The fields of a form's JSON, such as ``[{"score_1": "7", "score_2": {"3": true}}]``."""
    try:
        forms = json.loads(text)
    except ValueError:
        return
    for form in forms if isinstance(forms, list) else [forms]:
        for name, value in form.items() if isinstance(form, dict) else ():
            if isinstance(value, dict):
                yield from ((f"{name}.{option}", str(on)) for option, on in value.items())
            else:
                yield str(name), "" if value is None else str(value)


def _is_score(text: str) -> bool:
    try:
        return 0 <= float(text) <= TOP
    except ValueError:
        return False


def _seconds(row: Mapping[Any, Any]) -> float:
    try:
        return float(cell_text(row.get("WorkTimeInSeconds", "")))
    except ValueError:
        return float("nan")
