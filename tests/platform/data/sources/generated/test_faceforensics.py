import json
from pathlib import Path

import pytest
from PIL import Image

from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

FRAMES = (
    "manipulated_sequences/DeepFakeDetection/raw/frames/01_02__talking__YVGY8LOK/0000.png",
    "manipulated_sequences/Deepfakes/c23/images/033_097/0000.png",
    "manipulated_sequences/Deepfakes/c40/images/097_033/0003.png",
    "manipulated_sequences/Face2Face/c23/images/001_002/0000.png",
    "original_sequences/actors/raw/images/02__talking/0000.png",
    "original_sequences/youtube/c23/images/033/0000.png",
)


def write(root: Path, names: tuple[str, ...] = FRAMES) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)
    return root


def test_videos_that_share_people_are_one_subject(tmp_path: Path) -> None:
    write(tmp_path, (*FRAMES, "manipulated_sequences/Deepfakes/c23/images/0000.png"))
    write(tmp_path, ("manipulated_sequences/Deepfakes/c23/masks/033_097/0000.png",))
    found = load_source("faceforensics", tmp_path)
    rows = {row["path"]: (row["source"], row["compression"], row["subject"]) for row in found.records.to_dict("records")}
    assert [rows[name] for name in FRAMES] == [
        ("DeepFakeDetection", "raw", "actor01"),
        ("Deepfakes", "c23", "033"),
        ("Deepfakes", "c40", "033"),
        ("Face2Face", "c23", "001"),
        ("original", "raw", "actor01"),
        ("original", "c23", "033"),
    ]
    assert len(rows) == len(FRAMES)
    ((path, why),) = found.unusable
    assert (path, why.kind) == ("manipulated_sequences/Deepfakes/c23/images/0000.png", "misnamed")
    assert "split" not in found.records


def test_the_published_splits_are_taken(tmp_path: Path) -> None:
    write(tmp_path)
    for name, pairs in (("train", [["033", "097"]]), ("val", [["001", "002"]]), ("test", [["003", "004"]])):
        (tmp_path / f"{name}.json").write_text(json.dumps(pairs))
    found = load_source("faceforensics", tmp_path)
    assert dict(zip(found.records["subject"], found.records["split"], strict=True)) == {"033": "train", "001": "val"}
    assert {path for path, _ in found.unusable} == {FRAMES[0], FRAMES[4]}
    (tmp_path / "test.json").write_text('[["097", "004"]]')
    with pytest.raises(DataError, match="put videos that share people into several splits"):
        load_source("faceforensics", tmp_path)
    for content, message in (("[", "cannot be read"), ('[["097"]]', "is no list of pairs of videos")):
        (tmp_path / "test.json").write_text(content)
        with pytest.raises(DataError, match=message):
            load_source("faceforensics", tmp_path)


def test_videos_alone_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected original_sequences or manipulated_sequences"):
        load_source("faceforensics", tmp_path)
    (tmp_path / "original_sequences" / "youtube" / "c23" / "videos").mkdir(parents=True)
    with pytest.raises(DataError, match="there are videos, but no frames: extract them"):
        load_source("faceforensics", tmp_path)
