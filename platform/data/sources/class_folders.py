"""Photographs in a folder per class: ROOT/[SPLIT/]EXPRESSION/[LIGHTING/[SUBJECT/]]IMAGE.

Splits are folders called train, val and test (or training, valid, validation), directly below the root. Without folders of
subjects each image is a person of its own, so that splits are by image.

A root that is a folder too high or too low makes classes of other folders: of those of splits, say. Where the names tell, it is
refused; where they may be meant so, that is said.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from legan.platform.data.image import named_formats
from legan.platform.data.labels.mirror import schema_of
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images, in_words
from legan.platform.data.sources.root import alike_beside, listed, shared
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError, counted

SHOWN = "ROOT/[SPLIT/]EXPRESSION/[LIGHTING/[SUBJECT/]]IMAGE"
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
    split = _has_splits(root, [parts for parts in folders.values() if parts])
    classes = {name: parts[split:] for name, parts in folders.items()}
    depth = Counter(len(parts) for parts in classes.values()).most_common(1)[0][0]
    if not 1 <= depth <= len(LEVELS):
        raise DataError(
            f"the images of {root} lie {counted(depth + split, 'folder')} deep, not as {SHOWN}; {_remedy(root, folders)}."
        )

    wanted = " and ".join(LEVELS[:depth])
    why = Skipped("unlabelled", f"its folders do not say {wanted}, as those of most images do")
    others = sorted([*others, *((name, why) for name in names if len(classes[name]) != depth)])
    taken = [name for name in names if len(classes[name]) == depth]
    records = pd.DataFrame([[name, *classes[name]] for name in taken], columns=["path", *LEVELS[:depth]])
    notes, doubts = [], _doubts(root, set(records["expression"]))
    if depth < len(LEVELS):
        records["subject"] = taken
        notes.append("No folder says who is who: each image counts as a person of its own.")
    if "lighting" not in records:
        records["lighting"] = ANY
    if split:
        records["split"] = [SPLIT_FOLDERS[folders[name][0].lower()] for name in taken]

    expressions, lightings = (tuple(sorted(set(records[column]))) for column in ("expression", "lighting"))
    schema = schema_of(expressions, lightings)
    return SourceFaces("class-folders", root, schema, records, others, val_share=0.1, info={"notes": notes}, doubts=doubts)


def _has_splits(root: Path, folders: Collection[Sequence[str]]) -> bool:
    """Whether the root's folders are splits; DataError where splits are among its other folders, or deeper."""
    top = {parts[0] for parts in folders}
    splits = {name for name in top if name.lower() in SPLIT_FOLDERS}
    if splits and splits != top:
        raise DataError(
            f"{root} has the folders {listed(splits)} of splits beside others ({listed(top - splits)}), and all would be "
            "classes; move the others away, or rename the splits."
        )
    for level in range(1, min(map(len, folders), default=0)):
        named = {parts[level] for parts in folders}
        if all(name.lower() in SPLIT_FOLDERS for name in named):
            place = root.joinpath(*min(tuple(parts[:level]) for parts in folders))
            raise DataError(
                f"the folders {listed(named)} of splits are not directly in {root}, as {SHOWN} wants it, but in {place}; "
                "give that as --root, or rename them."
            )
    return bool(splits)


def _remedy(root: Path, folders: Mapping[str, Sequence[str]]) -> str:
    """What to do about images that lie too high or too deep."""
    inside = shared(folders.values())
    if inside:
        return f"all of them are in {root.joinpath(*inside)}: give that as --root, or use a table"
    if not any(folders.values()):
        return f"give {root.parent} as --root where {root.name} is a class, or use a table"
    return "correct --root, or use a table"


def _doubts(root: Path, expressions: Collection[str]) -> list[str]:
    """What a root that is too high or too low looks like, though it may be meant so."""
    doubts = []
    if len(expressions) == 1:
        (only,) = expressions
        doubts.append(f"{only} is the only expression; if the folders in it are expressions, give --root {root / only}.")
    beside = alike_beside(root)
    if beside:
        names = listed([folder.name for folder in beside])
        doubts.append(
            f"Folders beside {root.name} have the same folders in them ({names}); to take all, give --root {root.parent}."
        )
    return doubts
