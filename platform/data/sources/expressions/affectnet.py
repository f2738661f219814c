"""AffectNet's manually annotated images, in both forms that were published.

    training.csv, validation.csv                      or in Manually_Annotated_file_lists/
    Manually_Annotated_Images/SUBFOLDER/FILE          whole photographs, by the column subDirectory_filePath

The columns are subDirectory_filePath, face_x, face_y, face_width, face_height (the face's box in pixels), facial_landmarks,
expression, valence and arousal; a list may lack the line with their names. The later form has one face an image:

    train_set/images/0.jpg                            cropped, 224×224; val_set likewise
    train_set/annotations/0_exp.npy                   0_val.npy and 0_aro.npy, too

Expressions are 0 to 7, in the order of EXPRESSIONS. 8 (none), 9 (uncertain) and 10 (no face) are left out, each with its
reason. Valence and arousal are from -1 to 1 and stand in columns of their names; -2 means that there is none. AffectNet names
no people, so each image is a person of its own, and no lightings. There is no test list: validation.csv is the split test, as
the paper has it, and a twentieth of training.csv is val.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.labels.splits import split_by_subject
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images
from legan.platform.data.sources.source import BOX, SourceFaces, rows_left_out, without_box
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError, counted, first_line

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
LISTS = {"training.csv": "train", "validation.csv": "test"}
FOLDERS = {"train_set": "train", "val_set": "test"}
IMAGES = "Manually_Annotated_Images"
LIST_FOLDER = "Manually_Annotated_file_lists"
COLUMNS = ("subDirectory_filePath", *BOX, "facial_landmarks", "expression", "valence", "arousal")
SCHEMA = AttributeSchema(EXPRESSIONS, (ANY,), {ANY: ANY})
VAL_SHARE = 0.05
"""Of the images of training.csv, which validate."""

_LEFT_OUT = {
    "8": Skipped("unlabelled", "AffectNet says that it shows none of its expressions (8)"),
    "9": Skipped("unlabelled", "AffectNet is not certain of its expression (9)"),
    "10": Skipped("no_face", "AffectNet says that it shows no face (10)"),
}
_CODES = {str(code): name for code, name in enumerate(EXPRESSIONS)}


def affectnet(root: Path) -> SourceFaces:
    """All images of an expression; DataError where neither form is there, or a list is damaged.

    Rows without an expression or a face, and those whose box is none, are unusable; a doubt says how many, and which is the
    first.
    """
    if any((root / name).is_dir() for name in FOLDERS):
        return _cropped(root)
    lists = {name: file for name in LISTS if (file := _list(root, name)) is not None}
    if not lists:
        raise DataError(
            f"{root} does not hold AffectNet: expected {' and '.join(LISTS)}, or {' and '.join(FOLDERS)}; "
            "give the folder that they are in as --root."
        )
    images = root / IMAGES
    if not images.is_dir():
        raise DataError(f"{root} does not hold AffectNet: there is no folder {IMAGES} beside its lists; unpack its images there.")
    rows = pd.concat([_rows(file).assign(list=name, split=LISTS[name]) for name, file in lists.items()], ignore_index=True)
    rows["path"] = f"{IMAGES}/" + rows["subDirectory_filePath"]
    rows[list(BOX)] = rows[list(BOX)].apply(pd.to_numeric, errors="coerce").astype(float)
    return _source(root, rows, without_box(rows))


def _cropped(root: Path) -> SourceFaces:
    parts, left = [], list[tuple[str, Skipped]]()
    for folder, split in FOLDERS.items():
        if not (root / folder / "images").is_dir():
            continue
        names, others = folder_images(root / folder / "images")
        left += [(f"{folder}/images/{name}", why) for name, why in others]
        labels = [_annotation(root / folder / "annotations", Path(name).stem) for name in names]
        part = pd.DataFrame(labels, columns=["expression", "valence", "arousal"])
        part["path"] = [f"{folder}/images/{name}" for name in names]
        parts.append(part.assign(split=split, list=f"{folder}/annotations", row=names))
    if not parts or not any(map(len, parts)):
        raise DataError(
            f"{root} does not hold AffectNet: no image in {' or '.join(f'{name}/images' for name in FOLDERS)}; correct --root."
        )
    rows = pd.concat(parts, ignore_index=True)
    return _source(root, rows, pd.Series(False, index=rows.index), left)


def _annotation(folder: Path, number: str) -> tuple[str, float, float]:
    """Expression, valence and arousal of an image; an expression of "" where there is none. DataError where a file is damaged."""
    try:
        expression = str(np.load(folder / f"{number}_exp.npy", allow_pickle=False).item())
    except FileNotFoundError:
        return "", np.nan, np.nan
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{folder / number}_exp.npy cannot be read ({first_line(error)}); restore it.") from error
    try:
        valence, arousal = (float(np.load(folder / f"{number}_{what}.npy", allow_pickle=False).item()) for what in ("val", "aro"))
    except FileNotFoundError:
        return expression, np.nan, np.nan
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{folder / number}_val.npy or _aro.npy cannot be read ({first_line(error)}); restore it.") from error
    return expression, valence, arousal


def _source(
    root: Path, rows: pd.DataFrame, without_face: "pd.Series[bool]", left: Sequence[tuple[str, Skipped]] = ()
) -> SourceFaces:
    rows = rows.assign(expression=rows["expression"].map(_CODES).fillna(rows["expression"]))
    known = rows["expression"].isin(EXPRESSIONS)
    unlabelled = ~known & ~rows["expression"].isin(list(_LEFT_OUT))
    boxless, repeated = known & without_face, rows["path"].duplicated()
    used = rows[known & ~without_face & ~repeated].reset_index(drop=True)
    unusable = list(left)
    said = rows[rows["expression"].isin(list(_LEFT_OUT))]
    unusable += [(str(path), _LEFT_OUT[str(code)]) for path, code in zip(said["path"], said["expression"], strict=True)]
    for wrong, kind, what in (
        (unlabelled, "unlabelled", "has no expression from 0 to 10"),
        (boxless, "no_box", "has an expression, but no face's box"),
        (known & ~without_face & repeated, "repeated", "names it once more"),
    ):
        unusable += [(str(row.path), Skipped(kind, f"row {row.row} of {row.list} {what}")) for row in rows[wrong].itertuples()]
    lacking = {"an expression from 0 to 10": unlabelled, "a face's box": boxless}
    doubts = [rows_left_out(rows[wrong], what) for what, wrong in lacking.items() if wrong.any()]
    if used.empty:
        why = f"; {doubts[0]}" if doubts else ""
        raise DataError(f"{root} holds no face with an expression of AffectNet{why.rstrip('.')}; restore the published lists.")
    training = used.loc[used["split"] == "train", "path"]
    if len(training):
        used["split"] = used["path"].map(split_by_subject(training, val_share=VAL_SHARE)).fillna(used["split"])
    emotions = used[["valence", "arousal"]].apply(pd.to_numeric, errors="coerce").astype(float)
    used[["valence", "arousal"]] = emotions.where(emotions >= -1)
    kept = ["path", "expression", "split", "valence", "arousal", *(column for column in BOX if column in used)]
    return SourceFaces("affectnet", root, SCHEMA, used[kept].assign(subject=used["path"], lighting=ANY), unusable, doubts=doubts)


def _list(root: Path, name: str) -> Path | None:
    return next((place / name for place in (root, root / LIST_FOLDER) if (place / name).is_file()), None)


def _rows(file: Path) -> pd.DataFrame:
    """The rows of a list, with or without a line of names; ``row`` counts them from 1. DataError where it is damaged."""
    try:
        with file.open(encoding="utf-8") as stream:
            first = stream.readline().strip().split(",")
        header = 0 if first[0] == COLUMNS[0] else None
        rows = pd.read_csv(file, header=header, names=None if header == 0 else list(COLUMNS), dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({first_line(error)}); restore the published file.") from error
    missing = [column for column in COLUMNS if column not in rows.columns and column != "facial_landmarks"]
    if missing or (header is None and len(first) != len(COLUMNS)):
        what = (
            f"it has no column {', '.join(missing)}"
            if missing
            else f"its first line has {counted(len(first), 'cell')}, not {len(COLUMNS)}"
        )
        raise DataError(f"{file} is not AffectNet's list: {what}; restore the published file.")
    return rows.drop(columns="facial_landmarks", errors="ignore").assign(row=range(1, len(rows) + 1))
