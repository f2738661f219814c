"""What a source says about a labelled collection of photographs, before any of them is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import Skipped


@dataclass(frozen=True)
class SourceFaces:
    """The photographs of a source and their labels.

    ``records`` has a row per photograph: path (relative to ``root``, or absolute), subject, expression, lighting, and, where
    the source itself says so, split; further columns go into faces.parquet as they are. ``unusable`` (path, why)
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


Source = Callable[[Path], SourceFaces]
