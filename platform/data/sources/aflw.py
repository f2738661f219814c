"""AFLW as it lies on disk, for Table 2.

    data/aflw.sqlite                      tables Faces, FaceImages, FacePose, FaceRect, FaceMetaData, FeatureCoords, …
    data/flickr/0/image00002.jpg          the photographs, by FaceImages.filepath; or images/flickr/…

``data`` may be the root itself. AFLW names neither people nor expressions nor lightings: each face is a subject of its own,
with the one expression and the one lighting ``any``. The paper trains nothing on AFLW and Table 2 compares outputs with their
sources, whatever the pose. So none is left out for its yaw, and ``--test-share 1`` makes all of them the split test. The
published yaw stands, in degrees, in the column published_yaw, and whether something hides a part of the face in the column
occluded. A photograph with several annotated faces counts as the one with the largest rectangle, which is also the face that
preparation finds.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError, first_line

DATABASE = "aflw.sqlite"
IMAGES = "flickr"
SCHEMA = AttributeSchema((ANY,), (ANY,), {ANY: ANY})

# A face without a rectangle is the smallest; one without a pose or points is used all the same.
_QUERY = """
SELECT Faces.face_id AS face_id, FaceImages.filepath AS filepath, FacePose.yaw AS yaw, FaceRect.w * FaceRect.h AS area,
       FaceMetaData.occluded AS occluded,
       (SELECT COUNT(*) FROM FeatureCoords WHERE FeatureCoords.face_id = Faces.face_id) AS points
FROM Faces JOIN FaceImages ON Faces.file_id = FaceImages.file_id AND Faces.db_id = FaceImages.db_id
LEFT JOIN FacePose ON FacePose.face_id = Faces.face_id
LEFT JOIN FaceRect ON FaceRect.face_id = Faces.face_id
LEFT JOIN FaceMetaData ON FaceMetaData.face_id = Faces.face_id
ORDER BY FaceImages.filepath, area DESC, Faces.face_id
"""


def aflw(root: Path) -> SourceFaces:
    """A face of every photograph the database names; DataError where the database or the photographs are not there."""
    base = next((folder for folder in (root / "data", root) if (folder / DATABASE).is_file()), None)
    if base is None:
        raise DataError(f"{root} does not hold AFLW: no data/{DATABASE}; give the folder above data as --root.")
    places = (base / IMAGES, base / "images" / IMAGES, root / "images" / IMAGES, root / IMAGES)
    images = next((folder for folder in places if folder.is_dir()), None)
    if images is None:
        raise DataError(f"{root} does not hold AFLW: no folder {IMAGES} beside {DATABASE}; unpack its images there.")
    faces = _read(base / DATABASE)
    if faces.empty:
        raise DataError(f"{base / DATABASE} names no face; restore the published file.")
    photographs = [(images.relative_to(root) / str(path)).as_posix() for path in faces["filepath"]]
    subjects = [f"face{number}" for number in faces["face_id"]]
    faces = faces.assign(path=photographs, subject=subjects, published_yaw=np.degrees(faces["yaw"].astype(float)))
    faces = faces.assign(occluded=faces["occluded"].map({0: "no", 1: "yes"}).fillna("unknown"))
    smaller = faces["path"].duplicated()
    why = Skipped("smaller_face", "a larger face of the same photograph is used")
    unusable = [(f"{row.path} ({row.subject})", why) for row in faces[smaller].itertuples()]
    used = faces.loc[~smaller, ["path", "subject", "published_yaw", "occluded", "points"]].reset_index(drop=True)
    return SourceFaces("aflw", root, SCHEMA, used.assign(expression=ANY, lighting=ANY), unusable)


def _read(file: Path) -> pd.DataFrame:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            found = database.execute(_QUERY)
            return pd.DataFrame(found.fetchall(), columns=[column[0] for column in found.description]).drop_duplicates("face_id")
    except sqlite3.Error as error:
        raise DataError(f"{file} cannot be read ({first_line(error)}); restore the published file.") from error
