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

_NAME = re.compile(r"(?P<subject>subject\d\d)\.(?P<condition>[a-z]+)(\.(gif|pgm|png))?")


def yale(root: Path) -> SourceFaces:
    """All images of the folder; 12 subjects train, 1 validates, 2 test. DataError where none is named like that."""
    records, unusable = [], []
    for path in sorted(root.iterdir()):
        name = _NAME.fullmatch(path.name)
        if path.name.startswith(".") or not path.is_file():
            continue
        if name is None or name["condition"] not in CONDITIONS:
            why = "its name is not subjectNN.condition with one of Yale's eleven conditions"
            unusable.append((path.name, Skipped("misnamed", why)))
            continue
        records.append((path.name, name["subject"], *CONDITIONS[name["condition"]], name["condition"]))
    if not records:
        raise DataError(f"{root} does not hold the Yale faces: expected files such as subject01.happy; correct --root.")
    table = pd.DataFrame(records, columns=["path", "subject", "expression", "lighting", "condition"])
    present = set(zip(table["subject"], table["condition"], strict=True))
    missing = [f"{who}.{what}" for who in sorted(set(table["subject"])) for what in CONDITIONS if (who, what) not in present]
    info = {"missing": missing}
    return SourceFaces("yale", root, SCHEMA, table, unusable, val_share=1 / 15, test_share=2 / 15, info=info)
