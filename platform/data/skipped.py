"""Files that could not be used: of what kind, and why.

Code looks at the kind alone; the reason is a sentence about the one file, for people.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from legan.platform.data.image import LEAST_FACE

FILE = "skipped.parquet"
COLUMNS = ("path", "kind", "reason")


class SkipKind(NamedTuple):
    """What is said of all files of a kind together: what is wrong with them, and what to do about it ("": nothing)."""

    what: str
    remedy: str = ""


KINDS = {
    "unreadable": SkipKind("cannot be read", "restore the files, or correct their permissions"),
    "no_image": SkipKind("no image of a known format", "convert the files to JPEG or PNG"),
    "heic": SkipKind("HEIC, which pillow-heif reads", "pip install 'legan[heic]', or convert the files to JPEG"),
    "other_file": SkipKind("no image"),
    "hidden": SkipKind("hidden"),
    "unused": SkipKind("of no use to this source"),
    "other_class": SkipKind("of an expression that was not asked for"),
    "seen_folder": SkipKind("a folder that another path leads to"),
    "too_large": SkipKind("too many pixels", "scale the images down"),
    "no_face": SkipKind("no face was found"),
    "no_head": SkipKind("what was found fits no upright head", "turn the photographs upright, or leave them out"),
    "outside": SkipKind(
        "too much of the face's surroundings lies outside the photograph", "give photographs that show more around the face"
    ),
    "small_face": SkipKind("the face is too small"),
    "close_eyes": SkipKind("the eyes are too close together", "give larger photographs, or faces towards the camera"),
    "no_landmarks": SkipKind("no landmarks were found on the face", "prepare with --landmarks mean"),
    "not_square": SkipKind("not square", "leave --aligned out, or crop the images as their data set does"),
    "no_box": SkipKind("its data set gives no box of its face", "restore the published table"),
    "other_face": SkipKind("no face was found in the box that its data set gives"),
    "smaller_face": SkipKind("a larger face of the same photograph is used"),
    "misnamed": SkipKind("the file's name is not one of this source", "rename the files, or name them in a table (source table)"),
    "unlabelled": SkipKind("not labelled", "fill in what is missing"),
    "repeated": SkipKind("named more than once", "name each photograph once"),
    "torn": SkipKind("the person is in several splits", "put each person into one split"),
    "unusable": SkipKind("cannot be used"),
}


_OF_ITS_SIZE = ("no_face", "small_face")
"""Kinds that --min-face has a part in, where a command has this option."""


class Skipped(NamedTuple):
    """Why a file could not be used: the ``kind`` (a name in KINDS), and the ``reason``, a sentence about this file."""

    kind: str
    reason: str


HIDDEN = Skipped("hidden", "its name begins with a dot, as those of hidden files do")


def skipped_table(skipped: Iterable[tuple[str, Skipped]]) -> pd.DataFrame:
    """A row per path with its kind and reason."""
    return pd.DataFrame([(path, why.kind, why.reason) for path, why in skipped], columns=list(COLUMNS))


def skip_lines(skipped: pd.DataFrame, min_face: int | None = None) -> list[str]:
    """How many files were skipped, and a line a kind, the most frequent first: count, example and remedy; none for no file.

    ``min_face`` is what --min-face was, None where the command has no such option.
    """
    if skipped.empty:
        return []
    head = f"{len(skipped)} file{'s were' if len(skipped) != 1 else ' was'} skipped (skipped.parquet):"
    return [head, *(f"  {line}" for line in kind_lines(skipped, min_face))]


def kind_lines(skipped: pd.DataFrame, min_face: int | None = None) -> list[str]:
    """The line of each kind, for ``skip_lines``; where a kind is not known, the files of each reason are one."""
    groups = skipped.groupby(skipped["kind"].where(skipped["kind"] != "", skipped["reason"]), sort=False)
    ordered = sorted((group for _, group in groups), key=len, reverse=True)
    return [_kind_line(group, min_face) for group in ordered]


def _kind_line(group: pd.DataFrame, min_face: int | None) -> str:
    path, name, reason = group[list(COLUMNS)].iloc[0]
    kind = KINDS.get(name, SkipKind(reason.rstrip(".")))
    example = path if kind.what == reason.rstrip(".") else f"{path}: {reason.rstrip('.')}"
    remedy = kind.remedy
    if min_face is not None and min_face > LEAST_FACE and name in _OF_ITS_SIZE:
        remedy = f"lower --min-face, which was {min_face}, to take smaller faces"
    several = ", …" if len(group) > 1 else ""
    return f"{len(group)} × {kind.what} ({example}{several}){f'; {remedy}' if remedy else ''}"


def skipped_of(part: Mapping[str, NDArray[Any]]) -> list[tuple[int, Skipped]]:
    """The skipped rows of a finished part, with why; parts that earlier versions left unfinished work with have no kinds."""
    kinds = part.get("kinds", [""] * len(part["reasons"]))
    return [
        (int(row), Skipped(str(kind), str(reason)))
        for row, kind, reason in zip(part["skipped_rows"], kinds, part["reasons"], strict=True)
    ]


def arrow_skipped(skipped: pd.DataFrame | None) -> pa.Table:
    """The table of skipped files as text; no rows for None, and "" for the kinds where they are not said."""
    texts = pd.DataFrame() if skipped is None else skipped
    texts = texts.reindex(columns=list(COLUMNS), fill_value="")
    return pa.table({column: pa.array([str(value) for value in texts[column]], pa.string()) for column in COLUMNS})


def read_skipped(folder: Path) -> pd.DataFrame:
    """The skipped files of a data set folder: path, kind, reason; folders of earlier versions say no kind, which is "" then."""
    table: pd.DataFrame = pq.read_table(folder / FILE).to_pandas()
    return table.reindex(columns=list(COLUMNS), fill_value="")
