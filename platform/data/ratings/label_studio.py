"""Scores that raters gave in Label Studio: its exports JSON, JSON-MIN, CSV and TSV.

A task has the annotations of several raters. What is no score is left out: annotations that a rater skipped or sent without a
score, drafts, and predictions. Where a rater has scored an image several times, in one task or in two tasks that show it, the
last score counts. A score is what a control of the kind Number, Rating or Choices holds, if it is a number.

An image is known by its file's name. Label Studio puts eight digits before the names of uploaded files.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pandas as pd

from legan.platform.data.plain_table import TEXT_SUFFIXES, cell_text, read_plain_table
from legan.platform.data.ratings.table import TOP
from legan.platform.errors import DataError, Problem, counted, first_line

SUFFIX = ".json"
KINDS = ("number", "rating", "choices")
SCORE = "score"
"""The control that counts where there are several with numbers."""
_ABOUT = {"annotation_id", "annotator", "created_at", "id", "lead_time", "updated_at"}
_UPLOADED = re.compile(r"[0-9a-f]{8}-")


class Annotation(NamedTuple):
    """What one rater did with one task.

    ``texts`` are what the task consists of, its image among them. ``numbers`` are what controls hold, by their names, where that
    is a number; none of an annotation that was skipped.
    """

    number: str
    task: str
    rater: str
    at: str
    texts: tuple[str, ...]
    numbers: Mapping[str, float]


class ReadScores(NamedTuple):
    """Scores of a file: columns image, rater, score. ``notes`` say what was left out of it."""

    scores: pd.DataFrame
    problems: list[Problem]
    notes: list[str]


def is_export(file: Path) -> bool:
    """Whether a file is an export of Label Studio, by its name or its columns."""
    if file.suffix.lower() in TEXT_SUFFIXES:
        return {"annotation_id", "annotator"} <= set(read_plain_table(file).columns)
    return file.suffix.lower() == SUFFIX


def read_scores(file: Path, images: Collection[str]) -> ReadScores:
    """The scores of an export, of the ``images`` of a study; DataError for a file that is no export.

    >>> result = {"from_name": "q", "type": "number", "value": {"number": 7.5}}
    >>> annotations = [{"id": 5, "completed_by": 2, "result": [result]}]
    >>> task = {"id": 1, "data": {"image": "/data/upload/1/d99b3283-a.png"}, "annotations": annotations}
    >>> _ = Path("export.json").write_text(json.dumps([task]))
    >>> read_scores(Path("export.json"), ["images/a.png"]).scores.values.tolist()
    [['images/a.png', '2', 7.5]]
    """
    annotations = list({each.number: each for each in _annotations(file)}.values())
    names = {name.rpartition("/")[2]: name for name in images}
    control = _control(file, annotations)
    rows, problems, seen = [], list[Problem](), dict[tuple[str, str], str]()

    scored = sorted((each for each in annotations if control in each.numbers), key=lambda each: each.at)
    for each in scored:
        image = next((names[name] for text in each.texts for name in _file_names(text) if name in names), None)
        if image is None:
            problems.append(
                Problem(f"task {each.task}", f"it shows no image of the study ({', '.join(each.texts) or 'nothing'})")
            )
            continue
        score = each.numbers[control]
        if not 0 <= score <= TOP:
            problems.append(Problem(f"annotation {each.number}", f"its score {score:g} is not from 0 to {TOP}"))
        seen[image, each.rater] = each.number
        rows.append((each.number, image, each.rater, score))

    last = set(seen.values())
    kept = [row[1:] for row in rows if row[0] in last]
    left_out = {
        ("annotation without a score is", "annotations without a score are"): len(annotations) - len(scored),
        ("earlier score of an image is", "earlier scores of an image are"): len(rows) - len(kept),
    }
    notes = [f"{file.name}: {counted(count, *words)} left out" for words, count in left_out.items() if count]
    return ReadScores(pd.DataFrame(kept, columns=["image", "rater", "score"]), list(dict.fromkeys(problems)), notes)


def _annotations(file: Path) -> Iterator[Annotation]:
    if file.suffix.lower() in TEXT_SUFFIXES:
        rows: Any = read_plain_table(file).to_dict(orient="records")
    else:
        try:
            rows = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"the scores {file} cannot be read: {first_line(error)}.") from error
    rows = rows if isinstance(rows, list) else [rows]
    try:
        if any("annotation_id" in row for row in rows):
            yield from _of_rows(rows)
        else:
            for task in rows:
                yield from _of_task(task)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"the scores {file} are no export of Label Studio ({first_line(error)}); export them there as JSON or CSV."
        ) from error


def _of_task(task: Mapping[str, Any]) -> Iterator[Annotation]:
    """The annotations of a task of the form JSON; a file of the form that goes to a storage is one annotation, with its task."""
    if isinstance(task.get("task"), dict):
        task = {**task["task"], "annotations": [task]}
    texts = tuple(value for value in task["data"].values() if isinstance(value, str))
    for each in task["annotations"]:
        results = [] if each.get("was_cancelled") else each["result"]
        numbers = {result["from_name"]: _number(result["value"]) for result in results if result.get("type") in KINDS}
        found = {name: number for name, number in numbers.items() if number is not None}
        at = str(each.get("updated_at") or each.get("created_at") or "")
        yield Annotation(cell_text(each["id"]), cell_text(task["id"]), _rater(each.get("completed_by")), at, texts, found)


def _of_rows(rows: Collection[Mapping[str, Any]]) -> Iterator[Annotation]:
    """The annotations of the forms JSON-MIN, CSV and TSV, where data and controls are beside each other.

    A control of the kind Number or Rating is told from a number among the data by its form. Choices are not.
    """
    cells = [{name: _parsed(value) for name, value in row.items() if name not in _ABOUT} for row in rows]
    everything = [(name, value) for row in cells for name, value in row.items()]
    shaped = {name for name, value in everything if isinstance(value, list | dict) and _number(value) is not None}
    controls = shaped or {name for name, _ in everything}
    for row, own in zip(rows, cells, strict=True):
        numbers = {name: number for name in own if name in controls and (number := _number(own[name])) is not None}
        texts = tuple(value for name, value in own.items() if isinstance(value, str) and name not in numbers)
        at = str(row.get("updated_at") or row.get("created_at") or "")
        yield Annotation(cell_text(row["annotation_id"]), cell_text(row.get("id")), _rater(row["annotator"]), at, texts, numbers)


def _parsed(cell: Any) -> Any:
    """What a cell of a CSV holds: JSON, where a control is no single word."""
    if not isinstance(cell, str) or cell[:1] not in ("[", "{"):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _number(value: Any) -> float | None:
    """The number that a control holds; None where it holds something else."""
    match value:
        case {"number": inner} | {"rating": inner} | {"choices": [inner]} | [inner]:
            return _number(inner)
        case bool() | None:
            return None
        case int() | float():
            return float(value)
        case str():
            try:
                return float(value)
            except ValueError:
                return None
    return None


def _rater(given: Any) -> str:
    """Who it was: a number, as text too, or a record of the person."""
    return cell_text(given.get("email") or given.get("id")) if isinstance(given, dict) else cell_text(given)


def _control(file: Path, annotations: Collection[Annotation]) -> str:
    """The control that holds the scores; DataError where it is not plain which."""
    names = sorted({name for each in annotations for name in each.numbers})
    if len(names) > 1 and SCORE not in names:
        raise DataError(
            f"the scores {file} have several numbers for each image ({', '.join(names)}); rename the one that counts to {SCORE}."
        )
    return names[0] if len(names) == 1 else SCORE


def _file_names(text: str) -> tuple[str, str]:
    """What the file that a text names may be called in the study: as there, and without what an upload puts before it."""
    name = re.split(r"[/=]", unquote(text))[-1]
    return name, _UPLOADED.sub("", name, count=1)
