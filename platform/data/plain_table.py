"""Any CSV or Parquet table of somebody else's: reading it, and its cells as text."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from legan.platform.errors import DataError, first_line


def read_plain_table(file: Path, what: str = "table") -> pd.DataFrame:
    """The rows of a .csv (all cells as text, blank ones empty) or .parquet file (typed); DataError where it cannot be read.

    ``what`` is what messages call it.
    """
    try:
        if file.suffix.lower() == ".parquet":
            return pd.read_parquet(file)
        if file.suffix.lower() == ".csv":
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                # Else pandas takes the first column for the names of rows where rows have one cell too many.
                return pd.read_csv(
                    file, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig", index_col=False
                )
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"the {what} {file} cannot be read: its rows have more cells than its header; remove commas at the ends of rows."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"the {what} {file} cannot be read: it is not UTF-8; save it in this encoding.") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        cause = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"the {what} {file} cannot be read: {cause}.") from error

    raise DataError(f"the {what} {file} is neither .csv nor .parquet.")


def cell_text(value: object) -> str:
    """A cell as text: nothing for a missing value, 7 for the 7.0 that a whole number with gaps becomes."""
    if isinstance(value, np.ndarray):  # a list in Parquet, which no column of ours holds
        return str(value.tolist())
    if value is None or value is pd.NA or value is pd.NaT or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
