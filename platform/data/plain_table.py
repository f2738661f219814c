"""Any CSV or Parquet table of somebody else's: reading it, and its cells as text.

A CSV may be separated by commas, semicolons or tabs. A folder of Parquet files, as Spark and Ray write it, is one table.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from legan.platform.data.sources.folder_files import folder_files
from legan.platform.errors import DataError, Problem, first_line

TEXT_SUFFIXES = (".csv", ".tsv")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
_SEPARATORS = ",;\t"


def read_plain_table(file: Path, what: str = "table") -> pd.DataFrame:
    """The rows of a CSV (all cells as text, blank ones empty) or of Parquet (typed); DataError where it cannot be read.

    Spaces around the columns' names are left out. ``what`` is what messages call the table.
    """
    if not file.exists():
        raise DataError(f"the {what} {file} does not exist; correct the path.")
    try:
        table = _read(file)
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"the {what} {file} cannot be read: its rows have more cells than its header; remove separators at the ends of rows."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"the {what} {file} cannot be read: it is not UTF-8; save it in this encoding.") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        cause = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"the {what} {file} cannot be read: {cause}.") from error

    if table is None:
        kind = "a folder of other things than Parquet files" if file.is_dir() else "neither .csv, .tsv nor .parquet"
        raise DataError(f"the {what} {file} cannot be read: it is {kind}.")
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()][0]
        raise DataError(f"the {what} {file} has several columns called {twice!r}; rename all but one.")
    return table


def is_table(path: Path) -> bool:
    """Whether a path is one of a table: a .csv, .tsv or .parquet file, or a folder of Parquet files and nothing else."""
    return bool(_parquet_parts(path)) if path.is_dir() else path.suffix.lower() in SUFFIXES


def lacking(table: pd.DataFrame, needed: Sequence[str]) -> list[Problem]:
    """The one problem of a table without some of the columns that are needed, or none."""
    missing = [column for column in needed if column not in table.columns]
    if not missing:
        return []
    there = ", ".join(map(str, table.columns)) or "none"
    return [Problem("", f"it has no column {' and no column '.join(missing)}; its columns are: {there}")]


def cell_text(value: object) -> str:
    """A cell as text: nothing for a missing value, 7 for the 7.0 that a whole number with gaps becomes."""
    if isinstance(value, np.ndarray):  # a list in Parquet, which no column of ours holds
        return str(value.tolist())
    if value is None or value is pd.NA or value is pd.NaT or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _read(path: Path) -> pd.DataFrame | None:
    """The rows of a table; None for what is none."""
    if path.is_dir():
        parts = _parquet_parts(path)
        return _read_parts(path, parts) if parts else None
    if path.suffix.lower() == ".parquet":
        return pd.read_parquet(path)
    if path.suffix.lower() not in TEXT_SUFFIXES:
        return None

    separator = csv_separator(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # Else pandas takes the first column for the names of rows where rows have one cell too many.
        return pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig", index_col=False
        )


def csv_separator(file: Path) -> str:
    """Of comma, semicolon and tab, the one that the first line with letters has most often outside of quotes."""
    with file.open(encoding="utf-8-sig") as stream:
        header = next((line for line in stream if line.strip()), "")
    return max(_SEPARATORS, key=re.sub(r'"[^"]*"', "", header).count)


def _parquet_parts(folder: Path) -> list[str]:
    """The Parquet files of a folder that is a table, from there; none where it holds anything else but marks as _SUCCESS."""
    files = [path for path in folder_files(folder).taken if not path.rpartition("/")[2].startswith("_")]
    return files if all(path.endswith(".parquet") for path in files) else []


def _read_parts(folder: Path, parts: Sequence[str]) -> pd.DataFrame:
    """All parts in the order of their names; a column that is empty in some of them has the type of the others."""
    files = ds.dataset([str(folder / part) for part in parts], partitioning="hive", partition_base_dir=str(folder))
    schemas = [files.schema, *(part.physical_schema for part in files.get_fragments())]
    schema = pa.unify_schemas(schemas, promote_options="permissive")
    table: pd.DataFrame = files.replace_schema(schema).to_table().to_pandas(ignore_metadata=True)
    return table
