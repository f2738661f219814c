from pathlib import Path

import pytest

from legan.platform.errors import Problems
from legan.serve.destination import destination, stems


@pytest.mark.parametrize(
    ("photographs", "names"),
    [
        (("a/x.jpg", "b/y.jpg"), ["x", "y"]),
        (("a/x.jpg", "b/x.jpg", "b/y.jpg"), ["a-x", "b-x", "y"]),
        (("a/x.jpg", "a/x.png"), ["x.jpg", "x.png"]),
        (("a/x.jpg", "a/x.png", "b/x.jpg"), ["a-x.jpg", "a-x.png", "b-x.jpg"]),
        (("p/1/x.jpg", "q/1/x.jpg"), ["p-1-x", "q-1-x"]),
        (("/x.jpg", "/a/x.jpg"), ["x", "a-x"]),
        (("a/X.jpg", "b/x.jpg"), ["a-X", "b-x"]),
    ],
)
def test_photographs_of_one_name_are_told_apart(photographs: tuple[str, ...], names: list[str]) -> None:
    assert stems([Path(photo) for photo in photographs]) == names


def test_no_two_pictures_have_one_name(tmp_path: Path) -> None:
    to = destination(tmp_path, None, [], Problems(), one=False, overwrite=True)
    names = [to.picture("a-b", "smile").name for _ in range(3)]
    assert names == ["a-b.smile.png", "a-b.smile-2.png", "a-b.smile-3.png"]


@pytest.mark.parametrize(
    ("out", "form", "one", "folder", "name", "written"),
    [
        (".", None, True, ".", None, "png"),
        (".", "webp", False, ".", None, "webp"),
        ("new/x.JPG", None, True, "new", "new/x.JPG", "jpeg"),
        ("new/x.webp", "webp", True, "new", "new/x.webp", "webp"),
        ("v1.2", None, True, "v1.2", None, "png"),
        ("there.png", None, True, "there.png", None, "png"),
    ],
)
def test_a_name_that_ends_as_pictures_do_is_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    form: str | None,
    one: bool,
    folder: str,
    name: str | None,
    written: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.png").mkdir()
    problems = Problems()
    to = destination(Path(out), form, [], problems, one=one)
    assert problems == []
    assert (to.folder, to.file, to.form) == (Path(folder), None if name is None else Path(name), written)
    assert to.picture("a", "smile") == (Path(folder) / f"a.smile.{written}" if name is None else Path(name))
