"""Frames of DeepfakeTIMIT, for ratings of Q.

    higher_quality/fadg0/sa1-video-fram1/00000.jpg      frames of the video fadg0/sa1-video-fram1.avi, in a folder of its name
    lower_quality/fadg0/sa1-video-fram1/00000.jpg       likewise

``fadg0`` speaks the sentence sa1 and wears the face of ``fram1``, so two people are in a video. They were swapped in both
directions, in 16 pairs; a subject is therefore such a pair, and never in two splits. The column ``version`` is
``higher_quality`` (a swapped face of 128×128 pixels) or ``lower_quality`` (64×64); the column ``source`` is the source's name.
The videos of real people that lie beside the folders are not looked into, and VidTIMIT itself is another set.
"""

import re
from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images
from legan.platform.data.sources.generated.faceforensics import groups_of
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError

NAME = "deepfaketimit"
VERSIONS = ("higher_quality", "lower_quality")
SCHEMA = AttributeSchema((ANY,), (ANY,), {ANY: ANY})

_FRAME = re.compile(r"(\w+)/(\w+)-video-(\w+)/.+")
_MISNAMED = Skipped("misnamed", "it does not lie in the folders of a person and a video, such as fadg0/sa1-video-fram1")


def deepfaketimit(root: Path) -> SourceFaces:
    """All frames of both versions; DataError where there is none."""
    if not any((root / version).is_dir() for version in VERSIONS):
        raise DataError(f"{root} does not hold DeepfakeTIMIT: expected {' or '.join(VERSIONS)}; correct --root.")
    rows: list[tuple[str, str, tuple[str, ...]]] = []
    unusable: list[tuple[str, Skipped]] = []
    for version in VERSIONS:
        names, others = folder_images(root / version) if (root / version).is_dir() else ([], [])
        unusable += [(f"{version}/{name}", why) for name, why in others]
        for name in names:
            frame = _FRAME.fullmatch(name)
            if frame is None:
                unusable.append((f"{version}/{name}", _MISNAMED))
            else:
                rows.append((f"{version}/{name}", version, (frame[1], frame[3])))
    if not rows:
        video = next((path for path, _ in unusable if path.endswith(".avi")), None)
        how = f"extract those of {video} into {video[:-4]}/, and so on" if video else "there is none in folders of videos"
        raise DataError(f"{root} does not hold frames of DeepfakeTIMIT: {how}.")
    groups = groups_of(shows for _, _, shows in rows)
    records = pd.DataFrame(
        {
            "path": [path for path, _, _ in rows],
            "subject": [groups[shows[0]] for _, _, shows in rows],
            "expression": ANY,
            "lighting": ANY,
            "source": NAME,
            "version": [version for _, version, _ in rows],
        }
    )
    return SourceFaces(NAME, root, SCHEMA, records, unusable, 0.1, 0.1)
