import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.image import image_formats
from legan.platform.data.sources.folder_files import folder_files, folder_images

RNG = np.random.default_rng(0)
FORMATS = {"a.jfif": "JPEG", "b.jpe": "JPEG", "c.MPO": "MPO", "d.jp2": "JPEG2000", "e.avif": "AVIF", "f": "PNG", "g.txt": "WEBP"}


def draw(path: Path, form: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path, form)
    return path


def kinds(left: list) -> dict[str, str]:
    return {path: why.kind for path, why in left}


def test_what_a_file_holds_decides(tmp_path: Path) -> None:
    for name, form in FORMATS.items():
        draw(tmp_path / name, form)
    (tmp_path / "notes.md").write_text("Python and PGM")  # as a PGM file, it begins with a P
    (tmp_path / "torn.jpg").write_bytes(b"no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "face.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    found = folder_images(tmp_path)
    assert found.taken == sorted(FORMATS)
    damaged = "no_image" if "HEIF" in image_formats() else "heic"
    assert kinds(found.left) == {
        "empty.png": "unreadable", "face.HEIC": damaged, "notes.md": "other_file", "torn.jpg": "no_image",
    }  # fmt: skip


def test_hidden_files_and_folders_are_left_out_and_named_once(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", ".ipynb_checkpoints/b.png", "deep/.c.png"):
        draw(tmp_path / name)
    for found in (folder_files(tmp_path), folder_images(tmp_path)):
        assert found.taken == ["a.png"]
        assert kinds(found.left) == dict.fromkeys(("._a.png", ".ipynb_checkpoints/", "deep/.c.png"), "hidden")


def test_links_are_followed_once_and_circles_end(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for path in (root / "own" / "1.png", elsewhere / "2.png", elsewhere / "deep" / "3.png"):
        draw(path)
    (root / "file.png").symlink_to(elsewhere / "2.png")
    (root / "a_link").symlink_to(elsewhere)
    (root / "again").symlink_to(root / "own")  # by its own name it is looked into first, though that comes later
    (root / "b_link").symlink_to(elsewhere)
    (elsewhere / "up").symlink_to(root)
    (root / "loop").symlink_to(root / "loop")
    (root / "lost.png").symlink_to(tmp_path / "nowhere.png")
    found = folder_images(root)
    assert found.taken == ["a_link/2.png", "a_link/deep/3.png", "file.png", "own/1.png"]
    assert kinds(found.left) == {
        **dict.fromkeys(("a_link/up/", "again/", "b_link/"), "seen_folder"), **dict.fromkeys(("loop", "lost.png"), "unreadable"),
    }  # fmt: skip
    assert dict(found.left)["again/"].reason == "it leads to own/, which is looked into"


def test_what_cannot_be_looked_at_stops_nothing(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    os.rename(draw(tmp_path / "b.png"), odd)  # noqa: PTH104  (a name that is no text)
    shut = tmp_path / "shut"
    draw(shut / "c.png")
    shut.chmod(0)
    try:
        found = folder_images(tmp_path)
    finally:
        shut.chmod(0o700)
    expected = {"caf\ufffd.png": "misnamed", "pipe.png": "unreadable"}
    if os.getuid() == 0:  # whom nothing is shut to
        assert found.taken == ["a.png", "shut/c.png"]
        assert kinds(found.left) == expected
    else:
        assert found.taken == ["a.png"]
        assert kinds(found.left) == expected | {"shut/": "unreadable"}


@pytest.mark.parametrize("folder", ["empty", "gone"])
def test_folders_without_files(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    found = folder_files(tmp_path / folder)
    assert found.taken == []
    assert [why.kind for _, why in found.left] == (["unreadable"] if folder == "gone" else [])
