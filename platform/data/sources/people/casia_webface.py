"""CASIA-WebFace, in a folder per person or in InsightFace's record file.

    ROOT/0000045/001.jpg                        the folder's seven digits are the person
    ROOT/train.rec, train.idx, property         112×112, aligned by InsightFace; people are numbered from 0

It names no expressions and no lightings. The two forms number people differently, and nothing says which folder a number was. So
do not mix them: the same people would count as others. Its people are split by share, while the paper splits its images.
"""

import re
from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images
from legan.platform.data.sources.people.record_file import RECORDS, read_record_file
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError, counted

SCHEMA = AttributeSchema((ANY,), (ANY,), {ANY: ANY})

_PERSON = re.compile(r"\d{7}")


def casia_webface(root: Path) -> SourceFaces:
    """All images of people; DataError where the root holds neither form, or a record file that cannot be read."""
    return _recorded(root) if (root / RECORDS).is_file() else _in_folders(root)


def _in_folders(root: Path) -> SourceFaces:
    if not any(_PERSON.fullmatch(path.name) for path in root.iterdir()):
        raise DataError(
            f"{root} does not hold CASIA-WebFace: expected folders such as 0000045, or {RECORDS}; "
            "give the folder that they are in as --root."
        )
    names, others = folder_images(root)
    why = Skipped("misnamed", "it does not lie directly in a folder of seven digits")
    is_in_folder = {name: _PERSON.fullmatch(name.split("/")[0]) is not None and name.count("/") == 1 for name in names}
    unusable = sorted([*others, *((name, why) for name, fits in is_in_folder.items() if not fits)])
    used = [name for name, fits in is_in_folder.items() if fits]
    if not used:
        raise DataError(f"{root} does not hold CASIA-WebFace: there is no image in its folders of seven digits; correct --root.")
    records = pd.DataFrame({"path": used, "subject": [name.split("/")[0] for name in used], "expression": ANY, "lighting": ANY})
    return SourceFaces("casia-webface", root, SCHEMA, records, unusable)


def _recorded(root: Path) -> SourceFaces:
    found = read_record_file(root)
    records = pd.DataFrame(
        {
            "path": [f"{RECORDS}#{image.number}" for image in found.images],
            "subject": [f"record{image.person:07d}" for image in found.images],
            "expression": ANY,
            "lighting": ANY,
            "packed_in": RECORDS,
            "packed_at": [image.offset for image in found.images],
        }
    )
    people, doubts = records["subject"].nunique(), []
    if found.people not in (None, people):
        doubts.append(f"property says {counted(found.people or 0, 'person', 'people')}, and the records show {people}.")
    unusable = [(f"{RECORDS}#{number}", why) for number, why in found.damaged]
    return SourceFaces("casia-webface", root, SCHEMA, records, unusable, doubts=doubts)
