"""A data set as folders of PNG with a table, as other programs read them.

    OUT/train/metadata.csv      file_name, subject, expression, lighting, yaw, source_path and further columns of the faces
    OUT/train/000012.png        the aligned face of row 12
    OUT/validation/…  OUT/test/…

This is the layout of Hugging Face's ``imagefolder``: ``datasets.load_dataset("imagefolder", data_dir="OUT")`` reads it.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from legan.platform.data.dataset import SPLITS, Dataset
from legan.platform.files import refuse_existing, whole_folder
from legan.platform.mark import Mark, mark_options, model_name

FOLDERS = dict(zip(SPLITS, ("train", "validation", "test"), strict=True))
TABLE = "metadata.csv"


def export_folders(dataset: Dataset, out: Path) -> dict[str, int]:
    """Write all faces of all splits, whole or not at all; how many went into each folder.

    Landmarks are a list in a cell, x and y in turn, in pixels of the image. What `legan augment` made says so in its metadata.
    Raises DataError where ``out`` exists.

    >>> from legan.platform.data.dataset import open_dataset
    >>> export_folders(open_dataset("faces"), Path("exported"))["train"] > 0
    True
    """
    refuse_existing(out, TABLE, overwrite=False)
    counts = {}
    with whole_folder(out) as draft:
        for split, name in FOLDERS.items():
            rows = dataset.rows(split)
            if not len(rows):
                continue
            (draft / name).mkdir()
            files = [f"{row:06d}.png" for row in rows]
            for row, file in zip(rows, files, strict=True):
                mark = _mark(dataset, int(row))
                options = {} if mark is None else mark_options(mark)
                Image.fromarray(dataset.images[int(row)]).save(draft / name / file, **options)
            _table(dataset, rows, files).to_csv(draft / name / TABLE, index=False)
            counts[name] = len(rows)
    return counts


def _table(dataset: Dataset, rows: NDArray[np.int64], files: list[str]) -> pd.DataFrame:
    faces = dataset.faces.iloc[rows].drop(columns="split")
    faces = faces.assign(landmarks=[" ".join(f"{value:.2f}" for value in points) for points in faces["landmarks"]])
    faces.insert(0, "file_name", files)
    return faces


def _mark(dataset: Dataset, row: int) -> Mark | None:
    """By which model a face was made; None for a photographed one."""
    if "synthetic" not in dataset.faces or not dataset.faces["synthetic"].iloc[row]:
        return None
    name, version, digest = (str(dataset.faces[column].iloc[row]) for column in ("model", "model_version", "model_hash"))
    about = dataset.info.get("model", {})
    run = about.get("run", "") if about.get("model_hash") == digest else ""  # a face may be an earlier model's
    return Mark(model_name(Path(name)), version or digest[:12], run)
