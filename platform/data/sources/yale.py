"""The Yale Face Database: 15 subjects, ``subjectNN.condition``, 320×243 grey.

Its eleven conditions vary either the expression under the same room light or the light on a normal face, so of 6 × 4
combinations 9 occur. ``leftlight`` shines from the viewer's left. Faces with glasses, without and ``normal`` ones all
have the expression normal.
"""

import re
from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import BESIDE, folder_images
from legan.platform.data.sources.source import SourceFaces
from legan.platform.errors import DataError

CONDITIONS = {
    "normal": ("normal", "ambient"),
    "glasses": ("normal", "ambient"),
    "noglasses": ("normal", "ambient"),
    "centerlight": ("normal", "center"),
    "leftlight": ("normal", "left"),
    "rightlight": ("normal", "right"),
    "happy": ("happy", "ambient"),
    "sad": ("sad", "ambient"),
    "sleepy": ("sleepy", "ambient"),
    "surprised": ("surprised", "ambient"),
    "wink": ("wink", "ambient"),
}
SCHEMA = AttributeSchema(
    expressions=("normal", "happy", "sad", "sleepy", "surprised", "wink"),
    lightings=("ambient", "center", "left", "right"),
    flip={"ambient": "ambient", "center": "center", "left": "right", "right": "left"},
)

_NAME = re.compile(r"(?P<subject>subject\d\d)\.(?P<condition>[a-z]+)(\.\w+)?")


def yale(root: Path) -> SourceFaces:
    """All images below the folder; 12 subjects train, 1 validates, 2 test. DataError where none is named like that.

    A photograph that lies there several times counts as the one in the fewest folders.
    """
    taken, others = folder_images(root)
    records: dict[tuple[str, str], str] = {}
    unusable = list(others)
    for path in sorted(taken, key=lambda path: (path.count("/"), path)):
        label = _label(path)
        if label is None:
            why = "its name is not subjectNN.condition with one of Yale's eleven conditions"
            unusable.append((path, Skipped("misnamed", why)))
        elif label in records:
            unusable.append((path, Skipped("repeated", f"{records[label]} has the same subject and condition")))
        else:
            records[label] = path

    if not records:
        raise DataError(f"{root} does not hold the Yale faces: expected files such as subject01.happy; correct --root.")
    rows = [(path, who, *CONDITIONS[what], what) for (who, what), path in sorted(records.items(), key=lambda item: item[1])]
    table = pd.DataFrame(rows, columns=["path", "subject", "expression", "lighting", "condition"])

    there = {*records, *(_label(path) for path, why in others if why.kind not in BESIDE)}
    missing = [f"{who}.{what}" for who in sorted(set(table["subject"])) for what in CONDITIONS if (who, what) not in there]
    info = {"missing": missing}
    return SourceFaces("yale", root, SCHEMA, table, unusable, val_share=1 / 15, test_share=2 / 15, info=info)


def _label(path: str) -> tuple[str, str] | None:
    """Subject and condition, of which Yale has eleven."""
    name = _NAME.fullmatch(path.rpartition("/")[2])
    return None if name is None or name["condition"] not in CONDITIONS else (name["subject"], name["condition"])
