"""Naturalness ratings that Q is trained on: read from a folder or a plain table, or SIMULATED where nobody was asked.

A ratings folder holds ratings.json (``simulated`` says what it is), ratings.parquet (a row per image: image = row of
images.npy, mean, std, source, split, and further columns) and images.npy (uint8 N×H×W×3, black outside the hull of the face
unless ratings.json says that they are not masked). ``legan ratings collect`` writes one from people's scores,
``legan data ratings`` a simulated one. A plain table is a CSV or Parquet file as table.py describes it, with images named
relative to the table. These images are used as they are; nobody says whether they are black outside the face.

Ratings run from 0 (unnatural) to 10. ``mean`` and ``std`` are those of an image's scores (paper, section 3), the standard
deviation the population's (divided by 3 for three scores) unless a table says otherwise, so three equal scores give 0.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from legan.platform.data.dataset import DAMAGE
from legan.platform.data.image import read_image
from legan.platform.data.plain_table import cell_text, is_table, lacking, read_plain_table
from legan.platform.data.ratings.label_studio import is_export
from legan.platform.data.ratings.table import NO_ROWS, label_problems, normalise_table, split_problems, told
from legan.platform.errors import DataError, Problem, counted, first_line, one_line
from legan.platform.files import refuse_existing, whole_folder

FORMAT = 1
FILE = "ratings.json"
COLUMNS = ("image", "mean", "std", "source", "split")
FIRST_PANEL = "training"
"""Who simulated ratings that do not say it."""
_BLACK = 32
"""JPEG and resizing leave this much in a black corner."""


@dataclass(frozen=True, eq=False)
class Ratings:
    """Rated images: uint8 N×H×W×3, float32 N means and standard deviations, str N names, sources and splits.

    ``masked`` says whether the images are black outside the hull of the face; None where nobody said. ``panel`` is who simulated
    them (simulated.py), None where people rated.
    """

    path: Path
    images: NDArray[np.uint8]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    name: NDArray[np.str_]
    source: NDArray[np.str_]
    split: NDArray[np.str_]
    simulated: bool
    masked: bool | None
    panel: str | None = None

    def __len__(self) -> int:
        return len(self.mean)

    @cached_property
    def content_hash(self) -> str:
        """Sha256 (hex) of what Q is trained on: pixels at this size, means, standard deviations and splits."""
        digest = hashlib.sha256(json.dumps([self.images.shape, self.split.tolist()]).encode())
        for values in (self.images, self.mean, self.std):
            digest.update(np.ascontiguousarray(values).reshape(-1).data)
        return digest.hexdigest()

    def only(self, rows: NDArray[np.int64]) -> "Ratings":
        """The ratings of these images, in this order."""
        per_image = ("images", "mean", "std", "name", "source", "split")
        return replace(self, **{field: getattr(self, field)[rows] for field in per_image})

    @property
    def provenance(self) -> dict[str, Any]:
        """What a Q trained on them says of them, and so does what is trained with that Q; plain values for JSON."""
        panel = {"ratings_panel": self.panel} if self.panel is not None else {}
        return {"simulated_ratings": self.simulated, "ratings_hash": self.content_hash, **panel}


def write_ratings(out: Path, about: dict[str, Any], table: pd.DataFrame, images: NDArray[np.uint8], *, overwrite: bool) -> None:
    """Write a ratings folder, whole or not at all; DataError where ``out`` exists (unless ``overwrite``)."""
    refuse_existing(out, FILE, overwrite=overwrite)
    with whole_folder(out) as draft:
        np.save(draft / "images.npy", images)
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), draft / "ratings.parquet")
        (draft / FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        refuse_existing(out, FILE, overwrite=overwrite)


def read_ratings(path: Path | str, image_size: int | None = None) -> Ratings:
    """Ratings of a folder or a plain table, the images brought to ``image_size`` (default: as stored; 128 for a table).

    Raises DataError naming everything that is wrong at once: missing columns, ratings outside 0 to 10, unknown splits,
    images that are missing or cannot be read.

    >>> from legan.platform.data.dataset import open_dataset
    >>> from legan.platform.data.ratings.simulated import make_simulated_ratings
    >>> _ = make_simulated_ratings(open_dataset("faces"), "ratings", count=20)
    >>> ratings = read_ratings("ratings")
    >>> len(ratings), ratings.simulated, ratings.images.shape
    (20, True, (20, 32, 32, 3))
    """
    path = Path(path)
    if path.is_file() and is_export(path):
        collected = f"legan ratings collect STUDY --scores {path} --out RATINGS"
        raise DataError(f"the ratings {path} are scores as Label Studio has them; make labels of them with `{collected}`.")
    if is_table(path):
        return _read_table(path, image_size or 128)
    if path.is_dir():
        return _read_folder(path, image_size)
    what = "is neither a ratings folder nor a table (.csv, .tsv, .parquet)" if path.exists() else "does not exist"
    raise DataError(f"the ratings {path} cannot be read: it {what}; make some with `legan data ratings`.")


def mask_problem(ratings: Ratings) -> str | None:
    """Why Q cannot be shown these images: some are not masked. Where nobody said, black corners stand for a mask."""
    whole = _unmasked(ratings)
    if len(whole) == 0:
        return None
    return (
        f"{len(whole)} of {counted(len(ratings), 'image')} of {ratings.path} are not masked, the first is "
        f"{whole[0]}, but what Q is shown "
        "is black outside the face's hull (section 3); rate masked faces, as `legan ratings batches` without --whole writes them"
    )


def histogram(mean: NDArray[np.float32]) -> str:
    """Ratings in the ten bins of the paper's Figure 7, a line per bin."""
    counts, _ = np.histogram(mean, bins=np.arange(11))
    widest = max(1, int(counts.max()))
    return "\n".join(f"{low:>2}-{low + 1:<2} {'█' * round(40 * n / widest)} {n}" for low, n in enumerate(counts))


def _unmasked(ratings: Ratings) -> NDArray[np.str_]:
    if ratings.masked is not None:
        return ratings.name[: 0 if ratings.masked else None]
    corners = ratings.images[:, :: ratings.images.shape[1] - 1, :: ratings.images.shape[2] - 1]
    return ratings.name[(corners > _BLACK).any(axis=(1, 2, 3))]


def _read_folder(path: Path, image_size: int | None) -> Ratings:
    if not (path / FILE).is_file():
        raise DataError(f"{path} holds no ratings (it has no ratings.json); make some with `legan data ratings`.")

    try:
        about = json.loads((path / FILE).read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise DataError(f"{path} has ratings format {about['format']}, this version reads {FORMAT}; make them anew.")
        table = pq.read_table(path / "ratings.parquet").to_pandas()
        images = np.load(path / "images.npy", mmap_mode="r", allow_pickle=False)
        simulated = bool(about["simulated"])
        masked = bool(about["masked"]) if "masked" in about else True  # the first folders did not say so
        panel = str(about.get("panel", FIRST_PANEL)) if simulated else None
    except PermissionError as error:
        message = f"the ratings {path} cannot be read ({first_line(error)}); correct the permissions of the folder's files."
        raise DataError(message) from error
    except DAMAGE as error:
        raise DataError(f"the ratings {path} are damaged ({first_line(error)}); make them anew.") from error

    problems = _folder_problems(table)
    if images.ndim != 4 or images.shape != (len(table), images.shape[1], images.shape[1], 3) or images.dtype != np.uint8:
        problems.append(Problem("images.npy", f"it holds {images.dtype} {images.shape} for {counted(len(table), 'row')}"))
    elif "image" in table and not table["image"].isin(np.arange(len(images))).all():
        problems.append(Problem("column image", "it names rows that images.npy does not have"))
    _raise(path, problems)

    chosen = np.asarray(images[table["image"].to_numpy(np.int64)])
    if image_size is not None and image_size != chosen.shape[1]:
        chosen = np.stack([_resized(image, image_size) for image in chosen])
    return _ratings(path, table, chosen, simulated, masked, panel)


def _read_table(path: Path, image_size: int) -> Ratings:
    table, problems = normalise_table(read_plain_table(path, "ratings"))
    images = []
    for number, name in zip(table.get("row", []), table.get("image", []), strict=True):
        if not name:
            continue  # named already
        try:
            image = read_image(path.parent / str(name))
        except DataError as error:
            problems.append(Problem(f"row {number}", one_line(error)))
            continue
        height, width = image.shape[:2]
        if max(height, width) > 1.1 * min(height, width):
            problems.append(Problem(f"row {number}", f"{name} is {width}×{height}, but rated images have to be square"))
        images.append(_resized(image, image_size))
    _raise(path, problems)
    return _ratings(path, table, np.stack(images), simulated=False, masked=None, panel=None)


def _folder_problems(table: pd.DataFrame) -> list[Problem]:
    missing = lacking(table, COLUMNS)
    if missing:
        return missing
    return [NO_ROWS] if table.empty else label_problems(table) + split_problems(table)


def _raise(path: Path, problems: list[Problem]) -> None:
    if problems:
        raise DataError(f"the ratings {path} cannot be used: {told(problems)}.")


def _resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    shrinks = size < image.shape[0]
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)


def _ratings(
    path: Path, table: pd.DataFrame, images: NDArray[np.uint8], simulated: bool, masked: bool | None, panel: str | None
) -> Ratings:
    return Ratings(
        path=path.resolve(),
        images=images,
        mean=pd.to_numeric(table["mean"]).to_numpy(np.float32, copy=True),
        std=pd.to_numeric(table["std"]).to_numpy(np.float32, copy=True),
        name=table["name" if "name" in table else "image"].astype(str).to_numpy(np.str_),
        source=table["source"].map(cell_text).to_numpy(np.str_),
        split=table["split"].astype(str).to_numpy(np.str_),
        simulated=simulated,
        masked=masked,
        panel=panel,
    )
