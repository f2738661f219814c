"""UMDFaces (still images) as it lies on disk.

    umdfaces_batch1/umdfaces_batch1_ultraface.csv   a line a face; batch2 and batch3 likewise
    umdfaces_batch1/aaron_eckhart/…_0001.jpg        by the column FILE

The root holds the batches, any of them, or is one. Of the columns these are used: FILE, whose folder is the person (SUBJECT_ID
counts within a batch), FACE_X, FACE_Y, FACE_WIDTH, FACE_HEIGHT, the face's box in pixels, and YAW, PITCH and ROLL in degrees,
which stand in the columns published_yaw, published_pitch and published_roll. UMDFaces names no expressions and no lightings.
Its people are split by share.
"""

from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.plain_table import lacking, read_plain_table
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.source import BOX, SourceFaces, rows_left_out, without_box
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError

PUBLISHED_BOX = ("FACE_X", "FACE_Y", "FACE_WIDTH", "FACE_HEIGHT")
POSE = {"YAW": "published_yaw", "PITCH": "published_pitch", "ROLL": "published_roll"}
SCHEMA = AttributeSchema((ANY,), (ANY,), {ANY: ANY})


def umdfaces(root: Path) -> SourceFaces:
    """All faces of the batches that are there; DataError where there is none, or a list lacks columns or names no face."""
    lists = sorted([*root.glob("umdfaces_batch?_ultraface.csv"), *root.glob("umdfaces_batch?/umdfaces_batch?_ultraface.csv")])
    if not lists:
        raise DataError(
            f"{root} does not hold UMDFaces: expected umdfaces_batch1/umdfaces_batch1_ultraface.csv; "
            "give the folder that the batches are in as --root."
        )
    rows = pd.concat([_rows(file, root) for file in lists], ignore_index=True)
    boxless = without_box(rows)
    nobody = rows["subject"] == ""
    reasons = ((boxless, "no_box", "gives no face's box"), (nobody & ~boxless, "unlabelled", "names no person's folder"))
    unusable = [
        (str(row.path), Skipped(kind, f"row {row.row} of {row.list} {what}"))
        for wrong, kind, what in reasons
        for row in rows[wrong].itertuples()
    ]
    used = rows[~boxless & ~nobody].drop(columns=["row", "list"]).drop_duplicates(ignore_index=True)
    doubts = [rows_left_out(rows[boxless], "a face's box")] if boxless.any() else []
    if used.empty:
        raise DataError(f"{root} does not hold UMDFaces: its lists name no face with a box; restore the published files.")
    return SourceFaces("umdfaces", root, SCHEMA, used.assign(expression=ANY, lighting=ANY), unusable, doubts=doubts)


def _rows(file: Path, root: Path) -> pd.DataFrame:
    table = read_plain_table(file, "list")
    problems = lacking(table, ("FILE", *PUBLISHED_BOX))
    if problems:
        raise DataError(f"the list {file} is not that of UMDFaces: {problems[0]}; restore the published file.")
    folder = file.parent.relative_to(root).as_posix()
    before = "" if folder == "." else f"{folder}/"
    names = table["FILE"].str.strip()
    found = pd.DataFrame({"path": before + names, "subject": [name.rpartition("/")[0] for name in names]})
    found = found.assign(row=range(1, len(table) + 1), list=file.name)
    for published, column in {**dict(zip(PUBLISHED_BOX, BOX, strict=True)), **POSE}.items():
        if published in table.columns:
            found[column] = pd.to_numeric(table[published], errors="coerce").astype(float)
    return found
