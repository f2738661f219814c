"""Files and folders that others read: on the disk whole, or not there.

They are written under another name beside their own (``.NAME.….tmp``), flushed to the disk and renamed. A process that is killed
leaves the other name behind.
"""

import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from legan.platform.errors import CheckpointError, DataError, Problem

FULL_BELOW_BYTES = 1 << 20
NO_SPACE = "No space left on device"


def flush(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The name to write to; the file takes the place of ``path`` when the block ends, and is removed when the block fails.

    >>> with whole_file(Path("notes.txt")) as draft:
    ...     _ = draft.write_text("whole or not at all")
    >>> Path("notes.txt").read_text()
    'whole or not at all'
    """
    draft = _beside(path, "tmp")
    try:
        yield draft
        flush(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


NAMED_FOLDERS = {"LEGAN_HOME": "runs", "LEGAN_WEIGHTS": "weights"}
"""Environment variables that name folders, and those of the working directory that serve without them."""


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def named_folder(variable: str) -> Path:
    """The folder that one of these variables names, absolute, since processes elsewhere are told of it."""
    return Path(os.environ.get(variable) or NAMED_FOLDERS[variable]).absolute()


def at_home(given: Any) -> Any:
    """A path, or several, in which a leading ``~`` is the user's home, also where no shell replaced it: ``--out=~/faces``."""
    if isinstance(given, list | tuple):
        return [at_home(each) for each in given]
    if isinstance(given, str):
        return str(Path(given).expanduser()) if given.startswith("~") else given
    return given.expanduser() if isinstance(given, Path) else given


def of_each(paths: Path | str | Sequence[Path | str], change: Callable[[Any], Any]) -> Any:
    """A path or several, each changed.

    >>> of_each(Path("a"), str), of_each((Path("a"), Path("b")), str)
    ('a', ('a', 'b'))
    """
    return change(paths) if isinstance(paths, Path | str) else tuple(change(path) for path in paths)


def as_written(path: Path, folder: Path, home: Path) -> str:
    """How a file in ``folder`` names ``path``: from there where both are below ``home``, which may be moved; else as it is.

    >>> as_written(Path("/runs/T/model"), Path("/runs/first"), Path("/runs"))
    '../T/model'
    >>> as_read("../T/model", Path("/moved/first"), Path("/moved"))
    PosixPath('/moved/T/model')
    """
    return os.path.relpath(path, folder) if path.is_relative_to(home) and folder.is_relative_to(home) else str(path)


def as_read(written: str, folder: Path, home: Path) -> Path:
    """The path that a file in ``folder`` names; one that does not begin with ``..`` is as it is.

    Where it is not there, the folder may have been taken out of its home: then what lies in ``home`` under that name is meant.
    """
    parts = Path(written).parts
    if parts[:1] != ("..",):
        return Path(written)
    beside = Path(os.path.normpath(folder / written))
    below = home.joinpath(*(part for part in parts if part != ".."))
    return below if below.exists() and not beside.exists() else beside


def linked(source: Path, target: Path) -> None:
    """The same file under another name, or a copy where the file system has no second names."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)


def misnamed(name: str) -> str | None:
    """Why a folder among others of its kind cannot have this name."""
    if re.fullmatch(r"\w[\w\-.]*", name, re.ASCII):
        return None
    return "use letters, digits, _, - and ., with one of the first three in front"


def unwritable(folder: Path) -> str | None:
    """What keeps files from being written into ``folder``, which need not exist yet, as far as that can be told beforehand."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        return f"{there} is a file"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{there} may not be written to"


def out_problems(out: Path | None) -> list[Problem]:
    """What keeps ``--out`` from being a folder to write into; nothing where it was not given.

    >>> Path("report").touch()
    >>> [problem.place for problem in out_problems(Path("report"))], out_problems(None)
    (['--out'], [])
    """
    problem = unwritable(out) if out is not None else None
    return [] if problem is None else [Problem("--out", f"{out} cannot be written: {problem}; name another folder")]


def refuse_existing(out: Path, file: str, *, overwrite: bool) -> None:
    """DataError when ``out`` exists; with ``overwrite``, only when it has no ``file`` and so is something else.

    DataError also when it cannot be written, as far as that can be told beforehand.
    """
    refuse_nameless(out)
    problem = unwritable(out.absolute().parent)
    if problem is not None:
        raise DataError(f"{out} cannot be written: {problem}; choose another folder.")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise DataError(f"{out} already exists; choose another folder, or replace it with --overwrite.")
    if not (out / file).is_file():
        raise DataError(f"{out} exists and has no {file}, so --overwrite leaves it alone; choose another folder.")


def refuse_nameless(out: Path) -> None:
    """DataError for paths such as ``.`` and ``/``, in whose place no folder can be renamed."""
    if out.name in ("", ".."):
        raise DataError(f"{out} has no name of its own, so that nothing can be put in its place; choose another folder.")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def disk_full(error: BaseException, folder: Path) -> bool:
    """Whether an error, under whatever name a library raises it, says that the disk of ``folder`` is full."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if NO_SPACE in str(cause):
            return True
    return isinstance(error, RuntimeError) and shutil.disk_usage(folder).free < FULL_BELOW_BYTES


@contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """CheckpointError where the block finds the disk of ``folder`` full."""
    try:
        yield
    except Exception as error:
        if not disk_full(error, folder):
            raise
        remedy = "make room, then continue with --resume or repeat the command"
        raise CheckpointError(f"{folder} cannot be written to ({NO_SPACE}); {remedy}.") from error


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill; it takes the place of ``folder`` when the block ends, and is removed when the block fails."""
    draft = _beside(folder, "tmp")
    draft.mkdir(parents=True)
    try:
        yield draft
        replace_folder(folder, draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill; it is called ``folder`` when the block ends, and is removed when the block fails.

    Raises FileExistsError when something is there by then, but for an empty folder.
    """
    draft = _beside(folder, "tmp")
    draft.mkdir(parents=True)
    try:
        yield draft
        for path in (*draft.rglob("*"), draft):
            flush(path)
        try:
            draft.rename(folder)
        except OSError as error:
            if folder.exists() and not is_empty(folder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder)) from error
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def is_empty(folder: Path) -> bool:
    """Whether it is a folder, and nothing is in it."""
    return folder.is_dir() and not any(folder.iterdir())


def replace_folder(folder: Path, draft: Path) -> None:
    """Flush ``draft`` and rename it to ``folder``, on the same file system; an older ``folder`` is removed after that.

    Folders cannot be exchanged in one step: a process killed between the two renames leaves the older one as ``.NAME.….old``
    and the new one as it was called.
    """
    for path in (*draft.rglob("*"), draft):
        flush(path)
    old = _beside(folder, "old")
    if folder.exists():
        folder.rename(old)
    try:
        draft.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{ending}")
