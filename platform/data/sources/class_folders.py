"""Photographs in a folder per class: ROOT/[SPLIT/]EXPRESSION/[LIGHTING/[SUBJECT/]]IMAGE.

Splits are folders called train, val and test (or training, valid, validation), directly below the root. Without folders of
subjects each image is a person of its own, so that splits are by image.
"""

from collections import Counter
from pathlib import Path

import pandas as pd

from legan.platform.data.image import named_formats
from legan.platform.data.labels.mirror import schema_of
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images, in_words
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError

SPLIT_FOLDERS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
LEVELS = ("expression", "lighting", "subject")


def class_folders(root: Path) -> SourceFaces:
    """All images in class folders; those that lie higher or deeper than most are unusable. DataError where there is none.

    >>> from PIL import Image
    >>> for name in ("smile", "neutral"):
    ...     Path(f"classes/{name}/left").mkdir(parents=True)
    ...     Image.new("RGB", (8, 8)).save(f"classes/{name}/left/1.jpg")
    >>> found = class_folders(Path("classes"))
    >>> found.schema.expressions, found.schema.lightings, found.records["path"].tolist()
    (('neutral', 'smile'), ('left',), ['neutral/left/1.jpg', 'smile/left/1.jpg'])
    """
    names, others = folder_images(root)
    if not names:
        raise DataError(f"{root} holds no image ({named_formats()}){in_words(others)}; correct --root.")

    folders = {name: name.split("/")[:-1] for name in names}
    split = all(parts and parts[0].lower() in SPLIT_FOLDERS for parts in folders.values())
    classes = {name: parts[split:] for name, parts in folders.items()}
    depth = Counter(len(parts) for parts in classes.values()).most_common(1)[0][0]
    if not 1 <= depth <= len(LEVELS):
        shown = "ROOT/[SPLIT/]EXPRESSION/[LIGHTING/[SUBJECT/]]IMAGE"
        raise DataError(f"the images of {root} lie {depth + split} folders deep, not as {shown}; correct --root, or use a table.")

    wanted = " and ".join(LEVELS[:depth])
    why = Skipped("unlabelled", f"its folders do not say {wanted}, as those of most images do")
    others = sorted([*others, *((name, why) for name in names if len(classes[name]) != depth)])
    taken = [name for name in names if len(classes[name]) == depth]
    records = pd.DataFrame([[name, *classes[name]] for name in taken], columns=["path", *LEVELS[:depth]])
    notes = []
    if depth < len(LEVELS):
        records["subject"] = taken
        notes.append("No folder says who is who: each image counts as a person of its own.")
    if "lighting" not in records:
        records["lighting"] = ANY
    if split:
        records["split"] = [SPLIT_FOLDERS[folders[name][0].lower()] for name in taken]

    expressions, lightings = (tuple(sorted(set(records[column]))) for column in ("expression", "lighting"))
    schema = schema_of(expressions, lightings)
    return SourceFaces("class-folders", root, schema, records, others, val_share=0.1, info={"notes": notes})
