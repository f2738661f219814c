"""RAF-DB (basic emotions) as it lies on disk.

    basic/EmoLabel/list_patition_label.txt          ``train_00001.jpg 5`` a line; the name is misspelt as published
    basic/Image/aligned/train_00001_aligned.jpg     100×100

``basic`` may be the root itself. The labels are 1 to 7, in the order of EXPRESSIONS. An image's name says its split; a
twentieth of train is val. RAF-DB names no people, so each image is a person of its own, and no lightings. Its alignment is
another one than a data set's, so leave ``--aligned`` out.
"""

from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.labels.splits import split_by_subject
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError, first_line

EXPRESSIONS = ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral")
LABELS, IMAGES = "EmoLabel/list_patition_label.txt", "Image/aligned"
SCHEMA = AttributeSchema(EXPRESSIONS, (ANY,), {ANY: ANY})
VAL_SHARE = 0.05
"""Of the images of train, which validate."""


def raf_db(root: Path) -> SourceFaces:
    """All aligned images that the list names; DataError where the list or the images are missing, or the list is damaged."""
    base = root / "basic" if (root / "basic").is_dir() else root
    labels, images = base / LABELS, base / IMAGES
    missing = [name for name, there in ((LABELS, labels.is_file()), (IMAGES, images.is_dir())) if not there]
    if missing:
        raise DataError(f"{root} does not hold RAF-DB: there is no {' and no '.join(missing)}; give the folder basic as --root.")
    expressions = _labels(labels)
    names, others = folder_images(images)
    shown = images.relative_to(root).as_posix()
    unlabelled = Skipped("unlabelled", f"{LABELS} does not name it")
    gone = Skipped("unreadable", f"{LABELS} names it, and it is not there")
    of_list = {_aligned(name): name for name in expressions}
    unusable = [(f"{shown}/{name}", why) for name, why in others]
    unusable += [(f"{shown}/{name}", unlabelled) for name in names if name not in of_list]
    unusable += [(f"{shown}/{name}", gone) for name in of_list if name not in {*names, *(left for left, _ in others)}]
    used = [name for name in names if name in of_list]
    if not used:
        raise DataError(f"{root} does not hold RAF-DB: {LABELS} names no image of {IMAGES}; restore the published files.")
    paths = [f"{shown}/{name}" for name in used]
    training = [path for path, name in zip(paths, used, strict=True) if name.startswith("train_")]
    splits = dict.fromkeys(paths, "test") | (split_by_subject(training, val_share=VAL_SHARE) if training else {})
    records = pd.DataFrame({"path": paths, "subject": paths, "lighting": ANY})
    records["expression"] = [expressions[of_list[name]] for name in used]
    records["split"] = records["path"].map(splits)
    return SourceFaces("raf-db", root, SCHEMA, records, sorted(unusable))


def _aligned(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}_aligned.{suffix}"


def _labels(file: Path) -> dict[str, str]:
    """The expression of each image; DataError names the first line that is of another form."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({first_line(error)}); restore the published file.") from error
    known = {str(number): name for number, name in enumerate(EXPRESSIONS, 1)}
    found = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in known or not words[0].startswith(("train_", "test_")):
            raise DataError(f"{file}, line {number} is not train_ or test_… and a label from 1 to 7; restore the published file.")
        found[words[0]] = known[words[1]]
    return found
