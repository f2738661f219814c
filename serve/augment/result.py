"""From the finished parts of ``legan augment`` to a data set folder, and what is said of it at the end.

Nothing is held but the part at hand, the labels, and a split per subject.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import kind_lines, skipped_of, skipped_table
from legan.platform.data.stream import Part, write_parts
from legan.platform.data.unfinished import drop_work
from legan.platform.errors import DataError, counted
from legan.platform.model import Model
from legan.serve.augment.input import ROWS, Photographs, Rows
from legan.serve.augment.plan import UNKNOWN, Labels
from legan.serve.augment.worker import PHOTOS, Done, part_path

Ints = NDArray[np.integer]
_ROWS_AT_ONCE = 256
_MADE = {
    "synthetic": (False, np.bool_), "quality": (np.nan, np.float32), "similarity": (np.nan, np.float32), "attempt": (0, np.int16),
    "model": ("", str), "model_version": ("", str), "model_hash": ("", str), "seed": (0, np.int64),
}  # fmt: skip
"""What a row says of its making, with the value and the type of a photographed face's."""


@dataclass(frozen=True)
class Origin:
    """What every row of the result says of itself: the model, its version and weights, and the seed of the plan."""

    model: str
    model_version: str
    model_hash: str
    seed: int


def assemble_faces(folder: Path, photographs: Photographs, model: Model, parts: int) -> None:
    """The aligned faces of the photographs as a data set folder ``folder/faces``.

    Where there is none, DataError says why, and ``folder`` is dropped.
    """
    files = [part_path(folder, "photos", part) for part in range(parts)]
    counts, skipped = [], list(photographs.unusable)
    for number, file in enumerate(files):
        with np.load(file, allow_pickle=False) as part:
            counts.append(len(part["rows"]))
            paths = photographs.records["path"].iloc[part["skipped_rows"] + number * PHOTOS]
            skipped += [(str(path), why) for path, (_, why) in zip(paths, skipped_of(part), strict=True)]

    if sum(counts) == 0:
        drop_work(folder)
        why = "; ".join(kind_lines(skipped_table(skipped)))
        raise DataError(f"none of {counted(len(skipped), 'photograph')} of {photographs.root} could be used: {why}.")

    write_parts(
        folder / "faces",
        (
            _found_faces(file, photographs.records.iloc[number * PHOTOS :])
            for number, (file, count) in enumerate(zip(files, counts, strict=True))
            if count
        ),
        count=sum(counts),
        image_size=model.image_size,
        name="faces",
        schema=photographs.schema,
        skipped=skipped_table(skipped),
        source="photographs",
        alignment=model.alignment.to_dict(),
    )
    for file in files:
        file.unlink()


def assemble(
    folder: Path, faces: Path, model: Model, origin: Origin, parts: int, total: Done, originals: bool, **about: Any
) -> None:
    """The result as ``folder/dataset``: the source faces, if ``originals``, then the translations in the plan's order.

    ``about`` is name, source, skipped and info, as in ``write_dataset``.
    """
    kept = kept_rows(Rows(folder / ROWS).labels(model.schema)) if originals else np.zeros(0, np.int64)
    write_parts(
        folder / "dataset",
        _all_parts(folder, faces, model.schema, origin, parts, kept),
        count=len(kept) + total.made,
        image_size=model.image_size,
        schema=model.schema,
        alignment=model.alignment.to_dict(),
        **about,
    )


def kept_rows(labels: Labels) -> Ints:
    """The source faces whose classes the model both knows, which alone can stand in a data set of its schema."""
    return np.flatnonzero((labels.expression != UNKNOWN) & (labels.lighting != UNKNOWN))


def _found_faces(file: Path, records: pd.DataFrame) -> Part:
    with np.load(file, allow_pickle=False) as part:
        rows = records.iloc[part["rows"]]
        faces = pd.DataFrame(
            {
                "subject": [
                    f"{subject}#{face}" if face else subject for subject, face in zip(rows["subject"], part["faces"], strict=True)
                ],
                "expression": rows["expression"].to_numpy(),
                "lighting": rows["lighting"].to_numpy(),
                "split": rows["split"].to_numpy(),
                "landmarks": list(part["landmarks"]),
                "yaw": part["yaw"],
                "source_path": rows["path"].to_numpy(),
                "photo_face": part["faces"],
                "faces_found": part.get("faces_found", np.ones(len(rows), np.int64)),
                "found_by": part["found_by"],
            }
        )
        return Part(faces, part["images"], part["hulls"])


def _all_parts(folder: Path, faces: Path, schema: AttributeSchema, origin: Origin, parts: int, kept: Ints) -> Iterator[Part]:
    # Files are mapped anew for every part: pages of maps that stay open count as this process's memory.
    for start in range(0, len(kept), _ROWS_AT_ONCE):
        chosen = kept[start : start + _ROWS_AT_ONCE]
        rows = Rows(folder / ROWS).take(chosen)
        yield Part(_originals(rows, kept), _at(faces, "images", chosen), _at(faces, "hulls", chosen))
    for number in range(parts):
        with np.load(part_path(folder, "part", number), allow_pickle=False) as part:
            done = {name: part[name] for name in part.files}
        if len(done["jobs"]):
            sources = done["candidates"][:, 0]
            rows = Rows(folder / ROWS).take(sources)
            yield Part(_translations(rows, done, schema, origin), done["images"], _at(faces, "hulls", sources))


def _originals(rows: pd.DataFrame, kept: Ints) -> pd.DataFrame:
    """Source faces as rows of the result; who was a copy of a face that is kept too still says of which.

    A face that was made by ``legan augment`` before still says so, and of what model with which ratings.
    """
    copies = rows["duplicate_of"].astype("Int64")
    places = np.searchsorted(kept, copies.fillna(0).to_numpy(np.int64)).clip(max=len(kept) - 1)
    still = copies.notna().to_numpy() & (kept[places] == copies.fillna(-1).to_numpy(np.int64))
    known = set(_MADE) <= set(rows.columns)
    making = {
        name: (rows[name] if known else pd.Series([value] * len(rows))).astype(kind) for name, (value, kind) in _MADE.items()
    }
    return _taken_over(rows).assign(
        expression=rows["expression"],
        lighting=rows["lighting"],
        duplicate_of=pd.Series(places, dtype="Int64").where(still),
        **making,
    )


def _translations(rows: pd.DataFrame, done: Mapping[str, Any], schema: AttributeSchema, origin: Origin) -> pd.DataFrame:
    _, expressions, lightings = done["candidates"].T
    return _taken_over(rows).assign(
        expression=[schema.expressions[e] for e in expressions],
        lighting=[schema.lightings[light] for light in lightings],
        duplicate_of=pd.Series([None] * len(rows), dtype="Int64"),
        synthetic=True,
        quality=done["quality"],
        similarity=done["similarity"],
        attempt=done["attempt"],
        model=origin.model,
        model_version=origin.model_version,
        model_hash=origin.model_hash,
        seed=np.full(len(rows), origin.seed, np.int64),
    )


def _taken_over(rows: pd.DataFrame) -> pd.DataFrame:
    """What a face of the result has from its source; landmarks and yaw are the source's, as nobody looks for them again."""
    return pd.DataFrame(
        {
            "subject": rows["subject"],
            "split": rows["split"],
            "landmarks": rows["landmarks"],
            "yaw": rows["yaw"],
            "source_path": rows["source_path"],
            "source_row": rows["row"],
            "photo_face": rows["photo_face"] if "photo_face" in rows.columns else np.zeros(len(rows), np.int64),
            **{name: rows[name] for name in ("faces_found", "found_by") if name in rows.columns},
            "source_expression": rows["expression"],
            "source_lighting": rows["lighting"],
        }
    )


def _at(faces: Path, name: str, rows: Ints) -> NDArray[np.uint8]:
    return np.asarray(np.load(faces / f"{name}.npy", mmap_mode="r")[rows], np.uint8)
