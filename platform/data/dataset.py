"""The data set folder: what is in it, and how it is opened (write.py writes it).

    dataset.json     name, image size, attribute schema, splits by subject, source, content hash, alignment
    faces.parquet    a row per face: subject, expression, lighting, split, landmarks, yaw, source_path, duplicate_of, …
    images.npy       uint8 N×H×W×3 RGB, row i = row i of faces.parquet; opened memory-mapped
    hulls.npy        uint8 N×⌈H·W/8⌉, the hull masks as packed bits
    skipped.parquet  path, kind, reason: the files that could not be used

Shapes: N faces, H = W = image size, K landmarks per face.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from legan.models.attributes import AttributeSchema
from legan.platform.data.masks import unpack_mask
from legan.platform.data.skipped import FILE as SKIPPED
from legan.platform.data.skipped import read_skipped
from legan.platform.data.sources.licences import BY_SOURCE
from legan.platform.data.sources.root import subfolders
from legan.platform.errors import DataError, first_line

FORMAT = 1
FILE = "dataset.json"
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, pa.ArrowException)
"""What is raised where a folder's files are not as they were written; EOFError by NumPy, for an empty file."""

PERSONAL = ("folder", "class-folders", "table", "photographs")
"""Sources of photographs that no one else has: a name says who it is wherever it stands."""
MOST_PEOPLE = 10_000
"""Of more people than these are remembered, those with the smallest digests, the same ones everywhere."""

_REQUIRED = ("subject", "expression", "lighting", "split", "landmarks")


@dataclass(frozen=True)
class Alignment:
    """Where the eyes come to lie, as fractions of the image: x pixel = fraction · image_size − 0.5."""

    image_size: int = 128
    left_eye: tuple[float, float] = (0.335, 0.40)
    right_eye: tuple[float, float] = (0.665, 0.40)

    @property
    def eyes(self) -> NDArray[np.float32]:
        """Both eyes in pixels of the aligned image, float32 2×2."""
        return (np.array([self.left_eye, self.right_eye]) * self.image_size - 0.5).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"image_size": self.image_size, "left_eye": list(self.left_eye), "right_eye": list(self.right_eye)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Alignment":
        """Inverse of ``to_dict``."""
        (left_x, left_y), (right_x, right_y) = values["left_eye"], values["right_eye"]
        return cls(int(values["image_size"]), (float(left_x), float(left_y)), (float(right_x), float(right_y)))


DEFAULT_ALIGNMENT = Alignment()


class LeftOut(NamedTuple):
    """Classes of a data set that somebody does without."""

    expressions: tuple[str, ...] = ()
    lightings: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Each with its kind, such as ``expression smile``."""
        return [*(f"expression {name}" for name in self.expressions), *(f"lighting {name}" for name in self.lightings)]


NOTHING = LeftOut()


@dataclass(frozen=True, eq=False)
class Dataset:
    """An opened data set folder; images stay on disk until they are indexed.

    ``faces`` holds class *names*; ``expression``, ``lighting`` and ``subject`` give the arrays training needs.
    Pickling one (as Ray does) sends the path, not the pixels.
    Rows of classes that are ``left_out`` are there, but in no split.
    """

    path: Path
    name: str
    image_size: int
    schema: AttributeSchema
    faces: pd.DataFrame
    images: NDArray[np.uint8]
    content_hash: str
    source: str
    packed_hulls: NDArray[np.uint8]
    alignment: Mapping[str, Any]
    info: Mapping[str, Any]
    left_out: LeftOut = NOTHING

    def __len__(self) -> int:
        return len(self.faces)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_without, (self.path, self.left_out)

    @cached_property
    def expression(self) -> NDArray[np.int64]:
        """Expression class of each face, int64 N; -1 for one that is left out."""
        return _indices(self.faces["expression"], self.schema.expressions, self.left_out.expressions)

    @cached_property
    def lighting(self) -> NDArray[np.int64]:
        """Lighting class of each face, int64 N; -1 for one that is left out."""
        return _indices(self.faces["lighting"], self.schema.lightings, self.left_out.lightings)

    @cached_property
    def subject(self) -> NDArray[np.str_]:
        """Subject name of each face, str N."""
        return self.faces["subject"].to_numpy(dtype=np.str_)

    @cached_property
    def skipped(self) -> pd.DataFrame:
        """The files that could not be used: path, kind, reason."""
        return read_skipped(self.path)

    @property
    def splits(self) -> dict[str, list[str]]:
        """Subjects of each split, sorted; only splits that occur."""
        return splits_of(self.faces)

    def without(self, classes: LeftOut) -> "Dataset":
        """The data set without these of its classes, rows numbered as before; ValueError where none of a kind remain."""
        if not classes.names:
            return self
        gone = self.faces["expression"].isin(classes.expressions) | self.faces["lighting"].isin(classes.lightings)
        return replace(
            self,
            schema=self.schema.without(*classes),
            faces=self.faces.assign(split=self.faces["split"].mask(gone, "")),
            left_out=LeftOut(*(own + more for own, more in zip(self.left_out, classes, strict=True))),
        )

    def known_to(self, schema: AttributeSchema) -> "Dataset":
        """The data set without the classes that ``schema`` lacks; the whole where it lacks none, or knows classes of its own."""
        if not set(schema.expressions) <= set(self.schema.expressions) or not set(schema.lightings) <= set(self.schema.lightings):
            return self
        return self.without(
            LeftOut(
                tuple(name for name in self.schema.expressions if name not in schema.expressions),
                tuple(name for name in self.schema.lightings if name not in schema.lightings),
            )
        )

    def rows(self, split: Split | None = None) -> NDArray[np.int64]:
        """Row numbers of a split in ascending order, int64; all rows for None. DataError for an unknown name."""
        if split is None:
            return np.arange(len(self.faces), dtype=np.int64)
        if split not in SPLITS:
            raise DataError(f"there is no split {split!r}; a data set has: {', '.join(SPLITS)}.")
        return np.flatnonzero((self.faces["split"] == split).to_numpy()).astype(np.int64)

    def real_rows(self, split: Split) -> NDArray[np.int64]:
        """The rows that results are measured on: a split's photographs, each once; numbers in ascending order, int64.

        Three kinds of rows are left out: translations, which `legan augment` marks as ``synthetic``; exact copies of an earlier
        row; and rows with such a copy in another split.
        """
        original = self.faces["duplicate_of"]
        real = original.isna().to_numpy()
        if "synthetic" in self.faces:
            real = real & ~self.faces["synthetic"].eq(True).to_numpy(np.bool_)
        shown_elsewhere = original[self.faces["split"] != split].dropna().to_numpy(np.int64)
        rows = self.rows(split)
        return np.setdiff1d(rows[real[rows]], shown_elsewhere)

    def people(self, split: Split) -> tuple[str, ...]:
        """Who is shown in a split, as sorted digests, equal for one person in two data sets; empty where that is not known.

        A person is known by the subject's name and by where the data come from: renderings of one seed show the same people at
        any size, and translations those whom they were made of.
        """
        return self.people_called(np.unique(self.subject[self.rows(split)]).tolist())

    def people_called(self, names: Sequence[str]) -> tuple[str, ...]:
        """The same of these subjects."""
        origin = origin_of_people(self.source, self.info)
        if origin is None:
            return ()
        return tuple(sorted(hashlib.sha256(f"{origin}\n{name}".encode()).hexdigest()[:12] for name in names)[:MOST_PEOPLE])

    def hulls(self, rows: NDArray[np.integer] | Sequence[int] | slice) -> NDArray[np.bool_]:
        """Hull masks of these rows, bool n×H×W, True inside the face."""
        return unpack_mask(self.packed_hulls[rows], self.image_size)

    @property
    def licence(self) -> str | None:
        """The terms that the data set was given, or its source's; None where nobody has said any."""
        given = self.info.get("licence")
        return str(given) if given else BY_SOURCE.get(self.source)

    def landmarks(self, rows: NDArray[np.integer] | Sequence[int]) -> NDArray[np.float32]:
        """Landmarks of these rows in pixels of the aligned image, float32 n×K×2 (x, y)."""
        chosen = self.faces["landmarks"].iloc[np.asarray(rows)]
        return np.stack([np.asarray(points, np.float32).reshape(-1, 2) for points in chosen])


def origin_of_people(source: str, info: Mapping[str, Any]) -> str | None:
    """Within what the names of a data set's subjects mean one person; None where it does not tell."""
    if source == "augmented":
        named = info.get("people_of")
        return None if named is None else str(named)
    if source == "rendered":
        return f"rendered {info.get('seed')}"
    return "photographs" if source in PERSONAL else source


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most ``most`` of some rows, evenly spread."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def open_dataset(path: Path | str) -> Dataset:
    """Open a data set folder; DataError says what is missing or does not fit together.

    >>> faces = open_dataset("faces")
    >>> len(faces), faces.image_size, faces.schema.expressions
    (72, 32, ('neutral', 'smile', 'scream'))
    >>> faces.splits["test"], faces.rows("test")[:4]
    (['f'], array([60, 61, 62, 63]))
    >>> faces.images[faces.rows("test")].shape, faces.hulls([0]).dtype
    ((12, 32, 32, 3), dtype('bool'))
    """
    path = Path(path).expanduser()
    described = path / FILE
    if not described.is_file():
        lack = f"it has no {FILE}" if path.exists() else "it does not exist"
        raise DataError(f"{path} is no data set ({lack}); {_remedy(path)}.")

    try:
        values = json.loads(described.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise DataError(f"{path} has data set format {values['format']}, this version reads {FORMAT}; prepare it anew.")
        schema = AttributeSchema.from_dict(values["schema"])
        size = int(values["image_size"])
        faces = pq.read_table(path / "faces.parquet").to_pandas()
        pq.read_metadata(path / SKIPPED)
        images = np.load(path / "images.npy", mmap_mode="r", allow_pickle=False)
        hulls = np.load(path / "hulls.npy", mmap_mode="r", allow_pickle=False)

        dataset = Dataset(
            path=path.resolve(),
            name=values["name"],
            image_size=size,
            schema=schema,
            faces=faces.astype({"duplicate_of": "Int64"}),
            images=images,
            content_hash=values["content_hash"],
            source=values["source"],
            packed_hulls=hulls,
            alignment=values["alignment"],
            info=values["info"],
        )
    except DAMAGE as error:
        raise unusable(path, error) from error

    try:
        checked_faces(faces, schema)
    except (DataError, TypeError) as error:
        raise unusable(path, error) from error

    expected = (len(faces), size, size, 3)
    if images.shape != expected or images.dtype != np.uint8 or hulls.shape != (len(faces), -(-size * size // 8)):
        raise DataError(
            f"the data set {path} is damaged (faces.parquet and dataset.json ask for images {expected}, images.npy holds "
            f"{images.shape} and hulls.npy {hulls.shape}); prepare or render it anew."
        )

    return dataset


def _remedy(path: Path) -> str:
    """The data sets near a folder that is none; how to make one where there are none."""
    near = [folder for folder in (*subfolders(path), *path.absolute().parents[:2]) if (folder / FILE).is_file()]
    if near:
        return f"data sets near it are: {', '.join(map(str, near[:3]))}{', …' if len(near) > 3 else ''}"
    return "make one with `legan data prepare` or `legan data render`"


def unusable(path: Path, error: BaseException) -> DataError:
    """What to say of a data set folder that could not be read."""
    if isinstance(error, PermissionError):
        return DataError(f"the data set {path} cannot be read ({first_line(error)}); correct the permissions of its files.")
    return DataError(f"the data set {path} is damaged ({first_line(error)}); prepare or render it anew.")


def checked_faces(faces: pd.DataFrame, schema: AttributeSchema) -> pd.DataFrame:
    """The table of faces if ``write_dataset`` can take it, numbered from 0; else DataError."""
    missing = [column for column in _REQUIRED if column not in faces.columns]
    if missing:
        raise DataError(f"the table of faces lacks: {', '.join(missing)}.")
    if faces.empty:
        raise DataError("not one face could be used, so there is no data set to write.")
    faces = faces.reset_index(drop=True)
    for column, known in (("expression", schema.expressions), ("lighting", schema.lightings), ("split", SPLITS)):
        unknown = sorted(set(faces[column].astype(str)) - set(known))
        if unknown:
            raise DataError(f"the table of faces has {column} {', '.join(unknown)}; known are: {', '.join(known)}.")
    torn = faces.groupby("subject")["split"].nunique()
    torn = torn[torn > 1]
    if len(torn):
        raise DataError(f"subject {torn.index[0]} is in more than one split ({len(torn)} such); splits are by subject.")
    lengths = {len(points) for points in faces["landmarks"]}
    if len(lengths) != 1 or next(iter(lengths)) % 2:
        raise DataError(f"landmarks need the same 2K numbers for every face, not {sorted(lengths)}.")
    return faces


def splits_of(faces: pd.DataFrame) -> dict[str, list[str]]:
    """Subjects of each split, sorted; only splits that occur."""
    pairs = faces[["split", "subject"]].drop_duplicates()
    found = {split: sorted(pairs.loc[pairs["split"] == split, "subject"].astype(str)) for split in SPLITS}
    return {split: subjects for split, subjects in found.items() if subjects}


def _opened_without(path: Path, classes: LeftOut) -> Dataset:
    return open_dataset(path).without(classes)


def _indices(names: "pd.Series[str]", classes: tuple[str, ...], left_out: tuple[str, ...]) -> NDArray[np.int64]:
    index = dict.fromkeys(left_out, -1) | {name: i for i, name in enumerate(classes)}
    return np.array([index[name] for name in names], np.int64)
