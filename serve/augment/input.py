"""What ``legan augment`` starts from: a data set folder, a folder of photographs, or a table of photographs.

Photographs become aligned faces first (worker.py), after which all three are the same: images.npy and hulls.npy of a data
set folder, and its rows as an Arrow file that is mapped into memory, so that rows are looked up without being held.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import FILE, SPLITS
from legan.platform.data.image import named_formats
from legan.platform.data.plain_table import cell_text, is_table, lacking, read_plain_table
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images, in_words
from legan.platform.data.sources.table import ANY
from legan.platform.data.stream import Header, read_header
from legan.platform.errors import DataError, Problems
from legan.platform.files import whole_file
from legan.platform.model import Model
from legan.serve.augment.plan import UNKNOWN, Labels

ROWS = "rows.arrow"
_COLUMNS = ("path", "subject", "expression", "lighting", "split")
TAKEN_OVER = frozenset(
    {
        *("subject", "expression", "lighting", "split", "landmarks", "yaw", "source_path", "duplicate_of"),
        *("synthetic", "quality", "similarity", "attempt", "model", "model_version", "model_hash", "seed"),
        *("photo_face", "faces_found", "found_by", "source_row", "source_expression", "source_lighting"),
    }
)
"""Columns of a data set that the result has too, as they were or written anew."""
_ROWS_AT_ONCE = 4096
_EYES_APART = 0.02


@dataclass(frozen=True)
class Photographs:
    """Photographs and what is known of them: ``records`` has path (from ``root``), subject, expression, lighting and split.

    ``every_face`` is False where a row's labels are of one person, who is taken to be the largest face. ``left_out`` are the
    table's other columns.
    """

    root: Path
    records: pd.DataFrame
    unusable: list[tuple[str, Skipped]]
    every_face: bool
    left_out: tuple[str, ...] = ()

    @property
    def schema(self) -> AttributeSchema:
        """The classes that occur."""
        expressions, lightings = (tuple(sorted(set(self.records[kind]))) for kind in ("expression", "lighting"))
        return AttributeSchema(expressions, lightings)

    def digest(self) -> str:
        """Sha256 of names, labels, sizes and times of the files."""
        unusable = [(path, why.reason) for path, why in self.unusable]
        digest = hashlib.sha256(json.dumps([self.every_face, unusable]).encode())
        for row in self.records.itertuples(index=False):
            try:
                stat = (self.root / str(row.path)).stat()
                about = (stat.st_size, stat.st_mtime_ns)
            except (OSError, ValueError):
                about = None  # reading it will give the reason
            digest.update(json.dumps([*map(str, row), about]).encode())
        return digest.hexdigest()


def read_input(path: Path) -> Header | Photographs:
    """What INPUT is; nothing but names, labels and headers is read. DataError where it is none of the three."""
    if (path / FILE).is_file():
        return read_header(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; give a data set folder, a folder of photographs, or a table with a column path.")
    images, others = folder_images(path) if path.is_dir() else ([], [])
    if images:
        return _folder(path, images, others)
    if is_table(path):
        return _table(path)
    raise DataError(
        f"{path} is neither a data set folder, nor a folder of photographs ({named_formats()}), nor a table with a column path "
        f"(.csv, .tsv, .parquet, or a folder of Parquet files){in_words(others)}; correct INPUT."
    )


def columns_left_out(given: Header | Photographs) -> list[str]:
    """The columns of the input that the result does not have."""
    if isinstance(given, Photographs):
        return list(given.left_out)
    return [name for name in pq.read_schema(given.path / "faces.parquet").names if name not in TAKEN_OVER]


def problems_with(given: Header | Photographs, model: Model, balanced: Sequence[str]) -> Problems:
    """What keeps this model from augmenting this input; ``balanced`` kinds need labels the model knows."""
    problems = Problems()
    if isinstance(given, Header):
        own, size = given.image_size, model.image_size
        if own != size:
            message = f"its images are {own}×{own}, the model takes {size}×{size}; prepare the data set with --size {size}"
            problems.add("INPUT", message)
        if _eyes_apart(given.alignment, model.alignment.to_dict()) > _EYES_APART:
            problems.add("INPUT", "its faces are aligned by other eyes than the model's; give its photographs instead")

    for kind in balanced:
        known, there = (getattr(schema, f"{kind}s") for schema in (model.schema, given.schema))
        if not set(known) & set(there):
            wanted = f"faces whose {kind} the model knows ({', '.join(known)})"
            problems.add("--balance", f"{kind} needs {wanted}, and the input has: {', '.join(there)}")
    return problems


def _eyes_apart(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> float:
    """How far the eyes of two alignments are apart, as a share of the image; 0 where one does not say where they are."""
    eyes = [eye for eye in ("left_eye", "right_eye") if eye in given]
    return max((abs(a - b) for eye in eyes for a, b in zip(given[eye], wanted[eye], strict=True)), default=0.0)


def write_rows(dataset: Path, target: Path) -> None:
    """The rows of a data set folder as an Arrow file with two further columns: ``row`` and ``training``."""
    with pq.ParquetFile(dataset / "faces.parquet") as file, whole_file(target) as draft:
        writer, start = None, 0
        with pa.OSFile(str(draft), "wb") as stream:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                table = pa.Table.from_batches([batch])
                table = table.append_column("row", pa.array(np.arange(start, start + len(table))))
                writer = writer or pa.ipc.new_file(stream, table.schema)
                writer.write_table(table)
                start += len(table)
            if writer is not None:
                writer.close()


class Rows:
    """The rows of the Arrow file, looked up without being held."""

    def __init__(self, file: Path):
        self._table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def take(self, rows: Sequence[int] | np.ndarray) -> pd.DataFrame:
        """These rows with all their columns."""
        frame: pd.DataFrame = self._table.take(pa.array(np.asarray(rows, np.int64))).to_pandas()
        return frame

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Those of these columns that there are, of all rows."""
        frame: pd.DataFrame = self._table.select([name for name in names if name in self._table.column_names]).to_pandas()
        return frame

    def labels(self, schema: AttributeSchema) -> Labels:
        """Every row's classes in the model's schema."""
        return labels_of(self._table, schema)


def labels_of(table: pa.Table, schema: AttributeSchema) -> Labels:
    """The classes of a table's rows in the model's schema, from its columns expression, lighting and split."""
    found = {}
    for kind, names in (("expression", schema.expressions), ("lighting", schema.lightings)):
        indices = pc.index_in(table.column(kind), value_set=pa.array(names))
        found[kind] = np.asarray(indices.fill_null(UNKNOWN).to_numpy(), np.int16)
    return Labels(**found, training=np.asarray(pc.equal(table.column("split"), "train")))


def classes_beforehand(given: Header | Photographs) -> pd.DataFrame:
    """Expression, lighting and split of each face before anything is prepared; of photographs, as if each had one face."""
    columns = ["expression", "lighting", "split"]
    if isinstance(given, Photographs):
        return given.records[columns]
    frame: pd.DataFrame = pq.read_table(given.path / "faces.parquet", columns=columns).to_pandas()
    return frame


def _folder(root: Path, images: Sequence[str], others: list[tuple[str, Skipped]]) -> Photographs:
    """Photographs of whom nothing is known: each face is a person of its own."""
    records = pd.DataFrame({"path": images, "subject": images, "expression": ANY, "lighting": ANY, "split": "train"})
    return Photographs(root, records, others, every_face=True)


def _table(file: Path) -> Photographs:
    """Photographs of a table; a row that names no path, or one that was named before, is unusable."""
    given = read_plain_table(file)
    missing = lacking(given, ("path",))
    if missing:
        raise DataError(f"the table {file} cannot be used: {missing[0]}.")
    rows = _table_rows(given)

    pathless, repeated = rows["path"] == "", rows["path"].duplicated()
    unusable = [
        (f"row {number + 1}", Skipped("unlabelled", f"row {number + 1} of the table has no path"))
        for number in np.flatnonzero(pathless)
    ]
    unusable += [
        (str(rows["path"].iloc[number]), Skipped("repeated", f"row {number + 1} names it once more"))
        for number in np.flatnonzero(repeated & ~pathless)
    ]
    rows = rows[~pathless & ~repeated].reset_index(drop=True)
    problems = list(_table_problems(rows))
    if problems:
        raise DataError(f"the table {file} cannot be used: {'; '.join(problems)}.")

    labelled = bool({"subject", "expression", "lighting"} & set(given.columns))
    left_out = tuple(str(column) for column in given.columns if column not in _COLUMNS)
    return Photographs(file.parent, rows, unusable, not labelled, left_out)


def _table_rows(given: pd.DataFrame) -> pd.DataFrame:
    """A table's rows as text; a class that is missing becomes ``any``, a subject the path, and a split train."""
    present = [column for column in _COLUMNS if column in given.columns]
    texts = pd.DataFrame({column: given[column].map(cell_text) for column in present}, dtype=object)
    rows = pd.DataFrame(
        {
            "path": texts["path"],
            "subject": texts["subject"] if "subject" in present else texts["path"],
            **{kind: texts[kind].replace("", ANY) if kind in present else ANY for kind in ("expression", "lighting")},
            "split": texts["split"].replace("", "train") if "split" in present else "train",
        },
        dtype=object,
    )
    rows["subject"] = rows["subject"].where(rows["subject"] != "", rows["path"])
    return rows


def _table_problems(rows: pd.DataFrame) -> Iterator[str]:
    if rows.empty:
        yield "no row has a path"
    unknown = sorted(set(rows["split"]) - set(SPLITS))
    if unknown:
        yield f"its column split holds {', '.join(unknown)} where only {', '.join(SPLITS)} are known"
    splits = rows.groupby("subject")["split"].nunique()
    if (splits > 1).any():
        yield f"subject {splits.index[splits > 1][0]} is in more than one split"
