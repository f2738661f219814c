"""Any labelled photographs, named by a CSV or Parquet table: path, subject and, optionally, expression, lighting, split.

A folder of Parquet files is one table, too. Without an expression or lighting column there is one class, ``any``. Without a
split column, subjects are split at random. A column source (which method made a synthetic image) is kept; other columns are left
out, and named. What mirroring does to the lightings is read off their names. A row that lacks a value is skipped with its reason.
All that is wrong with the table as a whole is told at once.
"""

from pathlib import Path

import pandas as pd

from legan.platform.data.dataset import SPLITS
from legan.platform.data.labels.mirror import schema_of
from legan.platform.data.plain_table import cell_text, lacking, read_plain_table
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.source import SourceFaces
from legan.platform.errors import DataError, Problem

ANY = "any"
_COLUMNS = ("path", "subject", "expression", "lighting", "split")


def table(file: Path, root: Path | None = None) -> SourceFaces:
    """The rows of a table; relative paths count from ``root``, or else from the folder that the table lies in.

    Classes are the column's values in alphabetical order. DataError lists all that is wrong with the table.
    """
    rows = read_plain_table(file)
    problems = lacking(rows, ("path", "subject"))
    present = [column for column in _COLUMNS if column in rows.columns]
    left_out = [str(column) for column in rows.columns if column not in (*_COLUMNS, "source")]
    source = rows["source"].map(cell_text) if "source" in rows.columns else None
    texts = {column: rows[column].map(cell_text) for column in present}
    rows = pd.DataFrame(texts, index=rows.index, columns=present, dtype=object)
    if "split" in present:
        unknown = sorted(set(rows["split"]) - {"", *SPLITS})
        if unknown:
            problems.append(Problem("column split", f"it holds {', '.join(unknown)} where only {', '.join(SPLITS)} are known"))
    if len(rows) == 0:  # rows.empty is also true of rows without any of our columns
        problems.append(Problem("", "it has no rows"))
    usable = (rows != "").all(axis=1)
    if "path" in present:
        usable &= ~rows["path"].where(usable).duplicated() | ~usable
    if {"subject", "split"} <= set(present):
        per_subject = rows[usable].groupby("subject")["split"].nunique()
        torn = [str(name) for name in per_subject.index[per_subject > 1]]
        if torn:
            named = f"{', '.join(torn[:5])}{' …' if len(torn) > 5 else ''}"
            problems.append(Problem(f"subject {named}", "each has to be in one split only"))
    if not problems and not usable.any():
        problems.append(Problem("", "no row has a value in every column"))
    if problems:
        raise DataError(f"the table {file} cannot be used: {'; '.join(map(str, problems))}.")

    unusable = [(str(row["path"]) or f"row {number}", _reason(row, number)) for number, row in _numbered(rows[~usable])]
    records = rows[usable].reset_index(drop=True)
    if source is not None:
        records["source"] = source[usable].to_numpy()
    for column in ("expression", "lighting"):
        if column not in present:
            records[column] = ANY
    expressions, lightings = (tuple(sorted(set(records[column]))) for column in ("expression", "lighting"))
    info = {"notes": [f"columns of the table that are left out: {', '.join(left_out)}"]} if left_out else {}
    return SourceFaces("table", root or file.parent, schema_of(expressions, lightings), records, unusable, info=info)


def _numbered(rows: pd.DataFrame) -> list[tuple[int, "pd.Series[str]"]]:
    return [(int(str(index)) + 1, row) for index, row in rows.iterrows()]


def _reason(row: "pd.Series[str]", number: int) -> Skipped:
    lacking = [str(column) for column, value in row.items() if value == ""]
    if lacking:
        return Skipped("unlabelled", f"row {number} of the table has no {' and no '.join(lacking)}")
    return Skipped("repeated", f"row {number} names it once more")
