"""Which translations are asked for: the list of (source, target) pairs, chosen once, kept as a file, and read from one.

Several models are only comparable on the very same pairs; ``pairs_hash`` tells whether two lists are the same.

Shapes: n pairs, B batch, H×W pixels.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from legan.models.attributes import AttributeSchema
from legan.models.response import Response, response_to
from legan.models.translator import Translator
from legan.platform.data.dataset import Dataset, Split, spread
from legan.platform.data.plain_table import csv_separator
from legan.platform.errors import ConfigError, DataError, Problem, Problems, first_line
from legan.platform.evaluation.metric_names import Reference
from legan.platform.files import whole_file
from legan.platform.pixels import network_input

Rows = NDArray[np.int64]

PEOPLE = 8
OPTION = "--pairs-file"
COLUMNS = (
    "source_row",
    "target_row",
    "subject",
    "source_expression",
    "source_lighting",
    "expression",
    "lighting",
)
NAMED = ("source_expression", "source_lighting", "expression", "lighting")
_TYPES = dict.fromkeys((*COLUMNS, "data"), "str") | {"source_row": "int64", "target_row": "Int64"}


def asked_pairs(
    data: Dataset, schema: AttributeSchema, count: int, seed: int, file: Path | None, split: Split = "test"
) -> pd.DataFrame:
    """The pairs of ``file`` (see read_pairs), or where there is none ``count`` chosen ones (see choose_pairs)."""
    return choose_pairs(data, count, seed, split, schema) if file is None else read_pairs(file, data, schema, split)


def choose_pairs(
    data: Dataset, count: int, seed: int, split: Split = "test", schema: AttributeSchema | None = None
) -> pd.DataFrame:
    """At most ``count`` translations to ask for on a split, the same for the same seed.

    Columns: source_row, target_row (missing where the data has no targets), subject, source_expression, source_lighting,
    expression, lighting (names; the last two are what is asked for). Only photographs are taken, each once
    (``Dataset.real_rows``).

    With targets, all combinations that occur get an equal share, each target comes once before any comes twice, and sources of
    the target's own session go first. Images of classes that ``schema``, the model's classes, lacks are left out. There are no
    targets where it has classes that the data lacks: then any of the model's classes is asked for. Raises DataError when the
    split is empty, or has no photographs.
    """
    schema = schema or data.schema
    data = data.known_to(schema)
    rows = photographs(data, split)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(rows)
    chosen = list(_with_targets(data, rows, count, rng)) if same_classes(schema, data.schema) else []
    chosen = chosen or list(_without_targets(schema, rows, count, rng))

    source, target, expression, lighting = (list(column) for column in zip(*chosen, strict=True))
    return pd.DataFrame(
        {
            "source_row": source,
            "target_row": pd.array([pd.NA if row < 0 else row for row in target], dtype="Int64"),
            "subject": data.subject[source],
            "source_expression": [data.schema.expressions[data.expression[row]] for row in source],
            "source_lighting": [data.schema.lightings[data.lighting[row]] for row in source],
            "expression": [schema.expressions[index] for index in expression],
            "lighting": [schema.lightings[index] for index in lighting],
        }
    )


def photographs(data: Dataset, split: Split) -> Rows:
    """``Dataset.real_rows`` of a split, at least one; DataError where there is none."""
    rows = data.real_rows(split)
    if len(data.rows(split)) == 0:
        raise DataError(f"the data set {data.path} has no {split} split to evaluate on; prepare it with held-out subjects.")
    if len(rows) == 0:
        raise DataError(
            f"the {split} split of the data set {data.path} holds only translations and exact copies, which nothing is measured "
            "on; give the data set that it was made from."
        )
    return rows


def write_pairs(path: Path, pairs: pd.DataFrame, data: Dataset) -> None:
    """Write a list of pairs as CSV, each row with the start of the data set's hash, so that it is not taken for another's."""
    with whole_file(path) as draft:
        pairs.assign(data=_short_hash(data)).to_csv(draft, index_label="pair")


def read_pairs(path: Path, data: Dataset, schema: AttributeSchema, split: Split = "test") -> pd.DataFrame:
    """The pairs that ``write_pairs`` wrote.

    Raises ConfigError with every problem: it is no list of pairs, belongs to other data, names rows that are not there, not in
    ``split`` or not photographs, or classes that ``schema`` doesn't have.
    """
    data = data.known_to(schema)
    try:
        pairs = pd.read_csv(path, sep=csv_separator(path), dtype=_TYPES, keep_default_na=False, na_values={"target_row": [""]})
    except (OSError, ValueError, TypeError) as error:  # TypeError: a target row that is no whole number
        raise _refused(f"{path} cannot be read: {first_line(error)}") from error
    missing = [column for column in (*COLUMNS, "data") if column not in pairs.columns]
    if missing or pairs.empty:
        there = ", ".join(map(str, pairs.columns))
        what = f"lacks the columns {', '.join(missing)}; its columns are: {there}" if missing else "holds no pair"
        raise _refused(f"{path} {what}; give the pairs.csv of an evaluation")
    named = set(pairs["data"])
    if named != {_short_hash(data)}:
        raise _refused(f"{path} was made for other data than {data.path}; leave it out, or give that data set")
    problems = _problems(path, pairs, data, schema, split)
    if problems:
        raise ConfigError(problems)
    return pairs[list(COLUMNS)]


def pairs_hash(pairs: pd.DataFrame, data: Dataset) -> str:
    """Sha256 (hex) over what is asked for: equal for the same pairs of the same data, in the same order."""
    asked = pairs[["source_row", "target_row", "expression", "lighting"]].to_csv(index=False)
    return hashlib.sha256(f"{data.content_hash}\n{asked}".encode()).hexdigest()


def reference_of(pairs: pd.DataFrame) -> Reference:
    """What outputs are compared with: the true targets, or the sources where there are none."""
    return "source" if pairs["target_row"].isna().any() else "target"


def pair_names(pairs: pd.DataFrame, shown: AttributeSchema, asked: AttributeSchema) -> list[str]:
    """Each pair in two lines: what its source shows, of the classes ``shown``, and what is ``asked`` of the model."""
    names = zip(*(pairs[name].astype(str) for name in NAMED), strict=True)
    lines = ((shown.named(*classes[:2]), f"to {asked.named(*classes[2:])}") for classes in names)
    return ["\n".join(filter(None, both)) for both in lines]


def same_classes(a: AttributeSchema, b: AttributeSchema) -> bool:
    """Whether two schemas name the same classes in the same order."""
    return (a.expressions, a.lightings) == (b.expressions, b.lightings)


def load_batch(data: Dataset, rows: Rows, device: torch.device) -> Tensor:
    """Images of these rows, float32 B×3×H×W in [-1, 1]."""
    return network_input(data.images[rows], device)


def response_on(
    G: Translator, schema: AttributeSchema, data: Dataset, device: torch.device, split: Split = "val"
) -> Response | None:
    """Whether G answers to target and face, by one photograph each of up to 8 people of a split; None where there is nobody."""
    rows = data.real_rows(split)
    rows = spread(rows[np.unique(data.subject[rows], return_index=True)[1]], PEOPLE)
    return response_to(G, schema, load_batch(data, rows, device)) if len(rows) else None


def label_batch(schema: AttributeSchema, pairs: pd.DataFrame, device: torch.device) -> tuple[Tensor, Tensor]:
    """Wanted expression and lighting classes, int64 B each."""
    expression = [schema.expression_index(name) for name in pairs["expression"]]
    lighting = [schema.lighting_index(name) for name in pairs["lighting"]]
    return torch.tensor(expression, device=device), torch.tensor(lighting, device=device)


def _refused(message: str) -> ConfigError:
    return ConfigError([Problem(OPTION, message)])


def _problems(path: Path, pairs: pd.DataFrame, data: Dataset, schema: AttributeSchema, split: Split) -> Problems:
    """What is wrong with the pairs of a file; only the first thing where they cannot be those of any evaluation on the data."""
    rows = set(pairs["source_row"]) | set(pairs["target_row"].dropna())
    strange = sorted(int(row) for row in rows - set(data.rows(split).tolist()))
    if strange:
        what = f"row {strange[0]} is not held out: it is not in the data set's {split} split ({len(strange)} such)"
        return Problems([Problem(OPTION, f"{path}: {what}")])

    unreal = sorted(int(row) for row in rows - set(data.real_rows(split).tolist()))
    if unreal:
        what = f"row {unreal[0]} is a translation or an exact copy, which nothing is measured on ({len(unreal)} such)"
        return Problems([Problem(OPTION, f"{path}: {what}; leave its pairs out")])

    problems = Problems()
    if not (data.subject[pairs["source_row"].to_numpy()] == pairs["subject"].to_numpy(np.str_)).all():
        problems.add(OPTION, f"{path}: its subjects are not those of its source rows")
    if pairs["target_row"].isna().any() and not pairs["target_row"].isna().all():
        problems.add(OPTION, f"{path}: some pairs have a target and some have none")
    for column, known in (("expression", schema.expressions), ("lighting", schema.lightings)):
        unknown = sorted(set(pairs[column]) - set(known))
        if unknown:
            problems.add(OPTION, f"{path}: it asks for {column} {', '.join(unknown)}, which the model doesn't know")
    if not problems and pairs["target_row"].notna().all():
        problems += [Problem(OPTION, f"{path}: {message}") for message in _wrong_targets(pairs, data)]
    return problems


def _wrong_targets(pairs: pd.DataFrame, data: Dataset) -> Iterator[str]:
    target = data.faces.iloc[pairs["target_row"].to_numpy(np.int64)]
    if not (target["subject"].to_numpy(np.str_) == pairs["subject"].to_numpy(np.str_)).all():
        yield "a target is of another subject than its source"
    shown = (target["expression"].to_numpy() == pairs["expression"].to_numpy()) & (
        target["lighting"].to_numpy() == pairs["lighting"].to_numpy()
    )
    if not shown.all():
        yield "a target doesn't show the expression and lighting that its pair asks for"


def _short_hash(data: Dataset) -> str:
    return data.content_hash[:16]


def _with_targets(data: Dataset, rows: Rows, count: int, rng: np.random.Generator) -> Iterator[tuple[int, int, int, int]]:
    """Source row, target row, expression, lighting; nothing when no subject has two different combinations."""
    combination = data.expression * len(data.schema.lightings) + data.lighting
    turn = pd.Series(combination[rows]).groupby(combination[rows]).cumcount().to_numpy()
    targets = rows[np.argsort(turn, kind="stable")]
    of_subject = {subject: rows[data.subject[rows] == subject] for subject in np.unique(data.subject[rows])}
    session = data.faces["session"].astype(str).to_numpy() if "session" in data.faces else np.zeros(len(data), np.str_)

    sources: dict[int, Rows] = {}
    given, again = 0, True

    for turn_number in range(len(rows)):
        if not again:
            return
        again = False
        for target in targets:
            if given == count:
                return

            if target not in sources:
                others = of_subject[data.subject[target]]
                others = rng.permutation(others[combination[others] != combination[target]])
                sources[target] = others[np.argsort(session[others] != session[target], kind="stable")]
            if turn_number < len(sources[target]):
                yield int(sources[target][turn_number]), int(target), int(data.expression[target]), int(data.lighting[target])
                given, again = given + 1, True


def _without_targets(
    schema: AttributeSchema, rows: Rows, count: int, rng: np.random.Generator
) -> Iterator[tuple[int, int, int, int]]:
    for row in rows[:count]:
        yield int(row), -1, int(rng.integers(len(schema.expressions))), int(rng.integers(len(schema.lightings)))
