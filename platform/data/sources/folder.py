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
    doubts = []
    if len(set(sources)) == 1 and sources[0] != UNKNOWN and any(name.count("/") > 1 for name in names):
        only = f"all images are of the source {sources[0]}, the one folder in {root}"
        doubts.append(f"{only}; if the folders in it are the sources, give --root {root / sources[0]}.")
    elif set(sources) == {UNKNOWN}:
        above = f"give --root {root.parent} if {root.name} is a source"
        doubts.append(f"no image lies in a folder of {root}, so their source is unknown; {above}.")
    records = pd.DataFrame({"path": names, "subject": names, "expression": ANY, "lighting": ANY, "source": sources})
    return SourceFaces("folder", root, AttributeSchema((ANY,), (ANY,), {ANY: ANY}), records, others, 0.1, 0.1, doubts=doubts)
