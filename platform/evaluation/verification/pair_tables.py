"""Anybody's pairs as a table, CSV or Parquet, read block by block.

first, second     a face each: the number of its row in faces.parquet, or its source_path
same              1 or true where both show one person, 0 or false where they do not
fold              1 and up, where there are folds; the column may be left out
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from legan.platform.data.plain_table import TEXT_SUFFIXES, cell_text, csv_separator, lacking
from legan.platform.errors import DataError, first_line

COLUMNS, FOLD = ("first", "second", "same"), "fold"
BLOCK = 65_536
SAME = {"1": True, "true": True, "0": False, "false": False}


class TableBlock(NamedTuple):
    """P pairs of a table: both faces as text, whether they are one person, and the fold; 0 where there is no such column."""

    first: list[str]
    second: list[str]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]


def table_blocks(file: Path) -> Iterator[TableBlock]:
    """The pairs of a table; DataError where it cannot be read, lacks a column, or a cell is not what its column holds."""
    start = 0
    for part in _parts(file):
        part.columns = pd.Index([str(column).strip() for column in part.columns])
        problems = lacking(part, COLUMNS)
        if problems:
            raise DataError(f"the table of pairs {file}: {problems[0]}.")
        first, second = ([cell_text(value) for value in part[column]] for column in COLUMNS[:2])
        for column, faces in zip(COLUMNS[:2], (first, second), strict=True):
            if "" in faces:
                row = start + 1 + faces.index("")
                raise DataError(f"row {row} of the table of pairs {file} names no face in the column {column}; fill it in.")
        same = [SAME.get(cell_text(value).lower()) for value in part["same"]]
        folds = [cell_text(value) for value in part[FOLD]] if FOLD in part else ["0"] * len(part)
        for row, (is_same, fold) in enumerate(zip(same, folds, strict=True), start + 1):
            if is_same is None:
                raise DataError(f"row {row} of the table of pairs {file} says neither 1 nor 0 in the column same; correct it.")
            if not fold.isdecimal() or (FOLD in part and int(fold) == 0):
                raise DataError(f"row {row} of the table of pairs {file} has the fold {fold!r}; folds count from 1.")
        yield TableBlock(first, second, np.array(same, np.bool_), np.array(folds, np.int64))
        start += len(part)
    if start == 0:
        raise DataError(f"the table of pairs {file} has no row; give some pairs.")


def _parts(file: Path) -> Iterator[pd.DataFrame]:
    if not file.is_file():
        raise DataError(f"the table of pairs {file} does not exist; correct --list.")
    suffix = file.suffix.lower()
    if suffix not in (*TEXT_SUFFIXES, ".parquet"):
        raise DataError(f"the table of pairs {file} cannot be read: it is neither .csv, .tsv nor .parquet.")
    try:
        if suffix == ".parquet":
            yield from (batch.to_pandas() for batch in pq.ParquetFile(file).iter_batches(BLOCK))
            return
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield from pd.read_csv(
                file, sep=csv_separator(file), dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig",
                index_col=False, chunksize=BLOCK,
            )  # fmt: skip
    except (OSError, ValueError, pd.errors.ParserWarning, pa.ArrowException) as error:
        raise DataError(f"the table of pairs {file} cannot be read: {first_line(error)}.") from error
