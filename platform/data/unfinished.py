"""The folder of unfinished work, OUT.partial: begun, gone on with, and dropped, by one process at a time.

Its plan.json holds a digest of all that decides the result; the files of finished parts lie beside it.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from legan.platform.errors import DataError, FolderTakenError
from legan.platform.files import write_whole


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Keep other processes out of an unfinished folder, by a lock beside it that goes with its process, however that ends.

    Raises FolderTakenError where another one is at work.
    """
    path = folder.with_name(f".{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(path)
    if descriptor is None:
        raise FolderTakenError(f"another process is at work in {folder}; wait until it has ended, or choose another folder.")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def start_work(folder: Path, digest: str, *, overwrite: bool) -> None:
    """Make the unfinished folder, or go on with one of the same digest, having removed what a kill left half-written.

    Raises DataError for a folder of something else and, unless ``overwrite``, for one of another digest.
    """
    described = folder / "plan.json"
    if folder.exists():
        known = _digest(described)
        if known == digest:
            for leftover in folder.glob(".*.tmp"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            shutil.rmtree(folder / "dataset", ignore_errors=True)
            return
        if known is None and not (folder.is_dir() and all(child.match(".plan.json.*.tmp") for child in folder.iterdir())):
            raise DataError(f"{folder} is in the way and is not the unfinished work of {folder.stem}; move it away.")
        if known is not None and not overwrite:
            raise DataError(
                f"{folder} holds unfinished work with other options, of other files or of another version; repeat the options of "
                "then to go on, or start over with --overwrite."
            )
        drop_work(folder)
    folder.mkdir(parents=True)
    write_whole(described, json.dumps({"digest": digest}) + "\n")


def drop_finished(folder: Path, digest: str) -> None:
    """Remove the folder of finished work that a kill at the very end left; a folder of another digest stays.

    Raises FolderTakenError where another process is at work in it.
    """
    if _digest(folder / "plan.json") == digest:
        with at_work(folder):
            drop_work(folder)


def _digest(described: Path) -> str | None:
    """What a plan.json says it is the work of; None where it is not there or was not written here."""
    try:
        return str(json.loads(described.read_text(encoding="utf-8"))["digest"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def drop_work(folder: Path) -> None:
    """Remove an unfinished folder; plan.json goes last, since it says what the folder is."""
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        elif child.name != "plan.json":
            child.unlink()
    shutil.rmtree(folder)


def _locked(path: Path) -> int | None:
    """The descriptor of a locked file, None where another process has the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            return descriptor  # this file system knows no locks
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)  # who had the lock has removed the file in between
