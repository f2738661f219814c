"""How often a run was scored on test people: what is looked at again and again has soon been chosen by.

Its folder remembers (tested.json: a count for each data set, by its hash), and so does a tag of its MLflow run.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from legan.platform.data.dataset import Dataset
from legan.platform.errors import TrackingError
from legan.platform.files import write_whole
from legan.platform.tracking.mlflow_access import tags_of
from legan.platform.tracking.places import StoredRun, default_home, read_run_file

FILE, TAG = "tested.json", "scored_on_test"


def count_test(run: StoredRun, info: Mapping[str, object], data: Dataset) -> tuple[int, dict[str, str]]:
    """Remember that the run of a model is now scored on the test split of ``data``; how often it was by then, and a tag to set.

    ``info`` is what the model says of itself. What MLflow knows counts where the run's folder knows less.
    """
    folder = _folder(run, info)
    known = _read(folder)
    tag = TAG if info.get("data_hash") in (None, data.content_hash) else f"{TAG}/{plain(data.name)}"
    times = 1 + max(known.get(data.content_hash, 0), _stored(run, tag) if folder is None or not known else 0)
    if folder is not None:
        write_whole(folder / FILE, json.dumps({**known, data.content_hash: times}, indent=1) + "\n")
    return times, {tag: str(times)}


def times_tested(folder: Path, data_hash: str | None) -> int:
    """How often the run in a folder was scored on the test split of the data with this hash, as its folder remembers it."""
    return _read(folder).get(data_hash or "", 0)


def plain(name: str) -> str:
    """A data set's name as MLflow takes it."""
    return re.sub(r"[^\w\-. ]", "-", name, flags=re.ASCII)


def ordinal(number: int) -> str:
    """A number as it counts times.

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 22, 113)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd', '113th']
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _folder(run: StoredRun, info: Mapping[str, object]) -> Path | None:
    """The folder of the run, None where it is not here."""
    if run.folder is not None:
        return run.folder
    named = default_home() / str(info.get("run"))
    return named if info.get("run_uid") and read_run_file(named).get("run_uid") == info["run_uid"] else None


def _read(folder: Path | None) -> dict[str, int]:
    with suppress(OSError, ValueError, AttributeError):
        stored = json.loads((folder / FILE).read_text(encoding="utf-8")) if folder is not None else {}
        return {str(data): int(times) for data, times in stored.items()}
    return {}


def _stored(run: StoredRun, tag: str) -> int:
    with suppress(TrackingError, ValueError):
        return int(tags_of(run).get(tag, 0))
    return 0
