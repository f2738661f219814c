from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.dataset import Alignment
from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError


def test_the_first_folder_is_the_source(tmp_path: Path) -> None:
    root = tmp_path / "synthetic"
    for i, name in enumerate(["gan/1.png", "gan/deep/2.JPG", "swap/1.png", "loose.png", ".cache/3.png", "gan/notes.txt"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 40 * i, np.uint8)).save(root / name, format="PNG")
    found = load_source("folder", root)
    assert dict(zip(found.records["path"], found.records["source"], strict=True)) == {
        "gan/1.png": "gan", "gan/deep/2.JPG": "gan", "loose.png": "unknown", "swap/1.png": "swap",
    }  # fmt: skip
    assert found.records["subject"].is_unique
    dataset = prepare(found, tmp_path / "out", Options(Alignment(16), aligned=True), workers=0)
    assert dataset.faces["source"].tolist() == ["gan", "gan", "unknown", "swap"]
    assert set(dataset.splits) == {"train", "val", "test"}


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no image .*correct --root"):
        load_source("folder", tmp_path)
