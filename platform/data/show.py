"""Looking at a data set: a contact sheet of subjects × conditions, and its numbers as text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from legan.platform.data.dataset import SPLITS, Dataset
from legan.platform.data.faces.attempts import attempt_lines, count_attempts
from legan.platform.data.labels.classes import count_lines, left_out_notes, split_notes, unshown
from legan.platform.data.labels.mirror import mirror_line
from legan.platform.data.skipped import skip_lines
from legan.platform.errors import counted

_PAPER, _INK, _EMPTY = (255, 255, 255), (30, 30, 30), (225, 225, 225)
_MOST_NAMED = 20
SEVERAL = ("source_path", "faces_found")
"""The columns that tell of several people in one photograph."""


def contact_sheet(dataset: Dataset, *, subjects: int = 12, conditions: int = 12, tile: int = 128) -> Image.Image:
    """A row per subject, a column per combination of expression and lighting that occurs; grey where a subject lacks it.

    Where there are more subjects or combinations than asked for, evenly spread ones are shown. ``tile`` is a face's side in
    pixels.
    """
    faces, axes = dataset.faces, (dataset.schema.expressions, dataset.schema.lightings)
    pairs = faces[["expression", "lighting"]].drop_duplicates()
    order = pairs.assign(
        e=pairs["expression"].map(dataset.schema.expressions.index), l=pairs["lighting"].map(dataset.schema.lightings.index)
    ).sort_values(["e", "l"])
    columns = _spread(list(zip(order["expression"], order["lighting"], strict=True)), conditions)
    names = _spread([(split, subject) for split, members in dataset.splits.items() for subject in members], subjects)
    first = faces.reset_index(names="row").groupby(["subject", "expression", "lighting"])["row"].min()

    letter = max(11, tile // 9)
    font = ImageFont.load_default(letter)
    line, gap = round(letter * 1.3), 4
    left = gap + max(int(font.getlength(text)) for name in names for text in name) + gap
    top = gap + sum(len(classes) > 1 for classes in axes) * line + gap
    size = (left + len(columns) * (tile + gap), top + len(names) * (tile + gap))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, pair in enumerate(columns):
        for row, text in enumerate(name for name, classes in zip(pair, axes, strict=True) if len(classes) > 1):
            centre = left + column * (tile + gap) + tile / 2
            draw.text((centre, gap + row * line), _fitted(text, font, tile), fill=_INK, font=font, anchor="ma")
    for row, (split, subject) in enumerate(names):
        y = top + row * (tile + gap)
        draw.text((gap, y + tile / 2 - line), subject, fill=_INK, font=font)
        draw.text((gap, y + tile / 2), split, fill=_INK, font=font)
        for column, pair in enumerate(columns):
            place = (left + column * (tile + gap), y)
            index = first.get((subject, *pair))
            if index is None:
                sheet.paste(_EMPTY, (*place, place[0] + tile, place[1] + tile))
            else:
                face = Image.fromarray(np.asarray(dataset.images[int(index)]))
                sheet.paste(face.resize((tile, tile), Image.Resampling.LANCZOS), place)
    return sheet


def describe(dataset: Dataset) -> str:
    """Class counts by split, subjects, duplicates, skipped files and the content hash, as lines of text."""
    splits = [split for split in SPLITS if split in dataset.splits]
    size, occurring = dataset.image_size, len(dataset.faces[["expression", "lighting"]].drop_duplicates())
    possible = len(dataset.schema.expressions) * len(dataset.schema.lightings)
    min_face = dataset.info.get("options", {}).get("min_face")
    lines = [
        f"{dataset.name}: {counted(len(dataset), 'face')} of {size}×{size} from source {dataset.source}",
        f"content hash {dataset.content_hash}",
        f"licence: {dataset.licence or 'nobody has said one'}",
        f"{occurring} of {possible} combinations of expression and lighting occur",
        f"mirroring: {mirror_line(dataset.schema)}",
        "",
        *count_lines(dataset),
        *split_notes(dataset),
        *(left_out_notes(dataset, unshown(dataset, mirrored=True)) if "train" in splits else []),
        "",
        *(f"{split}: {_named(dataset.splits[split], 'subject')}" for split in splits),
        "",
        *_duplicates(dataset.faces),
        *several_lines(several_people(dataset.faces)),
        "",
        *_attempts(dataset.faces),
        *_made_by(dataset.faces),
        *(skip_lines(dataset.skipped, min_face) or ["no file was skipped"]),
        *([f"not there at all: {', '.join(dataset.info['missing'])}"] if dataset.info.get("missing") else []),
        *dataset.info.get("notes", []),
    ]
    return "\n".join(lines)


class SeveralPeople(NamedTuple):
    """How many photographs show several faces, and how many of them the first ones show, by path."""

    photographs: int
    first: dict[str, int]


def several_people(faces: pd.DataFrame) -> SeveralPeople:
    """The photographs of rows with the columns SEVERAL; none where a column is missing."""
    if not set(SEVERAL) <= set(faces.columns):
        return SeveralPeople(0, {})
    several = faces.loc[faces["faces_found"] > 1, list(SEVERAL)].drop_duplicates("source_path")
    first = {str(path): int(count) for path, count in several.head(_MOST_NAMED).itertuples(index=False)}
    return SeveralPeople(len(several), first)


def several_lines(found: SeveralPeople) -> list[str]:
    """The same to read; no lines for none."""
    if found.photographs == 0:
        return []
    show = "photograph shows" if found.photographs == 1 else "photographs show"
    lines = [f"{found.photographs} {show} several people; the largest face was taken (faces.parquet, column faces_found):"]
    lines += [f"  {path}: {counted(count, 'face')}" for path, count in found.first.items()]
    more = found.photographs - len(found.first)
    return [*lines, f"  … and {more} more"] if more else lines


def _duplicates(faces: pd.DataFrame) -> list[str]:
    """Every face whose photograph is pixel for pixel an earlier one; those that matter are marked."""
    copies = faces[faces["duplicate_of"].notna()]
    if copies.empty:
        return ["no exact duplicates"]
    lines = []
    for copy, original in zip(
        copies.to_dict("records"), faces.iloc[copies["duplicate_of"].astype(int)].to_dict("records"), strict=True
    ):
        differing = [
            f"{column} {copy[column]} against {original[column]}"
            for column in ("subject", "expression", "lighting", "split")
            if copy[column] != original[column]
        ]
        note = f", but their labels differ: {', '.join(differing)}" if differing else ""
        lines.append((not differing, f"  {copy['source_path']} = {original['source_path']}{note}"))
    lines.sort(key=lambda entry: entry[0])
    contradicting = sum(1 for agrees, _ in lines if not agrees)
    head = f"{counted(len(lines), 'exact duplicate')}, {contradicting or 'none'} with labels that differ:"
    more = [f"  … and {len(lines) - _MOST_NAMED} more (faces.parquet, column duplicate_of)"] if len(lines) > _MOST_NAMED else []
    return [head, *(text for _, text in lines[:_MOST_NAMED]), *more]


def _attempts(faces: pd.DataFrame) -> list[str]:
    if "found_by" not in faces:
        return []
    return attempt_lines(count_attempts(faces.drop_duplicates("source_path")["found_by"]))


def _made_by(faces: pd.DataFrame) -> list[str]:
    """How many images a model made, as their metadata say."""
    made = faces.loc[faces["made_by"] != "", "made_by"] if "made_by" in faces else pd.Series([], dtype=str)
    if made.empty:
        return []
    each = ", ".join(f"{count} by {model}" for model, count in made.value_counts().items())
    return [f"images that a model made, as their metadata tell: {each} (column made_by)"]


def _named(names: Sequence[str], what: str) -> str:
    shown = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    return f"{len(names)} {what}{'s' if len(names) != 1 else ''} ({shown})"


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    while text and font.getlength(text) > width:
        text = text.removesuffix("…")[:-1] + "…"
    return text


def _spread(items: list[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / max(1, most - 1))] for i in range(most)]
