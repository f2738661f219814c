"""What a source says about a labelled collection of photographs, before any of them is opened."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import Skipped
from legan.platform.errors import counted

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels of a photograph."""


class Photograph(NamedTuple):
    """Where a photograph is: a file, or an offset in bytes of a record file; and the box of the face that is meant, if any is."""

    file: Path
    packed_at: int | None = None
    box: Box | None = None

    def to_text(self) -> str:
        """As one word, which any process takes."""
        return json.dumps([str(self.file), self.packed_at, self.box])

    @classmethod
    def from_text(cls, text: str) -> "Photograph":
        """Inverse of ``to_text``."""
        file, packed_at, box = json.loads(text)
        return cls(Path(file), packed_at, None if box is None else (box[0], box[1], box[2], box[3]))


PACKED = ("packed_in", "packed_at")
"""The columns of photographs in a record file: its path as the column path has it, and the offset in bytes."""

BOX = ("face_x", "face_y", "face_width", "face_height")
"""The columns of a face's published box, in pixels: left, top, width, height. They say which face of a photograph is meant."""


@dataclass(frozen=True)
class SourceFaces:
    """The photographs of a source and their labels.

    ``records`` has a row per photograph: path (relative to ``root``, or absolute), subject, expression, lighting, and, where
    the source itself says so, split; of photographs in a record file, the columns of PACKED, too, and path is then a name for
    the record; and those of BOX, where the source says which face it means. Further columns go into faces.parquet as they are.
    ``unusable`` (path, why) are files whose names alone say that they are none of it. The shares hold where the records have no
    split: then the people whose photographs could be used are split. ``doubts`` are sentences on what may not be meant so, as a
    root that is too high.
    """

    name: str
    root: Path
    schema: AttributeSchema
    records: pd.DataFrame
    unusable: list[tuple[str, Skipped]] = field(default_factory=list)
    val_share: float = 0.05
    test_share: float = 0.1
    info: Mapping[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    def photographs(self) -> tuple[Photograph, ...]:
        """Where the photographs of the records are."""
        records, count = self.records, len(self.records)
        files = [self.root / str(path) for path in records[PACKED[0] if PACKED[0] in records else "path"]]
        offsets = [int(at) for at in records[PACKED[1]]] if PACKED[1] in records else [None] * count
        boxes = [_box(sides) for sides in records[list(BOX)].to_numpy()] if set(BOX) <= set(records) else [None] * count
        return tuple(map(Photograph, files, offsets, boxes))


def _box(sides: Iterable[Any]) -> Box | None:
    """Four numbers as a box; None where one is missing."""
    left, top, width, height = map(float, sides)
    return None if math.isnan(left + top + width + height) else (left, top, width, height)


def without_box(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether a row's columns of BOX are no box: one is missing or not finite, or there is no area."""
    sides = rows[list(BOX)].to_numpy(float)
    return pd.Series(~(np.isfinite(sides).all(axis=1) & (sides[:, 2:] > 0).all(axis=1)), index=rows.index)


def rows_left_out(rows: pd.DataFrame, lacking: str) -> str:
    """A doubt that says how many rows (columns ``row`` and ``list``) are left out for what they lack, and which is the first."""
    first = rows.iloc[0]
    return f"{counted(len(rows), 'row')} without {lacking} left out; the first is row {first['row']} of {first['list']}."


Source = Callable[[Path], SourceFaces]
