"""Ratings as a plain table, in any of three forms, brought to one: a row per image with mean and standard deviation.

    image, mean, std                 (or sd) labels, as somebody else computed them
    image, rater_1, rater_2, …       a column per rater, blank where there is no score
    image, rater, score              a row per score

Each has a column ``source`` (which method made the image) and may have ``split`` (train, val, test) and ``subject``; the last
form repeats them with every score. Labels count where a table has scores as well. Scores run from 0 to 10. Functions return what
they found together with all problems, so that these are told at once.
"""

import re
from collections.abc import Sequence
from typing import Literal

import pandas as pd

from legan.platform.data.dataset import SPLITS
from legan.platform.data.labels.splits import split_by_subject
from legan.platform.data.plain_table import cell_text, lacking
from legan.platform.errors import DataError, Problem, one_line

Deviation = Literal["population", "sample"]

TOP = 10
LARGEST_STD = 7.08
"""Two scores, 0 and 10, have the sample standard deviation 7.07; the population's is at most 5."""
LEAST_SCORES = 2
"""Fewer scores have no standard deviation."""

_TOLD = 10
NO_ROWS = Problem("", "it has no rows")
_RATER = re.compile(r"rater_\d+")


def is_rater(column: object) -> bool:
    """Whether a column is called rater_1, rater_2, …."""
    return _RATER.fullmatch(str(column)) is not None


def long_scores(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """The scores of a table of the second or third form: columns row (from 1), image, rater, score; blank ones are left out."""
    row = pd.Series(range(1, len(table) + 1), index=table.index)
    image = table["image"].map(cell_text)

    if {"rater", "score"} <= set(table.columns):
        cells = {"rater": table["rater"].map(cell_text), "given": table["score"].map(cell_text)}
        long = pd.DataFrame({"row": row, "image": image, **cells})
    else:
        parts = [
            pd.DataFrame({"row": row, "image": image, "rater": str(column), "given": table[column].map(cell_text)})
            for column in table.columns
            if is_rater(column)
        ]
        long = pd.concat(parts).sort_values("row", kind="stable")

    long = long[long["given"] != ""].reset_index(drop=True)
    long["score"] = pd.to_numeric(long["given"], errors="coerce")

    wrong = long[~long["score"].between(0, TOP)]
    problems = [
        _in_row(number, f"the score of {name or 'nobody'} is {given}, not a number from 0 to {TOP}")
        for number, name, given in zip(wrong["row"], wrong["rater"], wrong["given"], strict=True)
    ]
    problems += [_in_row(number, "it has a score, but names no rater") for number in long.loc[long["rater"] == "", "row"]]
    again = long[long.duplicated(["image", "rater"])]
    problems += [
        _in_row(number, f"{image} has a score by {rater} already")
        for number, image, rater in zip(again["row"], again["image"], again["rater"], strict=True)
    ]

    return long.drop(columns="given"), problems


def labels_of(scores: pd.DataFrame, deviation: Deviation = "population") -> pd.DataFrame:
    """Mean (µ), standard deviation (σ) and number of scores per image, in the order of the images' first scores.

    Columns image, mean, std, scores. The paper says "standard deviation" only; ``population`` divides by n, ``sample`` by n - 1.
    """
    grouped = scores.groupby("image", sort=False)["score"]
    spread = grouped.std(ddof=0 if deviation == "population" else 1)
    return pd.DataFrame({"mean": grouped.mean(), "std": spread, "scores": grouped.size()}).reset_index()


def normalise_table(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """A row per image: row (its first in ``table``, from 1), image, mean, std, source, split; and what is wrong with the table.

    A table without splits gets some: 80/10/10 by subject where there is such a column, else by image. Rows with
    problems may be in the result.
    """
    problems = _missing(table)
    if table.empty:
        problems.append(NO_ROWS)
    if problems:
        return pd.DataFrame(), problems

    spread = next((column for column in ("std", "sd") if column in table), None)
    table = table.assign(row=range(1, len(table) + 1), image=table["image"].map(cell_text))
    unnamed = table.loc[table["image"] == "", "row"]
    problems += [_in_row(number, "it names no image") for number in unnamed]

    if "mean" in table and spread is not None:
        again = table[table["image"].duplicated() & (table["image"] != "")]
        problems += [_in_row(row, f"it names {image} once more") for row, image in zip(again["row"], again["image"], strict=True)]
        labelled = table.assign(std=table[spread])
        problems += label_problems(labelled)
        labelled = labelled.assign(**{name: pd.to_numeric(labelled[name], errors="coerce") for name in ("mean", "std")})
    else:
        scores, wrong = long_scores(table)
        problems += wrong
        labelled, few = _labelled(table, scores)
        problems += few

    known = [column for column in ("row", "image", "mean", "std", "source", "split", "subject") if column in labelled]
    labelled = labelled[known].reset_index(drop=True)
    labelled["source"] = labelled["source"].map(cell_text)
    return _with_split(labelled, problems), problems


def label_problems(table: pd.DataFrame) -> list[Problem]:
    """A problem for each mean and std that is no number in its range."""
    problems: list[Problem] = []
    for column, top in (("mean", float(TOP)), ("std", LARGEST_STD)):
        values = pd.to_numeric(table[column], errors="coerce")
        problems += [
            _in_row(number, f"{column} is {cell_text(cell) or 'missing'}, not a number from 0 to {top:g}")
            for number, cell, good in zip(range(1, len(table) + 1), table[column], values.between(0, top), strict=True)
            if not good
        ]
    return problems


def split_problems(table: pd.DataFrame) -> list[Problem]:
    """A problem for each split that is none of train, val and test."""
    unknown = sorted({cell_text(split) for split in table["split"]} - set(SPLITS))
    return [Problem("split", f"{name!r} is not one of {', '.join(SPLITS)}") for name in unknown]


def told(problems: Sequence[Problem]) -> str:
    """The first ten problems as a part of a sentence, and how many more there are."""
    more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
    return "; ".join(map(str, problems[:_TOLD])) + more


def _in_row(number: int, message: str) -> Problem:
    return Problem(f"row {number}", message)


def _missing(table: pd.DataFrame) -> list[Problem]:
    problems = lacking(table, ("image", "source"))
    labels = "mean" in table and ("std" in table or "sd" in table)
    scores = {"rater", "score"} <= set(table.columns) or any(is_rater(column) for column in table.columns)
    if not labels and not scores:
        problems.append(Problem("", "it has neither mean and std (or sd), nor rater_1, rater_2, …, nor rater and score"))
    return problems


def _labelled(table: pd.DataFrame, scores: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """A row per image of ``table``, labelled with its scores, and what speaks against that."""
    problems: list[Problem] = []
    known = [column for column in ("source", "split", "subject") if column in table]
    facts = table.assign(**{column: table[column].map(cell_text) for column in known})
    for column in known:
        several = facts.groupby("image", sort=False)[column].nunique()
        problems += [Problem(str(image), f"it has more than one {column}") for image in several.index[several > 1] if image]
    images = facts[facts["image"] != ""].drop_duplicates("image").drop(columns=["mean", "std", "scores"], errors="ignore")
    labelled = images.merge(labels_of(scores), on="image", how="left")
    few = labelled[~(labelled["scores"] >= LEAST_SCORES)]
    counts = few["scores"].fillna(0).astype(int)
    problems += [
        _in_row(row, f"{image} has {'1 score' if count == 1 else 'no score'}, and a standard deviation needs {LEAST_SCORES}")
        for row, image, count in zip(few["row"], few["image"], counts, strict=True)
    ]
    return labelled, problems


def _with_split(table: pd.DataFrame, problems: list[Problem]) -> pd.DataFrame:
    """``table`` with the split it has or a made one; ``problems`` grows."""
    owner = table["image"]
    if "subject" in table:
        subject = table["subject"].map(cell_text)
        owner = subject.where(subject != "", owner)  # nobody known: a person of its own
    if "split" in table:
        table = table.assign(split=table["split"].map(cell_text))
        problems += split_problems(table)
        if "subject" in table:
            torn = table.groupby(owner)["split"].nunique()
            problems += [Problem(f"subject {name}", "it is in more than one split") for name in torn.index[torn > 1]]
        return table
    try:
        splits = split_by_subject(owner, val_share=0.1, test_share=0.1)
    except DataError as error:
        problems.append(Problem("", one_line(error)))
        return table.assign(split="train")
    return table.assign(split=owner.map(splits))
