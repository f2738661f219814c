"""The folder of unfinished work, OUT.partial: begun, gone on with, and dropped.

Its plan.json holds a digest of all that decides the result; the files of finished parts lie beside it.
"""

import json
import shutil
from pathlib import Path

from legan.platform.errors import DataError
from legan.platform.files import write_whole


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
        if known is None and any(not child.match(".plan.json.*.tmp") for child in folder.iterdir()):
            raise DataError(f"{folder} is in the way and is not the unfinished work of {folder.stem}; move it away.")
        if known is not None and not overwrite:
            raise DataError(
                f"{folder} holds unfinished work with other options or other files; repeat the options of then to go on, "
                "or start over with --overwrite."
            )
        drop_work(folder)
    folder.mkdir(parents=True)
    write_whole(described, json.dumps({"digest": digest}) + "\n")


def _digest(described: Path) -> str | None:
    """What a plan.json says it is the work of; None where it is not there or was not written here."""
    try:
        return str(json.loads(described.read_text(encoding="utf-8"))["digest"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def drop_work(folder: Path) -> None:
    """Remove an unfinished folder, plan.json last: until then it is known for what it is."""
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        elif child.name != "plan.json":
            child.unlink()
    shutil.rmtree(folder)
