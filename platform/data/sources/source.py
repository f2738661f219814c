"""What a source says about a labelled collection of photographs, before any of them is opened."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import Skipped


class Photograph(NamedTuple):
    """Where a photograph is: a file, or from an offset in bytes on in a record file."""

    file: Path
    packed_at: int | None = None

    def to_text(self) -> str:
        """As one word, which any process takes."""
        return json.dumps([str(self.file), self.packed_at])

    @classmethod
    def from_text(cls, text: str) -> "Photograph":
        """Inverse of ``to_text``."""
        file, packed_at = json.loads(text)
        return cls(Path(file), packed_at)


PACKED = ("packed_in", "packed_at")
"""The columns of photographs in a record file: its path as the column path has it, and the offset in bytes."""


@dataclass(frozen=True)
class SourceFaces:
    """The photographs of a source and their labels.

    ``records`` has a row per photograph: path (relative to ``root``, or absolute), subject, expression, lighting, and, where
    the source itself says so, split; of photographs in a record file, the columns of PACKED, too, and path is then a name for the
    record. Further columns go into faces.parquet as they are. ``unusable`` (path, why)
    are files whose names alone say that they are none of it. The shares hold where the records have no split: then the people
    whose photographs could be used are split. ``doubts`` are sentences on what may not be meant so, as a root that is too high.
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
        if PACKED[0] in self.records.columns:
            packed = zip(*(self.records[column] for column in PACKED), strict=True)
            return tuple(Photograph(self.root / str(file), int(offset)) for file, offset in packed)
        return tuple(Photograph(self.root / path) for path in self.records["path"])


Source = Callable[[Path], SourceFaces]
