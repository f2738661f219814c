"""Writes down which project files are called in a process, in the order of their first calls.

`tests/walks.py` copies this file as ``sitecustomize.py`` to a folder of PYTHONPATH. So it works in every process that
a command starts, Ray's workers among them. It must import nothing that is slow or not in the standard library.
"""

import os
import sys
import threading
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType

LOG, PROJECT = "LEGAN_CALLED_LOG", "LEGAN_CALLED_PROJECT"
FOLDERS = ("models", "platform", "sweeps", "serve", "src")


def write_down_calls(log: Path, project: Path) -> None:
    """From now on, append to ``log`` a line "process thread file" at each file's first call, in this thread and in new ones."""
    files: dict[str, str | None] = {}
    seen: set[tuple[str, str]] = set()

    def file_of(code: CodeType) -> str | None:
        path = Path(os.path.realpath(code.co_filename))
        inside = path.is_relative_to(project) and path.relative_to(project).parts[0] in FOLDERS
        return str(path.relative_to(project)) if inside else None

    def called(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if code.co_filename not in files:
            files[code.co_filename] = file_of(code)
        file = files[code.co_filename]
        if event != "call" or file is None:
            return
        thread = "main" if threading.current_thread() is threading.main_thread() else "other"
        if (thread, file) not in seen and _counts(frame):
            seen.add((thread, file))
            with log.open("a") as lines:
                lines.write(f"{os.getpid()} {thread} {file}\n")

    threading.settrace(called)
    sys.settrace(called)


def _counts(frame: FrameType) -> bool:
    """Whether it is a function, and not one that only an import calls."""
    if not frame.f_code.co_flags & CO_OPTIMIZED:
        return False
    caller = frame.f_back
    while caller is not None:
        if caller.f_code.co_name == "<module>" and caller.f_globals.get("__name__") != "__main__":
            return False
        caller = caller.f_back
    return True


if LOG in os.environ:
    write_down_calls(Path(os.environ[LOG]), Path(os.environ[PROJECT]))
