import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from legan.platform.errors import CheckpointError
from legan.platform.files import disk_full, new_folder, replace_folder, room_in, unwritable, whole_file, whole_folder, write_whole


def fail_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """The ``moment``-th flush or rename (counted from 0) fails, as on a broken or full disk."""
    count = iter(range(1000))

    def failing(original: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            if next(count) == moment:
                raise OSError(28, "No space left on device")
            return original(*arguments)

        return called

    monkeypatch.setattr(os, "fsync", failing(os.fsync))
    monkeypatch.setattr(Path, "rename", failing(Path.rename))
    monkeypatch.setattr(Path, "replace", failing(Path.replace))


def fill(folder: Path, word: str) -> None:
    (folder / "deep").mkdir()
    (folder / "a").write_text(word)
    (folder / "deep" / "b").write_text(word)


def words(folder: Path) -> set[str]:
    return {(folder / name).read_text() for name in ("a", "deep/b")}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for word in ("old", "new"):
        with whole_file(tmp_path / "file") as draft:
            draft.write_text(word)
            assert draft.parent == tmp_path
    assert (tmp_path / "file").read_text() == "new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("moment", range(2))
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    (tmp_path / "file").write_text("old")
    fail_at(monkeypatch, moment)
    with pytest.raises(OSError, match="No space"), whole_file(tmp_path / "file") as draft:
        draft.write_text("new")
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "some" / "folder"
    for word in ("old", "new"):
        with whole_folder(out) as draft:
            fill(draft, word)
            assert not out.exists() or words(out) == {"old"}
        assert words(out) == {word}
    assert names(out.parent) == ["folder"]


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "file") as draft:
        draft.write_bytes(b"half" + (tmp_path / "gone").read_bytes())
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "folder") as draft:
        [fill(draft, word) for word in ("half", "half again")]
    assert names(tmp_path) == []


# Four flushes of what was written, two renames, a flush of the folder above.
@pytest.mark.parametrize("moment", range(7))
def test_a_folder_is_whole_whatever_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    out = tmp_path / "folder"
    out.mkdir()
    fill(out, "old")
    with monkeypatch.context() as patch:
        fail_at(patch, moment)
        with pytest.raises(OSError, match="No space"), whole_folder(out) as draft:
            fill(draft, "new")
    assert words(out) == {"new" if moment == 6 else "old"}
    assert moment == 6 or names(tmp_path) == ["folder"]


def test_a_finished_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for word in ("old", "new"):
        (tmp_path / word).mkdir()
        fill(tmp_path / word, word)
    replace_folder(tmp_path / "old", tmp_path / "new")
    assert words(tmp_path / "old") == {"new"}
    assert names(tmp_path) == ["old"]


def test_a_text_is_written_whole_or_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a.txt", "Größe\n")
    assert (tmp_path / "a.txt").read_bytes() == "Größe\n".encode()
    fail_at(monkeypatch, 0)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "Größe\n"
    assert names(tmp_path) == ["a.txt"]


def test_what_keeps_a_folder_from_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note.txt").write_text("mine")
    assert unwritable(tmp_path / "new" / "deep") is None
    assert unwritable(tmp_path / "note.txt" / "deep") == f"{tmp_path / 'note.txt'} is a file"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert unwritable(tmp_path / "new") == f"{tmp_path} may not be written to"


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError(122, "Disk quota exceeded"), True),
        (OSError(13, "Permission denied"), False),
        (ValueError("I/O error: No space left on device (os error 28)"), True),  # safetensors
        (RuntimeError("shapes differ"), False),
    ],
)
def test_a_full_disk_is_known_under_every_name(error: Exception, full: bool, tmp_path: Path) -> None:
    assert disk_full(error, tmp_path) is full


def test_a_full_disk_is_one_sentence_and_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r" cannot be written to \(No space left on device\); make"), room_in(tmp_path):
        Path("/dev/full").write_text("much")
    with pytest.raises(PermissionError), room_in(tmp_path):
        raise PermissionError(13, "Permission denied")


def test_a_new_folder_takes_nothings_place_and_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("fresh", "empty"):
        with new_folder(tmp_path / name) as draft:
            fill(draft, "new")
        assert words(tmp_path / name) == {"new"}
    with pytest.raises(FileExistsError, match="fresh"), new_folder(tmp_path / "fresh") as draft:
        fill(draft, "newer")
    assert words(tmp_path / "fresh") == {"new"}
    with pytest.raises(ValueError, match="wrong"), new_folder(tmp_path / "wrong"):
        raise ValueError("wrong")
    assert names(tmp_path) == ["empty", "fresh"]
