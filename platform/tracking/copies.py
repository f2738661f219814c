"""A run's folder that was copied: as soon as something is recorded there, the copy is a run of its own.

Both folders have the run's uid, by which every store finds it, so they would write into one run of MLflow. Which of them is the
copy is told by the name that the run began under: it is the one that is called otherwise, or lies outside of the home in use.
Of a sweep the whole folder is copied, so the sweep's name counts for its own run and its trials. A folder that was moved or
renamed is no copy, for nothing is left where it was. Nor is a run of a copied home, which has a store of its own.
"""

import json
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from legan.platform.files import write_whole
from legan.platform.tracking.places import (
    COPY_OF,
    PARENT,
    RECORD_FILE,
    RUN_FILE,
    SENT_FILE,
    WHOLES,
    default_home,
    is_same,
    read_run_file,
    run_tracking_uri,
)

BEGUN_AS = "begun_as"


def original_of(folder: Path) -> Path | None:
    """The folder that ``folder`` is a copy of, where both are recorded in one store; None for what is no copy."""
    about, name = read_run_file(folder), begun_as(folder)
    if "run_uid" not in about or name is None:
        return None
    top, below, home = _sweep_and_rest(folder.absolute())
    for place in (top.parent / name / below, home / name / below):
        if not place.is_dir() or is_same(place, folder):
            continue
        if read_run_file(place).get("run_uid") == about["run_uid"] and run_tracking_uri(place) == run_tracking_uri(folder):
            return place
    return None


def begun_as(folder: Path) -> str | None:
    """The name of the run, or of the sweep that it is part of, when it was first recorded here; None where it never was."""
    known = read_run_file(folder).get(BEGUN_AS)
    if known is not None:
        return str(known)
    opening = _opening(folder)
    return (
        None if opening is None else str(opening["tags"].get("sweep") or opening["tags"].get("experiment") or opening["run_name"])
    )


def make_own(folder: Path) -> None:
    """Make a copy's record that of a run of its own, which no store has anything of."""
    about = read_run_file(folder)
    kept = {name: value for name, value in about.items() if name != "run_id"}
    top, _, _ = _sweep_and_rest(folder.absolute())
    own = {"run_uid": uuid.uuid4().hex, BEGUN_AS: top.name, COPY_OF: about["run_uid"]}
    write_whole(folder / RUN_FILE, json.dumps(kept | own, indent=2))
    (folder / SENT_FILE).unlink(missing_ok=True)


def _sweep_and_rest(folder: Path) -> tuple[Path, Path, Path]:
    """What is copied as a whole, the run's way from there, and where the home in use has such folders."""
    if folder.name == PARENT:
        top, rest = folder.parent, Path(PARENT)
    elif folder.parent.name == "trials":
        top, rest = folder.parents[1], Path("trials", folder.name)
    else:
        return folder, Path(), default_home()
    return top, rest, default_home() / (top.parent.name if top.parent.name in WHOLES else WHOLES[0])


def _opening(folder: Path) -> dict[str, Any] | None:
    """The first record of kind ``open`` that can be read."""
    with suppress(FileNotFoundError), (folder / RECORD_FILE).open("rb") as file:
        for line in file:
            with suppress(ValueError, TypeError, KeyError):
                record = json.loads(line)
                if record["kind"] == "open" and isinstance(record["tags"], dict) and record["run_name"]:
                    return dict(record)
    return None
