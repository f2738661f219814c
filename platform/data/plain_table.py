"""Any CSV or Parquet table of somebody else's: reading it, and its cells as text."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from legan.platform.errors import DataError, first_line


def read_plain_table(file: Path) -> pd.DataFrame:
    """The rows of a .csv (all cells as text, blank ones empty) or .parquet file (typed); DataError where it cannot be read."""
    try:
        if file.suffix.lower() == ".parquet":
            return pd.read_parquet(file)
        if file.suffix.lower() == ".csv":
            return pd.read_csv(file, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"the table {file} cannot be read: {first_line(error)}.") from error
    raise DataError(f"the table {file} is neither .csv nor .parquet.")


def cell_text(value: object) -> str:
    """A cell as text: nothing for a missing value, 7 for the 7.0 that a whole number with gaps becomes."""
    if value is None or value is pd.NA or value is pd.NaT or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
