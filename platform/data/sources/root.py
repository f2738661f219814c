"""Whether ``--root`` is a folder too high or too low, where the folders beside it or in it tell."""

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from legan.platform.errors import LeganError

MOST = 30
"""Folders that are looked into, and paths that are looked for."""


def meant(root: Path, holds: Callable[[Path], bool]) -> Path | None:
    """The nearest folder that ``holds`` what ``root`` lacks: one of those in it, or one of the two above; None where none does.

    >>> Path("photos/2026/faces").mkdir(parents=True)
    >>> meant(Path("photos"), lambda folder: folder.name == "faces")
    PosixPath('photos/2026/faces')
    """
    inside = subfolders(root)
    deeper = itertools.chain.from_iterable(subfolders(folder) for folder in inside)
    return next((folder for folder in (*inside, *root.parents[:2], *deeper) if holds(folder)), None)


def makes(source: Callable[[Path], object], folder: Path) -> bool:
    """Whether a source finds its layout in a folder."""
    try:
        source(folder)
    except LeganError:
        return False
    return True


def root_of_paths(paths: Sequence[str], root: Path) -> Path | None:
    """Where the files of relative ``paths`` are, of which none is below ``root``; None where they are, or nobody knows."""
    some = [Path(path) for path in paths[:: max(1, len(paths) // MOST)]]
    if not some or any(path.is_absolute() or (root / path).exists() for path in some):
        return None
    return meant(root, lambda folder: all((folder / path).is_file() for path in some))


def alike_beside(root: Path) -> list[Path]:
    """The folders beside ``root`` that have subfolders of the same names, half of them at least."""
    own = {folder.name for folder in subfolders(root)}
    others = (folder for folder in subfolders(root.parent) if not folder.samefile(root))
    return [folder for folder in others if own and 2 * len(own & {each.name for each in subfolders(folder)}) >= len(own)]


def subfolders(folder: Path) -> list[Path]:
    """The first folders in a folder by name, without hidden ones; none where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())[:MOST]
    except OSError:
        return []


def shared(folders: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The way from the root into the folder that all images lie in.

    >>> shared([["a", "b", "smile"], ["a", "b", "neutral"]])
    ('a', 'b')
    """
    levels = zip(*folders, strict=False)
    return tuple(names[0] for names in itertools.takewhile(lambda names: len(set(names)) == 1, levels))


def listed(names: Collection[str], most: int = 3) -> str:
    """The first names, and that there are more.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c, …'
    """
    return ", ".join([*sorted(names)[:most], *(["…"] if len(names) > most else [])])
