"""Stage II of section 3: from a data set of synthetic faces to batches that people rate.

    study folder   batches.json      what was chosen from which data set, and why
                   images/*.png      the chosen faces, black outside the hull; names and order say nothing of their source
                   images.csv        image, batch, and what raters must not see: row, source, subject, yaw, side, distance, group
                   assignments.csv   batch, rater, position, image, score: a row per score to be given, score blank

A rater is a seat such as b07-r2, the second rater of batch 7; who sits there is the study's matter.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from legan.platform.data.dataset import Dataset
from legan.platform.data.plain_table import cell_text, lacking, read_plain_table
from legan.platform.errors import DataError, counted
from legan.platform.files import refuse_existing, whole_folder

FORMAT = 1
FILE, ASSIGNMENTS = "batches.json", "assignments.csv"
_WRITTEN = (FILE, ASSIGNMENTS, "images.csv", "images")
MAX_YAW, BATCHES, RATERS = 15.0, 72, 3
"""Section 3's numbers."""


@dataclass(frozen=True)
class ChosenFaces:
    """Which faces are rated: ``rows`` of the data set, shuffled; ``dropped`` counts the others by reason.

    ``cells`` has a row per side and group: side, group, found (after the filters), chosen.
    """

    rows: NDArray[np.int64]
    dropped: dict[str, int] = field(default_factory=dict)
    cells: pd.DataFrame = field(default_factory=pd.DataFrame)


def choose_faces(
    data: Dataset,
    *,
    side: NDArray[np.str_] | None = None,
    group: NDArray[np.str_] | None = None,
    max_yaw: float = MAX_YAW,
    count: int | None = None,
    seed: int = 0,
) -> ChosenFaces:
    """The faces with |yaw| ≤ ``max_yaw``, without exact copies, equally many of each side and group that are given.

    The rarest cell decides how many, and ``count`` is the most. ``side`` and ``group`` are str N; faces with a blank group are
    left out. A ``max_yaw`` of 180 leaves no face out, whether its yaw is known or not. Raises DataError where nothing is left,
    and where yaws are unknown.
    """
    faces = data.faces
    yaw = faces["yaw"].to_numpy(np.float64)
    if max_yaw < 180 and np.isnan(yaw).any():
        raise DataError(
            f"{int(np.isnan(yaw).sum())} of {counted(len(data), 'face')} of {data.path} have no yaw (they "
            f"were not detected but taken as "
            "aligned, or drawn); prepare the photographs without --aligned, or take every face with --max-yaw 180."
        )

    sides = side if side is not None else np.full(len(data), "all")
    groups = group if group is not None else np.full(len(data), "all")
    left = np.ones(len(data), np.bool_)
    dropped = {}
    for reason, keep in (
        (f"turned by more than {max_yaw:g}°", (np.abs(yaw) <= max_yaw) | (max_yaw >= 180)),
        ("exact copies", faces["duplicate_of"].isna().to_numpy()),
        ("without a group", groups != ""),
    ):
        dropped[reason] = int((left & ~keep).sum())
        left &= keep

    cells = pd.DataFrame({"row": np.flatnonzero(left), "side": sides[left], "group": groups[left]})
    wanted_sides = ("natural", "unnatural") if side is not None else ("all",)
    wanted = [(each, name) for each in wanted_sides for name in sorted(set(groups[groups != ""]))]
    found = {cell: cells.loc[(cells["side"] == cell[0]) & (cells["group"] == cell[1]), "row"].to_numpy() for cell in wanted}

    empty = [" ".join(part for part in cell if part != "all") for cell in wanted if len(found[cell]) == 0]
    if not wanted or empty:
        said = f"there is no {' and no '.join(empty)} face" if any(empty) else "no face is left"
        raise DataError(
            f"nothing can be balanced: of {counted(len(data), 'face')} of {data.path}, {said} after {_said(dropped)}."
        )

    share = min(len(rows) for rows in found.values())
    if count is not None:
        share = min(share, count // len(wanted))
    if share == 0:
        raise DataError(f"{counted(count or 0, 'image')} cannot be shared by {len(wanted)} sides and groups; raise --count.")

    rng = np.random.default_rng([seed, 7])
    # Cell after cell, each in random order: dealt out in turn, they spread evenly over the batches.
    rows = np.concatenate([rng.permutation(found[cell])[:share] for cell in wanted])

    dropped["for balance"] = sum(map(len, found.values())) - len(rows)
    table = pd.DataFrame([(*cell, len(found[cell]), share) for cell in wanted], columns=["side", "group", "found", "chosen"])
    return ChosenFaces(rows.astype(np.int64), dropped, table)


def read_groups(file: Path | None, column: str, data: Dataset) -> NDArray[np.str_]:
    """A group name per face, str N, blank where there is none.

    They come from the data set's own column, or from a CSV or Parquet file with the columns image (as source_path of the data
    set) and ``column``. Raises DataError where columns are missing, an image has two groups, or no face has one.
    """
    if file is None:
        if column not in data.faces:
            raise DataError(f"the data set {data.path} has no column {column}; give a table with --groups FILE.")
        return data.faces[column].map(cell_text).to_numpy(np.str_)
    table = read_plain_table(file)
    missing = lacking(table, ("image", column))
    if missing:
        raise DataError(f"the table {file} cannot be used: {missing[0]}.")
    image, group = table["image"].map(cell_text), table[column].map(cell_text)
    again = image[image.duplicated()]
    if len(again):
        raise DataError(f"the table {file} names {again.iloc[0]} more than once ({len(again)} such rows).")
    groups = data.faces["source_path"].map(dict(zip(image, group, strict=True))).fillna("").to_numpy(np.str_)
    if not (groups != "").any():
        raise DataError(
            f"no image of the table {file} is in the data set {data.path}; name them as its column source_path does, "
            f"for example {data.faces['source_path'].iloc[0]}."
        )
    return groups


def deal(count: int, batches: int, raters: int, seed: int) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Deal ``count`` images, in their order, out to batches, and each batch to its raters.

    Returns the batch of each image (from 1; sizes differ by one at most) and the assignments: batch, rater, position (from 1) and
    ``index`` of the image. Each rater sees a batch in an order of their own.
    """
    batch = np.arange(count) % batches + 1
    rng = np.random.default_rng([seed, 8])
    parts = []
    for number in range(1, min(batches, count) + 1):
        own = np.flatnonzero(batch == number)
        for seat in range(1, raters + 1):
            order = {"position": range(1, len(own) + 1), "index": rng.permutation(own)}
            parts.append(pd.DataFrame({"batch": number, "rater": f"b{number:02d}-r{seat}", **order}))
    return batch, pd.concat(parts, ignore_index=True)


def refuse_replacing(out: Path, *, overwrite: bool) -> None:
    """DataError where ``out`` exists; with ``overwrite``, only where it holds scores or anything else than batches."""
    refuse_existing(out, FILE, overwrite=overwrite)
    if not (out / FILE).is_file():
        return
    added = sorted(path.name for path in out.iterdir() if path.name not in _WRITTEN)
    if added:
        raise DataError(f"{out} also holds {', '.join(added)}, so --overwrite leaves it alone; choose another folder.")
    if (out / ASSIGNMENTS).is_file():
        table = read_plain_table(out / ASSIGNMENTS)
        if "score" not in table or (table["score"] != "").any():
            raise DataError(f"{out / ASSIGNMENTS} holds scores, so --overwrite leaves it alone; choose another folder.")


def write_study(
    data: Dataset,
    out: Path,
    choice: ChosenFaces,
    *,
    batches: int = BATCHES,
    raters: int = RATERS,
    masked: bool = True,
    distance: NDArray[np.float64] | None = None,
    side: NDArray[np.str_] | None = None,
    group: NDArray[np.str_] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    about: dict[str, Any] | None = None,
) -> pd.DataFrame:
    """Write a study folder, whole or not at all, and return images.csv.

    ``masked``: black outside the hull, as stage II wants it; whole faces are stage I's. ``about`` goes into batches.json. Raises
    DataError for more batches than images, and as ``refuse_replacing``.
    """
    refuse_replacing(out, overwrite=overwrite)
    rows = choice.rows
    if batches > len(rows):
        raise DataError(f"{counted(len(rows), 'image')} cannot be divided into {batches} batches; lower --batches.")

    batch, assignments = deal(len(rows), batches, raters, seed)
    names = _image_names(data, rows, masked, seed)
    assignments = assignments.assign(image=names[assignments["index"]], score="").drop(columns="index")
    hidden = {"side": side, "distance": distance, "group": group}
    images = _table(data, rows, names, batch, {column: values for column, values in hidden.items() if values is not None})

    record = {
        "format": FORMAT,
        "dataset": data.name,
        "dataset_hash": data.content_hash,
        "image_size": data.image_size,
        "masked": masked,
        "images": len(rows),
        "batches": batches,
        "raters": raters,
        "seed": seed,
        "faces": len(data),
        "dropped": choice.dropped,
        "cells": choice.cells.to_dict("records"),
        **(about or {}),
    }
    with whole_folder(out) as draft:
        _save_images(draft, data, rows, names, masked)
        images.to_csv(draft / "images.csv", index=False)
        assignments.to_csv(draft / ASSIGNMENTS, index=False)
        (draft / FILE).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        refuse_replacing(out, overwrite=overwrite)
    return images


def _table(
    data: Dataset,
    rows: NDArray[np.int64],
    names: NDArray[np.str_],
    batch: NDArray[np.int64],
    hidden: Mapping[str, NDArray[Any]],
) -> pd.DataFrame:
    """The rows of images.csv, batch by batch; ``hidden`` are further columns, with a value for each face of the data set."""
    faces = data.faces.iloc[rows]
    table = pd.DataFrame(
        {
            "image": names,
            "batch": batch,
            "row": rows,
            "source": faces["source"].to_numpy() if "source" in faces else data.name,
            "source_path": faces["source_path"].to_numpy(),
            "subject": faces["subject"].to_numpy(),
            "yaw": faces["yaw"].to_numpy(),
            **{column: values[rows] for column, values in hidden.items()},
        }
    )
    return table.sort_values(["batch", "image"], ignore_index=True)


def _save_images(folder: Path, data: Dataset, rows: NDArray[np.int64], names: NDArray[np.str_], masked: bool) -> None:
    (folder / "images").mkdir()
    for row, name in zip(rows, names, strict=True):
        pixels = np.asarray(data.images[row])
        Image.fromarray(pixels * data.hulls([row])[0][..., None] if masked else pixels).save(folder / name)


def _image_names(data: Dataset, rows: NDArray[np.int64], masked: bool, seed: int) -> NDArray[np.str_]:
    """A name per row. It begins with digits of this study, so that no other study's scores are taken for this one's."""
    study = f"{data.content_hash} {rows.tolist()} {masked} {seed}"
    tag = hashlib.sha256(study.encode()).hexdigest()[:6]
    digits = max(5, len(str(len(rows))))
    numbers = np.random.default_rng([seed, 9]).permutation(len(rows)) + 1
    return np.array([f"images/{tag}-{number:0{digits}d}.png" for number in numbers])


def _said(dropped: dict[str, int]) -> str:
    return "leaving out " + ", ".join(f"{count} ({reason})" for reason, count in dropped.items())
