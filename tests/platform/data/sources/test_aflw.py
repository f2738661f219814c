import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.aflw import aflw
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

# The tables of the published file that a face is spread over.
SCHEMA = """
CREATE TABLE Databases (db_id TEXT PRIMARY KEY, path TEXT, description TEXT);
CREATE TABLE Faces (face_id INTEGER PRIMARY KEY, file_id TEXT NOT NULL, db_id TEXT NOT NULL);
CREATE TABLE FaceImages (image_id INTEGER PRIMARY KEY, db_id TEXT, file_id TEXT, filepath TEXT, bw INTEGER, width INTEGER,
    height INTEGER);
CREATE TABLE FacePose (face_id INTEGER PRIMARY KEY, roll REAL, pitch REAL, yaw REAL, annot_type_id INTEGER, upsidedown INTEGER);
CREATE TABLE FaceRect (face_id INTEGER PRIMARY KEY, x INTEGER, y INTEGER, w INTEGER, h INTEGER, annot_type_id INTEGER);
CREATE TABLE FaceMetaData (face_id INTEGER PRIMARY KEY, sex TEXT, occluded INTEGER, glasses INTEGER, bw INTEGER);
CREATE TABLE FeatureCoordTypes (feature_id INTEGER PRIMARY KEY, descr TEXT, code TEXT, x REAL, y REAL, z REAL);
CREATE TABLE FeatureCoords (face_id INTEGER, feature_id INTEGER, x REAL, y REAL, annot_type_id INTEGER,
    PRIMARY KEY (face_id, feature_id));
"""


def write_database(file: Path) -> None:
    """Three photographs of four faces: the second holds two, 41 the larger; the third's face has no pose, points, rectangle."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as database, database:
        database.executescript(SCHEMA)
        images = [(1, "f1", "0/image00002.jpg"), (2, "f2", "2/image00013.jpg"), (3, "f3", "3/image00001.jpg")]
        database.executemany("INSERT INTO FaceImages VALUES (?, 'flickr', ?, ?, 0, 256, 256)", images)
        faces = [(39, "f1"), (40, "f2"), (41, "f2"), (42, "f3")]
        database.executemany("INSERT INTO Faces VALUES (?, ?, 'flickr')", faces)
        database.executemany("INSERT INTO FacePose VALUES (?, 0, 0, ?, 1, 0)", [(39, -0.5), (40, 0.1), (41, math.pi / 6)])
        database.executemany("INSERT INTO FaceRect VALUES (?, 0, 0, ?, ?, 1)", [(39, 50, 50), (40, 20, 20), (41, 60, 60)])
        database.executemany("INSERT INTO FaceMetaData VALUES (?, 'm', ?, 0, 0)", [(39, 0), (40, 0), (41, 1)])
        database.executemany("INSERT INTO FeatureCoords VALUES (?, ?, 1, 1, 1)", [(39, 8), (39, 11), (41, 8)])


@pytest.mark.parametrize(("database", "images"), [("data", "data/flickr"), (".", "flickr"), ("data", "data/images/flickr")])
def test_reads_the_published_layout(tmp_path: Path, database: str, images: str) -> None:
    write_database(tmp_path / database / "aflw.sqlite")
    (tmp_path / images).mkdir(parents=True)
    found = aflw(tmp_path)
    assert found.records["path"].tolist() == [
        f"{images}/{name}" for name in ("0/image00002.jpg", "2/image00013.jpg", "3/image00001.jpg")
    ]
    assert found.records["subject"].tolist() == ["face39", "face41", "face42"]
    np.testing.assert_allclose(found.records["published_yaw"], [math.degrees(-0.5), 30.0, math.nan])
    assert found.records["occluded"].tolist() == ["no", "yes", "unknown"]
    assert found.records["points"].tolist() == [2, 1, 0]
    assert "split" not in found.records.columns
    assert found.schema.expressions == found.schema.lightings == ("any",)
    why = Skipped("smaller_face", "a larger face of the same photograph is used")
    assert found.unusable == [(f"{images}/2/image00013.jpg (face40)", why)]


def test_what_is_no_aflw_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data/aflw\.sqlite; give the folder above data"):
        load_source("aflw", tmp_path)
    (tmp_path / "aflw.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(DataError, match="no folder flickr beside"):
        load_source("aflw", tmp_path)
    (tmp_path / "flickr").mkdir()
    with pytest.raises(DataError, match="file is not a database"):
        load_source("aflw", tmp_path)
    (tmp_path / "aflw.sqlite").unlink()
    with closing(sqlite3.connect(tmp_path / "aflw.sqlite")) as database:
        database.execute("CREATE TABLE Faces (face_id INTEGER)")
    with pytest.raises(DataError, match="no such table"):
        load_source("aflw", tmp_path)
    (tmp_path / "aflw.sqlite").unlink()
    with closing(sqlite3.connect(tmp_path / "aflw.sqlite")) as database:
        database.executescript(SCHEMA)
    with pytest.raises(DataError, match="names no face"):
        load_source("aflw", tmp_path)


def test_drawn_faces_become_a_data_set(tmp_path: Path, draw_face: Callable[..., Any]) -> None:
    write_database(tmp_path / "data" / "aflw.sqlite")
    for name in ("0/image00002.jpg", "2/image00013.jpg"):
        path = tmp_path / "data" / "flickr" / name
        path.parent.mkdir(parents=True)
        Image.fromarray(draw_face()[0]).save(path, quality=95)
    dataset = prepare(load_source("aflw", tmp_path), tmp_path / "out", Options(), test_share=1, workers=0)
    assert dataset.faces["subject"].tolist() == ["face39", "face41"]
    assert dataset.splits == {"test": ["face39", "face41"]}
    assert dataset.skipped["reason"].str.contains("cannot be read|larger face").all()
    assert len(dataset.skipped) == 2
