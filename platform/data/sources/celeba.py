"""CelebA as it lies on disk, for Table 3.

    Img/img_align_celeba/000001.jpg        aligned and cropped, 178×218; or Img/img_celeba/ in the wild
    Anno/list_attr_celeba.txt              40 attributes, 1 or -1
    Anno/identity_CelebA.txt               the person of each image
    Eval/list_eval_partition.txt           0 train, 1 validation, 2 test
    Anno/list_landmarks_align_celeba.txt   optional (list_landmarks_celeba.txt for img_celeba): five points

All of them may also lie directly in the root, as torchvision puts them, or as Kaggle does: the lists as .csv, and the images in
img_align_celeba/img_align_celeba. Kaggle leaves out who is who: without identity_CelebA.txt every image counts as a person of its
own, in the published split.

CelebA names no expression but Smiling: an image is ``smile`` or ``neutral``, which only means *not smiling*. It names no
lighting, so there is the one class ``any``. The paper trains nothing on CelebA; Table 3 compares outputs with their sources,
whatever the pose, so no image is left out for its yaw. Where there are landmarks, the yaw that follows from them stands in the
column published_yaw.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.align import estimate_yaw
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError, Problem, first_line

IMAGES = {"img_align_celeba": "list_landmarks_align_celeba", "img_celeba": "list_landmarks_celeba"}
ATTRIBUTES, IDENTITIES, PARTITION = "list_attr_celeba", "identity_CelebA", "list_eval_partition"
SCHEMA = AttributeSchema(("neutral", "smile"), (ANY,), {ANY: ANY})
NOBODY = f"there is no {IDENTITIES}.txt (Kaggle leaves it out): every image counts as a person of its own"

_SPLITS = {"0": "train", "1": "val", "2": "test"}


def celeba(root: Path) -> SourceFaces:
    """All images that the attribute list names; DataError names every file that is missing or of another form.

    The aligned images are taken where both kinds are there. People keep the published split. An image is unusable when it names
    nobody, or a person who is in another split as well.
    """
    images = next((found for name in IMAGES if (found := _images(root, name)) is not None), None)
    problems = [] if images is not None else [Problem(" or ".join(IMAGES), "there is no such folder")]
    tables: dict[str, pd.Series[str]] = {}
    for name in (ATTRIBUTES, IDENTITIES, PARTITION):
        file = _list(root, name)
        try:
            if file is not None:
                tables[name] = _smiling(file) if name == ATTRIBUTES else _plain(file)
            elif name != IDENTITIES:
                problems.append(Problem(f"{name}.txt", "there is no such file, and no .csv"))
        except (OSError, ValueError) as error:
            problems.append(Problem(file.name if file else name, f"it is damaged ({first_line(error)})"))
    if problems or images is None:
        wrong = "; ".join(map(str, problems))
        raise DataError(f"{root} does not hold CelebA: {wrong}; give the folder with Img, Anno and Eval as --root.")

    smiling, people = tables[ATTRIBUTES], tables.get(IDENTITIES)
    records = pd.DataFrame(
        {
            "path": [(images.relative_to(root) / str(name)).as_posix() for name in smiling.index],
            "subject": smiling.index if people is None else people.reindex(smiling.index).to_numpy(),
            "expression": np.where(smiling == "1", "smile", "neutral"),
            "lighting": ANY,
            "split": tables[PARTITION].reindex(smiling.index).map(_SPLITS).to_numpy(),
        },
        index=smiling.index,
    )
    landmarks = _list(root, IMAGES[images.name])
    if landmarks is not None:
        records["published_yaw"] = _yaw(landmarks).reindex(records.index)
    return _usable(root, records, {"notes": [NOBODY]} if people is None else {})


def _usable(root: Path, records: pd.DataFrame, info: Mapping[str, Any]) -> SourceFaces:
    unknown = records["subject"].isna() | records["split"].isna()
    first = records[~unknown].groupby("subject")["split"].transform("first").reindex(records.index)
    torn = ~unknown & (records["split"] != first)
    unnamed = Skipped("unlabelled", f"{IDENTITIES}.txt or {PARTITION}.txt does not name it")
    in_two = Skipped("torn", "its person is in another split as well")
    unusable = [(str(path), unnamed) for path in records.loc[unknown, "path"]]
    unusable += [(str(path), in_two) for path in records.loc[torn, "path"]]
    used = records[~unknown & ~torn].reset_index(drop=True)
    if used.empty:
        raise DataError(f"{root} does not hold CelebA: its lists name no image in common; give the published files as --root.")
    return SourceFaces("celeba", root, SCHEMA, used, unusable, info=info)


def _images(root: Path, name: str) -> Path | None:
    """The folder of the images; where an unpacked archive has doubled it, the inner one."""
    found = next((path for path in _places(root, name) if path.is_dir()), None)
    return found / name if found is not None and (found / name).is_dir() else found


def _list(root: Path, name: str) -> Path | None:
    """A list of the data set: .txt as published, or .csv."""
    return next((path for suffix in (".txt", ".csv") for path in _places(root, f"{name}{suffix}") if path.is_file()), None)


def _places(root: Path, name: str) -> list[Path]:
    return [root / folder / name for folder in ("Img", "Anno", "Eval", ".")]


def _plain(file: Path) -> "pd.Series[str]":
    """Two columns: image and value."""
    if file.suffix == ".csv":
        values = _csv(file).iloc[:, 0]
    else:
        values = pd.read_csv(file, sep=r"\s+", header=None, names=["image", "value"], dtype=str, index_col="image")["value"]
    return values[~values.index.duplicated()]


def _smiling(file: Path) -> "pd.Series[str]":
    attributes = _headed(file)
    if "Smiling" not in attributes:
        raise ValueError("it has no attribute Smiling")
    return attributes["Smiling"]


def _headed(file: Path) -> pd.DataFrame:
    """A line with the number of images (.txt only), the columns' names, and a line per image that starts with its name."""
    if file.suffix == ".csv":
        return _csv(file)
    with file.open(encoding="utf-8") as stream:
        count, names = stream.readline().strip(), stream.readline().split()
    if not count.isdigit() or not names:
        raise ValueError("it does not start with the number of images and the names of the columns")
    table = pd.read_csv(file, sep=r"\s+", skiprows=2, header=None, names=["image", *names], dtype=str, index_col="image")
    if len(table) != int(count):
        raise ValueError(f"it names {len(table)} images where it says {count}")
    return table[~table.index.duplicated()]


def _csv(file: Path) -> pd.DataFrame:
    """The columns of a list in Kaggle's form, by the image that each row begins with."""
    table = pd.read_csv(file, dtype=str, index_col=0, skipinitialspace=True)
    if table.shape[1] == 0:
        raise ValueError("it has a single column")
    return table[~table.index.duplicated()]


def _yaw(file: Path) -> "pd.Series[float]":
    """Yaw in degrees from five points per image, in the order of the detector's."""
    try:
        points = _headed(file).astype(float)
        return pd.Series([estimate_yaw(row.reshape(5, 2)) for row in points.to_numpy(np.float32)], index=points.index)
    except (OSError, ValueError) as error:
        raise DataError(f"the landmarks {file} are damaged ({first_line(error)}); restore or remove the file.") from error
