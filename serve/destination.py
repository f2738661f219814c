"""Where pictures are written, and what they are called: nothing is replaced unasked, and no two pictures have one name."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from legan.platform.errors import DataError, Problems
from legan.platform.files import unwritable, whole_file
from legan.serve.pictures import FORMATS, NOT_WRITTEN, SUFFIXES, Format


@dataclass
class Destination:
    """A folder, or for a single picture the ``file`` that was named; ``form`` is the format of all pictures.

    A named file is replaced. A name of our own choice replaces nothing unless ``overwrite`` says so, and even then neither a
    photograph (``kept``) nor another picture of the same command.
    """

    folder: Path
    file: Path | None
    form: Format
    overwrite: bool = False
    kept: frozenset[Path] = frozenset()
    _taken: set[Path] = field(default_factory=set)

    def picture(self, *parts: str) -> Path:
        """The file of a picture: the one that was named, else one called after its parts, such as photograph and classes."""
        return self.free(".".join(parts)) if self.file is None else self.file

    def free(self, stem: str) -> Path:
        """A file of this name that nothing else has, with a number where it is taken."""
        ending = f".{self.form}" if self.file is None else self.file.suffix
        path, number = self.folder / f"{stem}{ending}", 1
        while self._is_taken(path):
            number += 1
            path = self.folder / f"{stem}-{number}{ending}"
        self._taken.add(path)
        return path

    def write(self, path: Path, data: bytes) -> str:
        """Write a picture's file, whole or not at all; its path, and whether it was there before. DataError says why not."""
        replaced = " (replaced)" if path.exists() else ""
        try:
            with whole_file(path) as draft:
                draft.write_bytes(data)
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror}; give another --out.") from error
        return f"{path}{replaced}"

    def _is_taken(self, path: Path) -> bool:
        if path in self._taken or path == self.file:
            return True
        return path.exists() and (not self.overwrite or path.resolve() in self.kept)


def destination(
    out: Path, form: str | None, photographs: Sequence[Path], problems: Problems, *, one: bool, overwrite: bool = False
) -> Destination:
    """Where --out and --format put the pictures of these photographs; what is wrong with that is added to ``problems``.

    ``one`` says that a single picture may be made, which --out may name. No folder is made yet.
    """
    ending = out.suffix.lower()
    named = one and ending in SUFFIXES and not out.is_dir()
    wanted = form or (SUFFIXES[ending] if named else "png")
    if wanted not in FORMATS:
        problems.add(f"--format {wanted}", f"give one of {', '.join(FORMATS)}")
    elif named and SUFFIXES[ending] != wanted:
        problems.add("--out", f"it ends with {out.suffix}, --format is {wanted}; leave out --format")

    if not named and ending in (*SUFFIXES, *NOT_WRITTEN) and not out.is_dir():
        message = "it looks like one picture; give a folder, or for a single translation .png, .jpg or .webp"
        problems.add(f"--out {out}", message)
    if named and out.exists() and any(photo.exists() and out.samefile(photo) for photo in photographs):
        problems.add(f"--out {out}", "it is the photograph itself; give another name")
    folder = out.parent if named else out
    problem = unwritable(folder)
    if problem is not None:
        problems.add("--out", f"{problem}; give another folder")

    kept = frozenset(photo.resolve() for photo in photographs)
    known: Format = next((each for each in FORMATS if each == wanted), "png")
    return Destination(folder, out if named else None, known, overwrite, kept)


def stems(photographs: Sequence[Path]) -> list[str]:
    """What each photograph's pictures are called after: its name without the ending, and more where others have that, too.

    First come the names of the folders around it, as few as make a difference, then the ending of its own name.

    >>> stems([Path("a/x.jpg"), Path("b/x.jpg"), Path("b/y.jpg"), Path("b/y.png")])
    ['a-x', 'b-x', 'y.jpg', 'y.png']
    """
    found = [photo.stem for photo in photographs]
    shared = Counter(name.casefold() for name in found)
    for name, count in shared.items():
        if count > 1:
            places = [index for index, each in enumerate(found) if each.casefold() == name]
            for index, distinct in zip(places, _distinct([photographs[index].absolute() for index in places]), strict=True):
                found[index] = distinct
    return found


def plain(name: str) -> str:
    """A class's name as part of a file's.

    >>> plain("left side")
    'left-side'
    """
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)


def _distinct(photographs: Sequence[Path]) -> list[str]:
    """Names of photographs that are called the same."""
    deepest = max(len(photo.parts) for photo in photographs) - 1
    named: list[str] = []
    for ending in (False, True):
        for depth in range(0 if ending else 1, deepest):
            named = ["-".join([*_folders(photo, depth), photo.name if ending else photo.stem]) for photo in photographs]
            if len({name.casefold() for name in named}) == len(named):
                return named
    return named


def _folders(photo: Path, depth: int) -> tuple[str, ...]:
    """The innermost ``depth`` folders that a photograph is in."""
    return photo.parts[max(1, len(photo.parts) - 1 - depth) : -1]
