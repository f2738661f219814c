"""FFHQ (Flickr-Faces-HQ) as it lies on disk.

    images1024x1024/00000/00000.png                 a folder for each thousand; or directly in images1024x1024
    thumbnails128x128/00000/00000.png               likewise

Where both folders are there, the large images are taken. FFHQ names no people, no expressions and no lightings: each image is a
person of its own. The first 60,000 are FFHQ's training images; a twentieth of them is val. The last 10,000 are its validation
images. They are the split test, since there is no other. in-the-wild-images is not taken: several of its files are copies.
"""

import re
from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.labels.splits import split_by_subject
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError

FOLDERS = ("images1024x1024", "thumbnails128x128")
TRAINING = 60_000
"""The images with smaller numbers are FFHQ's training images."""
VAL_SHARE = 0.05
"""Of FFHQ's training images, which validate."""
SCHEMA = AttributeSchema((ANY,), (ANY,), {ANY: ANY})

_NAME = re.compile(r"(?:(?P<thousand>\d\d)000/)?(?P<number>(?(thousand)(?P=thousand)\d{3}|\d{5}))\.png")


def ffhq(root: Path) -> SourceFaces:
    """All images of the first of FOLDERS that is there; DataError where none is, or no image in it is named by a number."""
    folder = next((name for name in FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise DataError(f"{root} does not hold FFHQ: expected {' or '.join(FOLDERS)}; give the folder that it is in as --root.")
    names, others = folder_images(root / folder)
    numbers = {name: int(match["number"]) for name in names if (match := _NAME.fullmatch(name)) is not None}
    why = Skipped("misnamed", "it is not 00000/00000.png, with the thousand that it belongs to")
    left = [*others, *((name, why) for name in names if name not in numbers)]
    if not numbers:
        raise DataError(f"{root} does not hold FFHQ: no image in {folder} is named as 00000/00000.png is; correct --root.")
    paths = [f"{folder}/{name}" for name in numbers]
    training = [path for path, number in zip(paths, numbers.values(), strict=True) if number < TRAINING]
    splits = dict.fromkeys(paths, "test") | (split_by_subject(training, val_share=VAL_SHARE) if training else {})
    records = pd.DataFrame({"path": paths, "subject": paths, "expression": ANY, "lighting": ANY})
    records["split"] = records["path"].map(splits)
    return SourceFaces("ffhq", root, SCHEMA, records, sorted((f"{folder}/{name}", why) for name, why in left))
