"""Which photographs a command is to work on: files, folders of them, and patterns that no shell has filled in."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from legan.platform.errors import Problems

if TYPE_CHECKING:
    from legan.platform.data.skipped import Skipped


class GivenPhotographs(NamedTuple):
    """``taken`` files, each once, and what is ``left`` of folders and why; ``several`` is False where a single file was named."""

    taken: list[Path]
    left: list[tuple[str, "Skipped"]]
    several: bool


def find_photographs(given: Sequence[Path], problems: Problems, out: Path | None = None) -> GivenPhotographs:
    """The photographs that are named; what is wrong is added to ``problems``.

    A folder's images are taken by what the files hold, below linked folders too. A folder in which ``out`` lies is refused, since
    its pictures would be taken for photographs the next time.
    """
    taken: dict[Path, Path] = {}
    left: list[tuple[str, Skipped]] = []
    for path in given:
        for found in _filled_in(path, problems):
            if not found.exists():
                problems.add(str(found), "there is no such file or folder; correct the path")
            elif not found.is_dir():
                taken[found.absolute()] = found
            else:
                images, others = _below(found, problems)
                taken.update((image.absolute(), image) for image in images)
                left += others
                if images and out is not None and out.resolve().is_relative_to(found.resolve()):
                    problems.add(f"--out {out}", f"it lies in {found}, whose pictures are taken; name a folder elsewhere")
    several = len(given) > 1 or any(path.is_dir() or not path.exists() for path in given)
    return GivenPhotographs(list(taken.values()), left, several)


def _below(folder: Path, problems: Problems) -> tuple[list[Path], list[tuple[str, "Skipped"]]]:
    """The images below a folder, and what was meant to be one and cannot be read."""
    from legan.platform.data.dataset import FILE
    from legan.platform.data.image import named_formats
    from legan.platform.data.sources.folder_files import BESIDE, folder_images, in_words

    if (folder / FILE).is_file():
        problems.add(str(folder), "it is a data set folder; `legan augment` translates it")
        return [], []
    images, others = folder_images(folder)
    if not images:
        problems.add(str(folder), f"it holds no photograph ({named_formats()}){in_words(others)}")
    return [folder / name for name in images], [(str(folder / name), why) for name, why in others if why.kind not in BESIDE]


def _filled_in(path: Path, problems: Problems) -> Iterator[Path]:
    """The files and folders that a path stands for: itself, or where there is no such file, those that fit it as a pattern."""
    if path.exists() or not set(str(path)) & set("*?["):
        yield path
        return
    base = Path(path.anchor)
    found = sorted(each for each in base.glob(str(path.relative_to(base))) if not _hidden(each.relative_to(base)))
    if not found:
        problems.add(str(path), "no file fits this pattern; correct it")
    yield from found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.parts)
