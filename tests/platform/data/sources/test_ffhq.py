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

NUMBERS = (0, 1, 999, 1000, 59999, 60000, 69999)


def write(root: Path, folder: str, names: list[str]) -> None:
    for name in names:
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / folder / name)


def in_thousands(number: int) -> str:
    return f"{number // 1000:02d}000/{number:05d}.png"


@pytest.mark.parametrize("folder", ["images1024x1024", "thumbnails128x128"])
@pytest.mark.parametrize("name", [in_thousands, "{:05d}.png".format])
def test_the_last_ten_thousand_are_test(tmp_path: Path, folder: str, name: Callable[[int], str]) -> None:
    write(tmp_path, folder, [name(number) for number in NUMBERS])
    records = load_source("ffhq", tmp_path).records
    assert records["path"].tolist() == [f"{folder}/{name(number)}" for number in NUMBERS]
    assert records["split"].tolist()[5:] == ["test", "test"]
    assert sorted(records["split"][:5]) == ["train"] * 4 + ["val"]
    assert records["subject"].is_unique


def test_what_is_in_another_thousand_or_folder_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "images1024x1024", ["00000/00000.png", "00000/00001.png", "00000/01000.png", "00000/face.png"])
    write(tmp_path, "thumbnails128x128", ["00000/00002.png"])
    found = load_source("ffhq", tmp_path)
    assert found.records["path"].tolist() == ["images1024x1024/00000/00000.png", "images1024x1024/00000/00001.png"]
    assert {path: why.kind for path, why in found.unusable} == {
        "images1024x1024/00000/01000.png": "misnamed",
        "images1024x1024/00000/face.png": "misnamed",
    }


def test_another_layout_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected images1024x1024 or thumbnails128x128"):
        load_source("ffhq", tmp_path)
    write(tmp_path, "thumbnails128x128", ["face.png"])
    with pytest.raises(DataError, match="no image in thumbnails128x128 is named"):
        load_source("ffhq", tmp_path)


def test_drawn_faces_become_a_data_set(tmp_path: Path, draw_face: Callable[..., Any]) -> None:
    for number in (3, 4, 60001):
        file = tmp_path / "thumbnails128x128" / in_thousands(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(draw_face(128, 32, (63.5, 60))[0])).save(file)
    dataset = prepare(load_source("ffhq", tmp_path), tmp_path / "out", Options(), workers=0)
    assert dataset.skipped.empty
    assert sorted(dataset.faces["split"]) == ["test", "train", "val"]
