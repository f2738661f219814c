from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.dataset import Alignment
from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError


def draw(path: Path, value: int, form: str = "PNG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16, 3), value, np.uint8)).save(path, format=form)


def test_the_first_folder_is_the_source_and_every_other_file_is_listed(tmp_path: Path) -> None:
    root = tmp_path / "synthetic"
    forms = {"gan/1.png": "PNG", "gan/deep/2.JPG": "JPEG", "swap/1.png": "PNG", "loose.png": "PNG", "gan/3.jfif": "JPEG"}
    forms |= {"gan/4.jp2": "JPEG2000", "gan/5.avif": "AVIF", "gan/6.MPO": "MPO", "gan/7.jpe": "JPEG", "gan/8.notes": "PNG"}
    for i, (name, form) in enumerate(forms.items()):
        draw(root / name, 20 * i, form)
    draw(root / ".cache" / "3.png", 250)
    (root / "gan" / "notes.txt").write_text("by hand")
    (root / "gan" / "half.png").write_bytes(b"half")
    draw(tmp_path / "elsewhere" / "9.png", 240)
    (root / "linked").symlink_to(tmp_path / "elsewhere")

    found = load_source("folder", root)
    sources = {name: name.split("/")[0] for name in forms} | {"loose.png": "unknown", "linked/9.png": "linked"}
    assert dict(zip(found.records["path"], found.records["source"], strict=True)) == sources
    assert found.records["subject"].is_unique
    dataset = prepare(found, tmp_path / "out", Options(Alignment(16), aligned=True), workers=0)
    assert dataset.faces["source_path"].tolist() == sorted(sources)
    assert set(dataset.splits) == {"train", "val", "test"}
    assert dict(zip(dataset.skipped["path"], dataset.skipped["kind"], strict=True)) == {
        ".cache/": "hidden", "gan/half.png": "no_image", "gan/notes.txt": "other_file",
    }  # fmt: skip


def test_a_folder_without_images_is_refused_with_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no image .*; correct --root"):
        load_source("folder", tmp_path)
    (tmp_path / "notes.txt").write_text("none yet")
    with pytest.raises(
        DataError, match=r"holds no image .*, but 1 other file, such as notes\.txt: it is no image; correct --root"
    ):
        load_source("folder", tmp_path)
