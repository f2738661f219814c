"""A folder of images without labels, such as the output of generators: ROOT/SOURCE/…/IMAGE.

The first folder below the root is the method that made the images (column ``source``); images that lie in the root itself have
the source ``unknown``. Every image is a subject of its own, so splits are by image. Where several images show the same person,
name them in a table (source ``table``) with the columns subject and source.
"""

from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.image import named_formats
from legan.platform.data.sources.folder_files import folder_images, in_words
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError

UNKNOWN = "unknown"


def folder(root: Path) -> SourceFaces:
    """All images below the folder, whatever they are called; other files are unusable. DataError where there is no image."""
    names, others = folder_images(root)
    if not names:
        raise DataError(f"{root} holds no image ({named_formats()}){in_words(others)}; correct --root.")
    sources = [name.split("/")[0] if "/" in name else UNKNOWN for name in names]
    records = pd.DataFrame({"path": names, "subject": names, "expression": ANY, "lighting": ANY, "source": sources})
    return SourceFaces(
        "folder", root, AttributeSchema((ANY,), (ANY,), {ANY: ANY}), records, others, val_share=0.1, test_share=0.1
    )
