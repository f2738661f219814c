"""Data sets of any size, written and looked at piece by piece: memory does not grow with the pixels.

Shapes: N faces, n faces of a part, H = W = image size.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import DAMAGE, FILE, FORMAT, SPLITS, checked_faces, origin_of_people, unusable
from legan.platform.data.skipped import arrow_skipped
from legan.platform.data.write import arrow_faces, content_hash_of_parts
from legan.platform.errors import DataError, counted
from legan.platform.files import refuse_existing, whole_folder

ROW_GROUP = 4096
BLOCK_BYTES = 1 << 22
_HASHED = ["subject", "expression", "lighting", "split"]


@dataclass(frozen=True)
class Part:
    """Some rows of a data set: ``faces`` as for ``write_dataset``, images uint8 n×H×H×3, hulls packed n×⌈H·H/8⌉."""

    faces: pd.DataFrame
    images: NDArray[np.uint8]
    hulls: NDArray[np.uint8]


@dataclass(frozen=True)
class Header:
    """A data set folder, looked at without its rows; ``people_of`` as ``origin_of_people``."""

    path: Path
    name: str
    image_size: int
    schema: AttributeSchema
    content_hash: str
    alignment: Mapping[str, Any]
    rows: int
    people_of: str | None = None


def write_parts(
    out: Path,
    parts: Iterable[Part],
    *,
    count: int,
    image_size: int,
    name: str,
    schema: AttributeSchema,
    skipped: pd.DataFrame | None = None,
    source: str,
    alignment: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
) -> None:
    """``write_dataset`` for parts that have ``count`` faces together; memory holds one part, and a split per subject.

    Further columns need the same types in every part. Raises DataError where the parts don't fit together, where they are more
    or fewer than ``count``, where there is no face at all, and where ``out`` exists.
    """
    refuse_existing(out, FILE, overwrite=False)
    if count == 0:
        raise DataError("not one face could be used, so there is no data set to write.")

    with whole_folder(out) as draft:
        splits = _write_rows(draft, parts, count, image_size, schema)
        pq.write_table(arrow_skipped(skipped), draft / "skipped.parquet")

        values = {
            "format": FORMAT,
            "name": name,
            "source": source,
            "image_size": image_size,
            "faces": count,
            "content_hash": _content_hash(draft, count, image_size, schema),
            "schema": schema.to_dict(),
            "splits": splits,
            "alignment": dict(alignment or {}),
            "info": dict(info or {}),
        }
        (draft / FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        refuse_existing(out, FILE, overwrite=False)


def read_header(path: Path) -> Header:
    """What a data set folder says of itself; DataError says what is missing or does not fit together."""
    try:
        values = json.loads((path / FILE).read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise DataError(f"{path} has data set format {values['format']}, this version reads {FORMAT}; prepare it anew.")
        rows, size = int(pq.read_metadata(path / "faces.parquet").num_rows), int(values["image_size"])
        for file, shape in (("images.npy", (rows, size, size, 3)), ("hulls.npy", (rows, -(-size * size // 8)))):
            found = np.load(path / file, mmap_mode="r", allow_pickle=False)
            if found.shape != shape or found.dtype != np.uint8:
                raise ValueError(f"{file} holds {found.dtype} {found.shape} instead of uint8 {shape}")
        schema = AttributeSchema.from_dict(values["schema"])
        people_of = origin_of_people(values["source"], values["info"])
        return Header(path.resolve(), values["name"], size, schema, values["content_hash"], values["alignment"], rows, people_of)
    except DAMAGE as error:
        raise unusable(path, error) from error


def _write_rows(folder: Path, parts: Iterable[Part], count: int, size: int, schema: AttributeSchema) -> dict[str, list[str]]:
    """Write images, hulls and faces; the subjects of each split. No memory map is used, whose pages would count as memory."""
    split_of: dict[str, str] = {}
    landmarks: set[int] = set()
    hull_bytes, written = -(-size * size // 8), 0

    with ExitStack() as stack:
        images = stack.enter_context((folder / "images.npy").open("wb"))
        hulls = stack.enter_context((folder / "hulls.npy").open("wb"))
        npy_header(images, (count, size, size, 3))
        npy_header(hulls, (count, hull_bytes))
        table = stack.enter_context(_FaceTable(folder / "faces.parquet"))

        for part in parts:
            faces = checked_faces(part.faces, schema)
            if part.images.shape != (len(faces), size, size, 3) or part.hulls.shape != (len(faces), hull_bytes):
                raise DataError(
                    f"{counted(len(faces), 'face')} of {size}×{size} don't fit images {part.images.shape} and "
                    f"hulls {part.hulls.shape}."
                )

            for subject, split in zip(faces["subject"], faces["split"], strict=True):
                if split_of.setdefault(subject, split) != split:
                    raise DataError(f"subject {subject} is in more than one split; splits are by subject.")
            landmarks |= {len(points) for points in faces["landmarks"]}
            if len(landmarks) != 1:
                raise DataError(f"landmarks need the same 2K numbers for every face, not {sorted(landmarks)}.")

            images.write(np.ascontiguousarray(part.images).tobytes())
            hulls.write(np.ascontiguousarray(part.hulls).tobytes())
            table.add(arrow_faces(faces))
            written += len(faces)

    if written != count:
        raise DataError(f"{counted(count, 'face')} were announced, but there are {written}.")

    found = {split: sorted(name for name, own in split_of.items() if own == split) for split in SPLITS}
    return {split: subjects for split, subjects in found.items() if subjects}


class _FaceTable:
    """faces.parquet, in row groups of some thousand faces however small the parts are."""

    def __init__(self, path: Path):
        self._path = path
        self._waiting: list[Any] = []
        self._writer: Any = None

    def __enter__(self) -> "_FaceTable":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        if sum(each.num_rows for each in self._waiting) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._waiting[0].schema)
        self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = []


def npy_header(stream: BinaryIO, shape: tuple[int, ...], kind: str = "|u1") -> None:
    """Begin a .npy file of this shape and NumPy type; its values follow, written as bytes."""
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})


def _content_hash(folder: Path, count: int, size: int, schema: AttributeSchema) -> str:
    with pq.ParquetFile(folder / "faces.parquet") as file:
        labels = (
            list(zip(*(batch.column(name).to_pylist() for name in _HASHED), strict=True))
            for batch in file.iter_batches(ROW_GROUP, columns=_HASHED)
        )
        return content_hash_of_parts(
            (count, size), schema, _bytes_of(folder / "images.npy"), _bytes_of(folder / "hulls.npy"), labels
        )


def _bytes_of(file: Path) -> Iterator[NDArray[np.uint8]]:
    """The values of a uint8 .npy file, some megabytes at a time."""
    with file.open("rb") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        while block := stream.read(BLOCK_BYTES):
            yield np.frombuffer(block, np.uint8)
