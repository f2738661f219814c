"""The sources by name, in one place; about.py says what each gives. A source is a function from a folder to ``SourceFaces``."""

from functools import partial
from pathlib import Path

from legan.platform.data.sources.about import SOURCES
from legan.platform.data.sources.aflw import aflw
from legan.platform.data.sources.celeba import celeba
from legan.platform.data.sources.class_folders import class_folders
from legan.platform.data.sources.expressions.affectnet import affectnet
from legan.platform.data.sources.expressions.raf_db import raf_db
from legan.platform.data.sources.ffhq import ffhq
from legan.platform.data.sources.folder import folder
from legan.platform.data.sources.generated.deepfaketimit import deepfaketimit
from legan.platform.data.sources.generated.faceforensics import faceforensics
from legan.platform.data.sources.generated.synthetic import notre_dame, progan, stylegan
from legan.platform.data.sources.multipie import Unlit, multipie
from legan.platform.data.sources.people.casia_webface import casia_webface
from legan.platform.data.sources.people.ijbb import ijbb
from legan.platform.data.sources.people.lfw import lfw
from legan.platform.data.sources.people.umdfaces import umdfaces
from legan.platform.data.sources.root import makes, meant, root_of_paths
from legan.platform.data.sources.source import Source, SourceFaces
from legan.platform.data.sources.table import table
from legan.platform.data.sources.yale import yale
from legan.platform.errors import DataError

FOLDER_SOURCES: dict[str, Source] = {
    "affectnet": affectnet,
    "aflw": aflw,
    "casia-webface": casia_webface,
    "celeba": celeba,
    "class-folders": class_folders,
    "deepfaketimit": deepfaketimit,
    "faceforensics": faceforensics,
    "ffhq": ffhq,
    "folder": folder,
    "ijbb": ijbb,
    "lfw": lfw,
    "multipie": multipie,
    "notre-dame": notre_dame,
    "progan": progan,
    "raf-db": raf_db,
    "stylegan": stylegan,
    "umdfaces": umdfaces,
    "yale": yale,
}
BY_LAYOUT = (
    affectnet, aflw, casia_webface, celeba, deepfaketimit, faceforensics, ffhq, ijbb, lfw, multipie, raf_db, umdfaces,
)  # fmt: skip
"""Those whose layout is known from a few folders, so that it can be looked for elsewhere."""


def load_source(name: str, root: Path | None, table_file: Path | None = None, without_flash: Unlit | None = None) -> SourceFaces:
    """The records of a source; DataError for an unknown name, a missing folder, or options that don't belong together."""
    if name not in SOURCES:
        raise DataError(f"there is no source {name!r}; known are: {', '.join(SOURCES)}.")
    if without_flash is not None and name != "multipie":
        raise DataError(f"--without-flash belongs to the source multipie, not to {name}.")
    if root is not None and not root.is_dir():
        raise DataError(f"the folder {root} (--root) {'is a file' if root.exists() else 'does not exist'}.")
    if name == "table":
        if table_file is None:
            raise DataError("the source table needs the table's file: --table FACES.csv or FACES.parquet.")
        if not table_file.exists():
            raise DataError(f"the table {table_file} does not exist; correct --table.")
        return _expect_photographs(table(table_file.resolve(), root and root.resolve()))
    if table_file is not None:
        raise DataError(f"--table belongs to the source table, not to {name}.")
    if root is None:
        raise DataError(f"the source {name} needs the folder of its images: --root FOLDER.")
    source = FOLDER_SOURCES[name]
    read: Source = source if without_flash is None else partial(multipie, without_flash=without_flash)
    return _nearest(read, root.resolve(), source in BY_LAYOUT)


def _nearest(source: Source, root: Path, by_layout: bool) -> SourceFaces:
    """What the source finds in ``root``; its DataError names the folder above or in it that was meant, where there is one."""
    try:
        return source(root)
    except DataError as error:
        place = meant(root, partial(makes, source)) if by_layout else None
        if place is None:
            raise
        raise DataError(f"{str(error).rstrip('.')}, which seems to be {place}.") from error


def _expect_photographs(faces: SourceFaces) -> SourceFaces:
    """The same; DataError where none of a table's photographs is below its root, but all are near it."""
    place = root_of_paths(list(faces.records["path"]), faces.root)
    if place is None:
        return faces
    first = faces.records["path"].iloc[0]
    raise DataError(f"none of the table's photographs is below {faces.root}, but {place / first} is there; give --root {place}.")
