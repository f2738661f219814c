"""A folder of images without labels, such as the output of generators: ROOT/SOURCE/…/IMAGE.

The first folder below the root is the method that made the images (column ``source``); images that lie in the root itself have
the source ``unknown``. Every image is a subject of its own, so splits are by image. Where several images show the same person,
name them in a table (source ``table``) with the columns subject and source.
"""

from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
UNKNOWN = "unknown"


def folder(root: Path) -> SourceFaces:
    """All image files below the folder, hidden ones left out; DataError where there is none."""
    files = [path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    names = sorted(path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts))
    if not names:
        raise DataError(f"{root} holds no image ({', '.join(sorted(SUFFIXES))}); correct --root.")
    sources = [name.split("/")[0] if "/" in name else UNKNOWN for name in names]
    records = pd.DataFrame({"path": names, "subject": names, "expression": ANY, "lighting": ANY, "source": sources})
    return SourceFaces("folder", root, AttributeSchema((ANY,), (ANY,), {ANY: ANY}), records, val_share=0.1, test_share=0.1)
