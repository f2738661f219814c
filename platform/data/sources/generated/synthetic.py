"""Faces that no camera took, for ratings of Q: what ProGAN and StyleGAN drew, and Notre Dame's synthetic set.

    progan, stylegan    ROOT/…/IMAGE                each image is a person of its own, whatever folders of thousands it lies in
    notre-dame          ROOT/SUBJECT/…/IMAGE        the first folder is the synthetic subject

The generators' folders are named by thousands (00000, 01000, …) and by settings, so no folder means a person or a method. The
column ``source`` is the source's own name.

No description of the folders of Notre Dame's set is public. What is known is that its subjects do not exist and have several
images each (Banerjee et al., arXiv 1811.01474, and LEGAN's paper). So the source takes a folder a subject, and refuses
images that lie in the root: with those, nobody could keep a subject in one split.
"""

from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.image import named_formats
from legan.platform.data.sources.folder_files import folder_images, in_words
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError

SCHEMA = AttributeSchema((ANY,), (ANY,), {ANY: ANY})


def progan(root: Path) -> SourceFaces:
    """All images below the folder, as ProGAN's; DataError where there is none."""
    return _source("progan", root, by_folder=False)


def stylegan(root: Path) -> SourceFaces:
    """All images below the folder, as StyleGAN's; DataError where there is none."""
    return _source("stylegan", root, by_folder=False)


def notre_dame(root: Path) -> SourceFaces:
    """All images in folders of subjects; DataError where there is none, or one lies in the root itself."""
    return _source("notre-dame", root, by_folder=True)


def _source(name: str, root: Path, *, by_folder: bool) -> SourceFaces:
    names, others = folder_images(root)
    if not names:
        raise DataError(f"{root} holds no image ({named_formats()}){in_words(others)}; correct --root.")
    loose = next((image for image in names if "/" not in image), None)
    if by_folder and loose is not None:
        raise DataError(
            f"{root} holds images outside of folders of subjects, such as {loose}; put each subject's into a folder, "
            "or name the subjects in a table (source table)."
        )
    subjects = [image.split("/")[0] for image in names] if by_folder else names
    records = pd.DataFrame({"path": names, "subject": subjects, "expression": ANY, "lighting": ANY, "source": name})
    return SourceFaces(name, root, SCHEMA, records, others, 0.1, 0.1)
