"""Writing a data set folder, whole or not at all, and the hash of what training sees of it (dataset.py says what is in it)."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import FILE, FORMAT, Dataset, checked_faces, open_dataset, splits_of
from legan.platform.data.masks import pack_mask
from legan.platform.data.skipped import arrow_skipped
from legan.platform.errors import DataError, counted
from legan.platform.files import refuse_existing, whole_folder

_COLUMNS = {
    "subject": pa.string(),
    "expression": pa.string(),
    "lighting": pa.string(),
    "split": pa.string(),
    "landmarks": pa.list_(pa.float32()),
    "yaw": pa.float32(),
    "source_path": pa.string(),
    "duplicate_of": pa.int64(),
}


def write_dataset(
    out: Path | str,
    *,
    name: str,
    schema: AttributeSchema,
    faces: pd.DataFrame,
    images: Iterable[NDArray[np.uint8]] | NDArray[np.uint8],
    hulls: NDArray[np.bool_] | NDArray[np.uint8],
    skipped: pd.DataFrame | None = None,
    source: str,
    alignment: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Dataset:
    """Write a data set folder whole or not at all, and open it.

    ``faces`` needs subject, expression, lighting (class names of ``schema``), split (train, val, test; a subject in one
    split only) and landmarks (2K floats); yaw, source_path and duplicate_of may be left out; further columns are kept.
    ``images`` are N uint8 H×H×3, streamed; ``hulls`` bool N×H×W or packed bits. Raises DataError where this does not
    fit together, where there is no face at all, and where ``out`` exists (unless ``overwrite``).

    >>> schema = AttributeSchema(("neutral",), ("front", "left"))
    >>> labels = {"subject": ["ann", "ann"], "expression": "neutral", "lighting": ["front", "left"], "split": "train"}
    >>> faces = pd.DataFrame(labels).assign(landmarks=[[10.0, 12.0, 22.0, 12.0]] * 2)
    >>> images, hulls = np.zeros((2, 32, 32, 3), np.uint8), np.ones((2, 32, 32), np.bool_)
    >>> len(write_dataset("mine", name="mine", schema=schema, faces=faces, images=images, hulls=hulls, source="by hand"))
    2
    """
    out = Path(out)
    refuse_existing(out, FILE, overwrite=overwrite)
    faces = checked_faces(faces, schema)
    stream = iter(images)
    first = next(stream, None)
    if first is None:
        raise DataError(f"the data set {name} would hold no images.")
    size = first.shape[0]
    packed = pack_mask(hulls.astype(np.bool_)) if hulls.dtype == np.bool_ else np.asarray(hulls, np.uint8)
    if packed.shape != (len(faces), -(-size * size // 8)):
        raise DataError(f"{counted(len(faces), 'face')} of {size}×{size} do not fit hull masks of shape {hulls.shape}.")

    with whole_folder(out) as draft:
        _write_images(draft / "images.npy", chain([first], stream), (len(faces), size, size, 3))
        np.save(draft / "hulls.npy", packed)
        pq.write_table(arrow_faces(faces), draft / "faces.parquet")
        pq.write_table(arrow_skipped(skipped), draft / "skipped.parquet")
        values = {
            "format": FORMAT,
            "name": name,
            "source": source,
            "image_size": size,
            "faces": len(faces),
            "content_hash": content_hash(np.load(draft / "images.npy", mmap_mode="r"), packed, faces, schema),
            "schema": schema.to_dict(),
            "splits": splits_of(faces),
            "alignment": dict(alignment or {}),
            "info": dict(info or {}),
        }
        (draft / FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        refuse_existing(out, FILE, overwrite=overwrite)
    return open_dataset(out)


def content_hash(images: NDArray[np.uint8], packed_hulls: NDArray[np.uint8], faces: pd.DataFrame, schema: AttributeSchema) -> str:
    """Sha256 (hex) of what training sees: schema, pixels, hulls, and each row's subject, classes and split.

    Names, paths, yaw and the order of Parquet's columns don't enter, so a data set prepared again from the same files
    in another place has the same hash.
    """
    labels = faces[["subject", "expression", "lighting", "split"]].astype(str)
    return content_hash_of_parts(
        (images.shape[0], images.shape[1]),
        schema,
        (images[start : start + 256] for start in range(0, len(images), 256)),
        (packed_hulls[start : start + 4096] for start in range(0, len(packed_hulls), 4096)),
        [labels.to_numpy(dtype=object).tolist()],
    )


def content_hash_of_parts(
    shape: tuple[int, int],
    schema: AttributeSchema,
    images: Iterable[NDArray[np.uint8]],
    packed_hulls: Iterable[NDArray[np.uint8]],
    labels: Iterable[Sequence[Sequence[str]]],
) -> str:
    """``content_hash`` of N images of size H, ``shape`` (N, H), all given piece by piece; a label is the four names."""
    count, size = shape
    digest = hashlib.sha256(json.dumps([[count, size, size, 3], schema.to_dict()], sort_keys=True).encode())
    for piece in chain(images, packed_hulls):
        digest.update(np.ascontiguousarray(piece).tobytes())
    between = b"["
    for part in labels:
        digest.update(between + json.dumps(part)[1:-1].encode())
        between = b", "
    digest.update(b"]")
    return digest.hexdigest()


def arrow_faces(faces: pd.DataFrame) -> pa.Table:
    """The table of faces in the types of faces.parquet, columns that may be left out filled."""
    empty = {"yaw": float("nan"), "source_path": "", "duplicate_of": None}
    columns: dict[str, Any] = {}
    for column, kind in _COLUMNS.items():
        if column not in faces.columns:
            columns[column] = pa.array([empty[column]] * len(faces), kind)
        elif column == "landmarks":
            columns[column] = pa.array([np.asarray(points, np.float32) for points in faces[column]], kind)
        else:
            columns[column] = pa.array(faces[column], kind, from_pandas=column == "duplicate_of")
    for column in faces.columns:
        if column not in columns:
            columns[str(column)] = pa.array(faces[column])
    return pa.table(columns)


def _write_images(path: Path, images: Iterable[NDArray[np.uint8]], shape: tuple[int, int, int, int]) -> None:
    target = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    count = 0
    for count, image in enumerate(images, start=1):
        if image.shape != shape[1:] or image.dtype != np.uint8:
            raise DataError(f"image {count - 1} is {image.dtype} {image.shape}, not uint8 {shape[1:]}.")
        if count > shape[0]:
            break
        target[count - 1] = image
    if count != shape[0]:
        raise DataError(
            f"the table names {counted(shape[0], 'face')}, but there are {'more' if count > shape[0] else count} images."
        )
    target.flush()
