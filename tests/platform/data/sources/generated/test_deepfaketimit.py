from pathlib import Path

import pytest
from PIL import Image

from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

FRAMES = (
    "higher_quality/fadg0/sa1-video-fram1/00000.jpg",
    "higher_quality/fram1/sx106-video-fadg0/00000.jpg",
    "lower_quality/mrgg0/si1829-video-msjs1/00004.png",
)


def write(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)
    return root


def test_people_who_were_swapped_are_one_subject(tmp_path: Path) -> None:
    write(tmp_path, (*FRAMES, "lower_quality/mrgg0/00001.png"))
    (tmp_path / "higher_quality" / "fadg0" / "sa1.wav").write_bytes(b"RIFF")
    (tmp_path / "fadg0-original.mov").write_bytes(b"beside the folders")
    found = load_source("deepfaketimit", tmp_path)
    rows = {row["path"]: (row["source"], row["version"], row["subject"]) for row in found.records.to_dict("records")}
    assert rows == {
        FRAMES[0]: ("deepfaketimit", "higher_quality", "fadg0"),
        FRAMES[1]: ("deepfaketimit", "higher_quality", "fadg0"),
        FRAMES[2]: ("deepfaketimit", "lower_quality", "mrgg0"),
    }
    assert {path: why.kind for path, why in found.unusable} == {
        "higher_quality/fadg0/sa1.wav": "other_file",
        "lower_quality/mrgg0/00001.png": "misnamed",
    }


def test_what_is_missing_is_one_sentence(tmp_path: Path) -> None:
    def message(root: Path) -> str:
        with pytest.raises(DataError) as caught:
            load_source("deepfaketimit", root)
        return str(caught.value)

    root = tmp_path / "DeepfakeTIMIT"
    root.mkdir()
    assert "expected higher_quality or lower_quality; correct --root." in message(root)
    (root / "lower_quality" / "fadg0").mkdir(parents=True)
    assert "there is none in folders of videos" in message(root)
    (root / "lower_quality" / "fadg0" / "sa1-video-fram1.avi").write_bytes(b"RIFF")
    assert "extract those of lower_quality/fadg0/sa1-video-fram1.avi into lower_quality/fadg0/sa1-video-fram1/" in message(root)
    write(root, FRAMES)
    assert f"which seems to be {root}" in message(tmp_path)
