from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

LABELS = [*((f"train_{label:05d}.jpg", label) for label in range(1, 8)), ("test_0001.jpg", 5)]


def write(base: Path, labels: list[tuple[str, int]] = LABELS, image: Image.Image | None = None) -> None:
    (base / "EmoLabel").mkdir(parents=True)
    (base / "EmoLabel" / "list_patition_label.txt").write_text("".join(f"{name} {label}\n" for name, label in labels))
    (base / "Image" / "aligned").mkdir(parents=True)
    for name, _ in labels:
        (image or Image.new("RGB", (8, 8))).save(base / "Image" / "aligned" / name.replace(".jpg", "_aligned.jpg"))


@pytest.mark.parametrize("folder", ["basic", "."])
def test_reads_the_published_layout(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder)
    found = load_source("raf-db", tmp_path)
    records = found.records.set_index("path")
    prefix = "basic/Image/aligned" if folder == "basic" else "Image/aligned"
    training = [f"{prefix}/train_{label:05d}_aligned.jpg" for label in range(1, 8)]
    assert records.loc[training, "expression"].tolist() == ["surprise", "fear", "disgust", "happy", "sad", "anger", "neutral"]
    assert sorted(records.loc[training, "split"]) == ["train"] * 6 + ["val"]
    assert records.loc[f"{prefix}/test_0001_aligned.jpg", ["expression", "split"]].tolist() == ["sad", "test"]
    assert found.unusable == []


def test_list_and_images_are_held_against_each_other(tmp_path: Path) -> None:
    write(tmp_path)
    folder = tmp_path / "Image" / "aligned"
    (folder / "train_00001_aligned.jpg").unlink()
    (folder / "train_00002_aligned.jpg").rename(folder / "more.jpg")
    found = load_source("raf-db", tmp_path)
    assert {path: why.kind for path, why in found.unusable} == {
        "Image/aligned/more.jpg": "unlabelled",
        "Image/aligned/train_00001_aligned.jpg": "unreadable",
        "Image/aligned/train_00002_aligned.jpg": "unreadable",
    }


@pytest.mark.parametrize("line", ["train_1.jpg 8", "train_1.jpg", "train_1.jpg 1 2", "face.jpg 1", "train_1.jpg x"])
def test_a_damaged_list_is_one_sentence(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"there is no EmoLabel/list_patition_label\.txt and no Image/aligned"):
        load_source("raf-db", tmp_path)
    write(tmp_path)
    file = tmp_path / "EmoLabel" / "list_patition_label.txt"
    file.write_text(f"train_00001.jpg 1\n{line}\n")
    with pytest.raises(DataError, match="line 2 is not train_ or test_… and a label from 1 to 7"):
        load_source("raf-db", tmp_path)
    file.write_text("train_99999.jpg 1\n")
    with pytest.raises(DataError, match="names no image of Image/aligned"):
        load_source("raf-db", tmp_path)


def test_drawn_faces_become_a_data_set(tmp_path: Path, draw_face: Callable[..., Any]) -> None:
    write(tmp_path / "basic", image=Image.fromarray(np.asarray(draw_face(100, 30, (49.5, 42))[0])))
    dataset = prepare(load_source("raf-db", tmp_path), tmp_path / "out", Options(), workers=0)
    assert dataset.skipped.empty
    assert len(dataset) == len(LABELS)
