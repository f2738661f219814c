"""The files below a folder: those that are taken, and every other one with its reason.

Links are followed, to folders as well. A folder that several paths lead to is looked into once, by a path without links where
there is one; so links in a circle end. Hidden files and folders (.DS_Store, ._a.jpg, .ipynb_checkpoints) are not taken.
"""

import os
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from legan.platform.data.image import called_an_image, image_size
from legan.platform.data.skipped import HIDDEN, Skipped
from legan.platform.errors import ImageError, counted

BESIDE = frozenset(("hidden", "other_file", "seen_folder"))
"""Kinds of what lies beside photographs and was never meant to be one."""


class FolderFiles(NamedTuple):
    """Paths from the folder, each in alphabetical order: ``taken`` files; and what is ``left`` out and why, folders with a /."""

    taken: list[str]
    left: list[tuple[str, Skipped]]


def folder_images(root: Path) -> FolderFiles:
    """The images below ``root``, by what the files hold, whatever they are called. Only their headers are read.

    >>> from PIL import Image
    >>> Path("some").mkdir()
    >>> for name in ("a.jpg", ".b.jpg"):
    ...     Image.new("RGB", (8, 8)).save(f"some/{name}")
    >>> _ = Path("some/notes.txt").write_text("two of them are left out")
    >>> found = folder_images(Path("some"))
    >>> found.taken, [(path, why.kind) for path, why in found.left]
    (['a.jpg'], [('.b.jpg', 'hidden'), ('notes.txt', 'other_file')])
    """
    files = folder_files(root)
    taken, left = [], list(files.left)
    for path in files.taken:
        try:
            image_size(root / path, name="the file")
            taken.append(path)
        except ImageError as error:
            other = error.kind == "no_image" and not called_an_image(path)
            left.append((path, Skipped("other_file", "it is no image") if other else Skipped(error.kind, str(error))))
    return FolderFiles(taken, sorted(left))


def folder_files(root: Path) -> FolderFiles:
    """The files below ``root``, whatever they hold."""
    taken: list[str] = []
    left: list[tuple[str, Skipped]] = []
    seen: dict[str, str] = {}
    folders, linked = deque([""]), deque[str]()

    while folders or linked:
        folder = (folders or linked).popleft()
        place = os.path.realpath(root / folder)
        if place in seen:
            why = f"it leads to {seen[place] or 'the folder itself'}, which is looked into"
            left.append((folder, Skipped("seen_folder", why)))
            continue
        seen[place] = folder

        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            left.append((folder, Skipped("unreadable", f"the folder cannot be read: {error.strerror}")))
            continue

        for entry in entries:
            kind = _kind(entry)
            path = f"{folder}{entry.name}{'/' if kind == 'folder' else ''}"
            why_not = _why_not(entry, kind)
            if why_not is not None:
                left.append((_shown(path), why_not))
            elif kind == "file":
                taken.append(path)
            else:
                (linked if entry.is_symlink() else folders).append(path)

    return FolderFiles(sorted(taken), sorted(left))


def in_words(left: Sequence[tuple[str, Skipped]]) -> str:
    """What else is in a folder, one file of the most frequent kind named, as the rest of a sentence that no image is in it."""
    if not left:
        return ""
    frequent, _ = Counter(why.kind for _, why in left).most_common(1)[0]
    path, why = next((path, why) for path, why in left if why.kind == frequent)
    return f", but {counted(len(left), 'other file')}, such as {path}: {why.reason.rstrip('.')}"


def _kind(entry: "os.DirEntry[str]") -> Literal["file", "folder", "other"]:
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() else "other"
    except OSError:
        return "other"  # a link in a circle, or to where nobody may look


def _why_not(entry: "os.DirEntry[str]", kind: str) -> Skipped | None:
    """Why a file is left out by its name or kind, or all that is in a folder."""
    if entry.name.startswith("."):
        return HIDDEN
    if _shown(entry.name) != entry.name:
        return Skipped("misnamed", "its name is not UTF-8; rename it")
    if kind == "other":
        what = "a link that leads nowhere" if entry.is_symlink() else "no file, but a pipe or a device"
        return Skipped("unreadable", f"it is {what}")
    return None


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
