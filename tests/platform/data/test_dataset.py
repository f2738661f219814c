import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import open_dataset
from legan.platform.data.skipped import Skipped, skipped_table
from legan.platform.data.stream import read_header
from legan.platform.data.write import write_dataset
from legan.platform.errors import DataError

SCHEMA = AttributeSchema(("neutral", "smile"), ("front", "left", "right"), {"front": "front", "left": "right", "right": "left"})
FACES = pd.DataFrame(
    {
        "subject": ["ann", "ann", "bob", "cid"],
        "expression": ["neutral", "smile", "smile", "neutral"],
        "lighting": ["front", "left", "right", "front"],
        "split": ["train", "train", "val", "test"],
        "landmarks": [[float(i), 2.0, 3.0, 4.0, 5.0, 6.5] for i in range(4)],
        "yaw": [0.0, 1.5, -20.0, float("nan")],
        "source_path": ["a/1", "a/2", "b/1", "c/1"],
        "duplicate_of": pd.array([None, 0, None, None], "Int64"),
        "session": [1, 2, 1, 1],
    }
)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 18, 18, 3), dtype=np.uint8)
HULLS = np.random.default_rng(1).random((4, 18, 18)) < 0.5


def write(out: Path, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "name": "tiny",
        "schema": SCHEMA,
        "faces": FACES,
        "images": IMAGES,
        "hulls": HULLS,
        "source": "test",
    }
    return write_dataset(out, **{**values, **changes})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    skipped = skipped_table([("x.png", Skipped("no_face", "no face"))])
    write(tmp_path / "deep" / "set", skipped=skipped, alignment={"image_size": 18}, info={"a": 1})
    dataset = open_dataset(tmp_path / "deep" / "set")
    assert (dataset.name, dataset.source, dataset.image_size, dataset.schema) == ("tiny", "test", 18, SCHEMA)
    assert (dataset.alignment, dataset.info) == ({"image_size": 18}, {"a": 1})
    np.testing.assert_array_equal(dataset.images, IMAGES)
    assert isinstance(dataset.images, np.memmap)
    np.testing.assert_array_equal(dataset.hulls(np.arange(4)), HULLS)
    np.testing.assert_array_equal(dataset.hulls([2]), HULLS[2:3])
    assert dataset.expression.tolist() == [0, 1, 1, 0]
    assert dataset.lighting.tolist() == [0, 1, 2, 0]
    assert dataset.expression.dtype == dataset.lighting.dtype == np.int64
    assert dataset.subject.tolist() == ["ann", "ann", "bob", "cid"]
    assert dataset.rows("train").tolist() == [0, 1]
    assert dataset.rows("test").tolist() == [3]
    assert dataset.rows().tolist() == [0, 1, 2, 3]
    assert dataset.splits == {"train": ["ann"], "val": ["bob"], "test": ["cid"]}
    assert dataset.landmarks([3, 0]).tolist() == [[[3, 2], [3, 4], [5, 6.5]], [[0, 2], [3, 4], [5, 6.5]]]
    assert dataset.faces["session"].tolist() == [1, 2, 1, 1]
    assert dataset.faces["duplicate_of"].isna().tolist() == [True, False, True, True]
    assert dataset.faces["duplicate_of"][1] == 0
    assert np.isnan(dataset.faces["yaw"][3])
    pd.testing.assert_frame_equal(dataset.skipped, skipped, check_dtype=False)
    with pytest.raises(DataError, match="no split 'dev'"):
        dataset.rows("dev")  # type: ignore[arg-type]  # the mistake under test


def test_optional_columns_and_packed_or_streamed_input(tmp_path: Path) -> None:
    needed = FACES[["subject", "expression", "lighting", "split", "landmarks"]]
    packed = np.packbits(HULLS.reshape(4, -1), axis=1)
    dataset = write(tmp_path / "set", faces=needed, images=(image for image in IMAGES), hulls=packed)
    np.testing.assert_array_equal(dataset.hulls(slice(None)), HULLS)
    assert dataset.faces["duplicate_of"].isna().all()
    assert dataset.skipped.empty
    assert dataset.content_hash == write(tmp_path / "other").content_hash, "yaw, paths and further columns don't count"


def test_results_are_measured_on_photographs_each_once(tmp_path: Path) -> None:
    faces = FACES.assign(split="test", duplicate_of=pd.array([None, 0, *[None] * (len(FACES) - 2)], "Int64"))
    assert write(tmp_path / "copied", faces=faces).real_rows("test").tolist() == [0, *range(2, len(FACES))]
    marked = faces.assign(synthetic=[True, *[False] * (len(FACES) - 1)])
    assert write(tmp_path / "augmented", faces=marked).real_rows("test").tolist() == list(range(2, len(FACES)))
    assert write(tmp_path / "unheld", faces=faces).real_rows("val").tolist() == []


def test_what_another_split_has_a_copy_of_is_not_measured_on(tmp_path: Path) -> None:
    faces = FACES.assign(split=["test", "test", "train", "val"], duplicate_of=pd.array([None, None, 0, None], "Int64"))
    data = write(tmp_path / "set", faces=faces)
    assert data.rows("test").tolist() == [0, 1]
    assert data.real_rows("test").tolist() == [1]
    assert data.real_rows("val").tolist() == [3]


def test_pickling_sends_the_path(tmp_path: Path) -> None:
    dataset = write(tmp_path / "set")
    sent = pickle.dumps(dataset)
    assert len(sent) < 500
    assert pickle.loads(sent).content_hash == dataset.content_hash  # noqa: S301 (just made)


def test_content_hash_follows_what_training_sees(tmp_path: Path) -> None:
    reference = write(tmp_path / "reference", name="another name", source="elsewhere").content_hash
    assert write(tmp_path / "same").content_hash == reference
    pixel, hull, label, split = IMAGES.copy(), HULLS.copy(), FACES.copy(), FACES.copy()
    pixel[3, 17, 17, 2] ^= 1
    hull[0, 0, 0] ^= True
    label.loc[0, "lighting"] = "left"
    split.loc[3, "split"] = "val"
    renamed = AttributeSchema(SCHEMA.expressions, SCHEMA.lightings, {})
    changes: list[dict[str, Any]] = [{"images": pixel}, {"hulls": hull}, {"faces": label}, {"faces": split}, {"schema": renamed}]
    hashes = {write(tmp_path / str(i), **change).content_hash for i, change in enumerate(changes)}
    assert len(hashes | {reference}) == 6


def test_nothing_is_left_of_a_failed_write(tmp_path: Path) -> None:
    def breaking() -> Any:
        yield from IMAGES[:2]
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write(tmp_path / "set", images=breaking())
    assert list(tmp_path.iterdir()) == []


def test_existing_folders_are_kept_unless_told(tmp_path: Path) -> None:
    first = write(tmp_path / "set")
    with pytest.raises(DataError, match="already exists"):
        write(tmp_path / "set", name="new")
    assert open_dataset(first.path).name == "tiny"
    assert write(tmp_path / "set", name="new", overwrite=True).name == "new"
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").touch()
    with pytest.raises(DataError, match=r"papers exists and has no dataset\.json"):
        write(tmp_path / "papers", overwrite=True)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["papers", "set"]
    (tmp_path / "empty").mkdir()
    assert len(write(tmp_path / "empty")) == 4


@pytest.mark.parametrize("out", [".", "..", "/", "below/.."])
def test_a_folder_without_a_name_of_its_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(DataError, match=r"has no name of its own, .*; choose another folder"):
        write(Path(out))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"faces": FACES.drop(columns=["split", "landmarks"])}, "lacks: split, landmarks"),
        ({"faces": FACES.iloc[:0]}, "not one face"),
        ({"faces": FACES.assign(expression="grin")}, "expression grin; known are: neutral, smile"),
        ({"faces": FACES.assign(split="dev")}, "split dev; known are: train, val, test"),
        ({"faces": FACES.assign(split=["train", "test", "val", "test"])}, "subject ann is in more than one split"),
        ({"faces": FACES.assign(landmarks=[[1.0, 2.0], [1.0], [1.0, 2.0], [1.0, 2.0]])}, "same 2K numbers"),
        ({"images": IMAGES[:3]}, "4 faces, but there are 3 images"),
        ({"images": np.concatenate([IMAGES, IMAGES])}, "there are more images"),
        ({"images": iter([*IMAGES[:3], IMAGES[3, :9]])}, r"image 3 is uint8 \(9, 18, 3\)"),
        ({"images": []}, "no images"),
        ({"hulls": HULLS[:, :9]}, "do not fit hull masks"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(tmp_path / "set", **changes)
    assert not (tmp_path / "set").exists()


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no data set"):
        open_dataset(tmp_path)
    for name in ("faces.parquet", "images.npy", "hulls.npy", "skipped.parquet"):
        folder = write(tmp_path / name).path
        for content in (b"junk", b""):
            (folder / name).write_bytes(content)
            with pytest.raises(DataError, match="is damaged"):
                open_dataset(folder)
        (folder / name).unlink()
        with pytest.raises(DataError, match="is damaged"):
            open_dataset(folder)
    folder = write(tmp_path / "short").path
    np.save(folder / "images.npy", IMAGES[:3])
    with pytest.raises(DataError, match=r"ask for images \(4, 18, 18, 3\)"):
        open_dataset(folder)
    folder = write(tmp_path / "future").path
    values = json.loads((folder / "dataset.json").read_text())
    for change, message in [({"format": 2}, "format 2, this version reads 1"), ({"schema": {}}, "is damaged")]:
        (folder / "dataset.json").write_text(json.dumps({**values, **change}))
        with pytest.raises(DataError, match=message):
            open_dataset(folder)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        (FACES.drop(columns="split"), r"is damaged \(the table of faces lacks: split\)"),
        (FACES.assign(lighting="moon"), r"is damaged \(the table of faces has lighting moon; known are: front, left, right\)"),
        (FACES.assign(landmarks=None), "is damaged"),
    ],
)
def test_a_table_of_faces_that_was_changed_is_told_on_opening(tmp_path: Path, faces: pd.DataFrame, message: str) -> None:
    folder = write(tmp_path / "set").path
    faces.to_parquet(folder / "faces.parquet")
    with pytest.raises(DataError, match=message):
        open_dataset(folder)


def test_files_that_may_not_be_read_need_permissions_and_not_preparing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "set").path

    def refused(path: Path, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("legan.platform.data.dataset.np.load", refused)
    for read in (open_dataset, read_header):
        with pytest.raises(DataError, match=r"cannot be read \(.*images\.npy'\); correct the permissions"):
            read(folder)


def test_people_are_known_by_name_and_where_they_come_from(tmp_path: Path) -> None:
    yale, other = write(tmp_path / "yale", source="yale"), write(tmp_path / "other", source="multipie")
    assert len(yale.people("train")) == 1
    assert set(yale.people("train")).isdisjoint({*yale.people("val"), *yale.people("test"), *other.people("train")})
    mine, yours = write(tmp_path / "mine", source="table"), write(tmp_path / "yours", source="class-folders")
    assert mine.people("train") == yours.people("train"), "nobody else names these people"
    made = write(tmp_path / "made", source="augmented", info={"people_of": "yale"})
    assert made.people("test") == yale.people("test")
    assert write(tmp_path / "older", source="augmented").people("test") == ()
