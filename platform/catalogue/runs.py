"""What runs there are, and what became of each: by their folders, and by MLflow for those whose folders are elsewhere."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from legan.platform.config import flatten
from legan.platform.errors import CheckpointError, LeganError, TrackingError
from legan.platform.evaluation.metric_names import canonical, find
from legan.platform.tracking.mlflow_access import trainings
from legan.platform.tracking.places import WHOLES, StoredRun, default_home, experiment, run_in_store
from legan.platform.tracking.spool import is_recorded
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.run_folder import open_run

if TYPE_CHECKING:
    from legan.platform.tracking.mlflow_runs import Training

Status = Literal["running", "finished", "stopped early", "failed", "interrupted", "not begun"]
CLOSED: dict[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted", "RUNNING": "running"}
"""What MLflow's words mean; a run is KILLED by Ctrl-C, and also where its process died."""
OUTCOME = "outcome.json"
"""How a trial ended, as its sweep leaves it in the folder (sweeps/sweep.py)."""
FOLDERS_OF_RUNS = ("*", *(f"{whole}/*/trials/*" for whole in WHOLES))
"""Where runs lie below their home."""
Values = list[tuple[int, float]]


@dataclass(frozen=True)
class RunFacts:
    """A run.

    ``name`` is what other commands take; ``val`` has each validation's step and value by metric. ``began`` is ISO 8601, UTC.
    ``folder`` is None for a run that only MLflow knows.
    """

    name: str
    kind: str
    status: Status
    began: str | None
    step: int | None
    steps: int | None
    val: Mapping[str, Values]
    settings: Mapping[str, Any]
    tags: Mapping[str, str]
    folder: Path | None
    uid: str | None
    run_id: str | None
    link: str | None

    @property
    def data(self) -> str | None:
        """Where the data or ratings lay."""
        named = self.tags.get("data") or self.settings.get("data") or self.settings.get("ratings")
        return None if named in (None, "none", "None") else str(named)

    def best(self, metric: str) -> tuple[int, float] | None:
        """Step and value of the best validation by a metric; None where it has none, or nobody knows which way it is better."""
        known, values = find(metric), self.val.get(metric)
        if not values or known is None or known.better is None:
            return None
        return (min if known.better == "lower" else max)(values, key=lambda each: each[1])


def list_runs(say: Callable[[str], None]) -> list[RunFacts]:
    """The runs of this home, trials of sweeps and experiments among them, and those that only MLflow knows; the newest first.

    ``say`` tells of folders that cannot be read, and of a store that cannot be asked.
    """
    home, found = default_home(), []
    folders = sorted(path.parent for pattern in FOLDERS_OF_RUNS for path in home.glob(f"{pattern}/config.yaml"))
    for folder in folders:
        try:
            found.append(of_folder(folder))
        except LeganError as error:
            say(f"{_name(folder)} is left out: {error}")
    here = {run.uid for run in found}
    try:
        found += [_of_store(each) for each in _stored() if each.uid not in here]
    except TrackingError as error:
        say(f"Runs of other homes are not listed: {error}")
    return sorted(found, key=lambda each: each.began or "", reverse=True)


def find_run(name: str) -> RunFacts:
    """A run by its name under the home or its folder, or else by its name or id in MLflow; CheckpointError when there is none."""
    for folder in (Path(name), default_home() / name):
        if (folder / "config.yaml").is_file():
            return of_folder(folder)
    with suppress(TrackingError):
        for each in _stored():
            if name in (each.run_id, each.name):
                return _of_store(each)
    raise CheckpointError(f"there is no run {name!r}; `legan runs list` shows those there are.")


def of_folder(folder: Path) -> RunFacts:
    """What a run's folder tells; CheckpointError or ConfigError where its settings cannot be read."""
    run = open_run(default_home(), str(folder))
    began, closed = None, None
    tags, val = dict(run.tags), dict[str, dict[int, float]]()
    for record in _records(run.folder):
        match record["kind"]:
            case "open":
                began, closed = began or record["time"], None
                tags |= record["tags"]
            case "tags":
                tags |= record["tags"]
            case "close":
                closed = record["status"]
            case "metrics":
                for name, value in record["values"].items():
                    if _of_validation(name):
                        val.setdefault(canonical(name), {})[record["step"]] = value

    done, stored = list_checkpoints(run.checkpoints), run_in_store(run.folder)
    return RunFacts(
        name=_name(run.folder),
        kind=run.kind,
        status=_status(run.folder, closed, tags),
        began=_iso(began) if began is not None else None,
        step=done[-1].step if done else None,
        steps=run.settings.steps,
        val={name: sorted(values.items()) for name, values in val.items()},
        settings=flatten(run.settings.model_dump(mode="json")),
        tags=tags,
        folder=run.folder,
        uid=stored.uid,
        run_id=stored.run_id,
        link=stored.page,
    )


def _name(folder: Path) -> str:
    """As other commands take it."""
    home = default_home()
    return str(folder.relative_to(home)) if folder.is_relative_to(home) else str(folder)


def _of_validation(name: str) -> bool:
    """Whether it is the model's own, and neither a copied input's nor a real image's."""
    return canonical(name).startswith("val/") and name.count("/") == 1


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    """The records of a run that tell of it, without the many of losses and of the machine."""
    with suppress(FileNotFoundError), (folder / "tracking.jsonl").open("rb") as file:
        for line in file:
            if line.startswith(b'{"kind": "metrics"') and b'"val' not in line and b'"eval/' not in line:
                continue
            with suppress(ValueError):  # one that is just being written
                yield json.loads(line)


def _status(folder: Path, closed: str | None, tags: Mapping[str, str]) -> Status:
    if is_recorded(folder, wait_s=0):
        return "running"
    if _failed(folder):
        return "failed"
    if not (folder / "tracking.jsonl").is_file():
        return "not begun"
    return _ended(closed or "KILLED", tags)


def _failed(folder: Path) -> bool:
    """Whether its sweep has given it up, as one whose process died too often."""
    try:
        return bool(json.loads((folder / OUTCOME).read_text(encoding="utf-8"))["status"] == "failed")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _ended(word: str, tags: Mapping[str, str]) -> Status:
    if word == "FINISHED" and tags.get("stopped_early") == "true":
        return "stopped early"
    return CLOSED.get(word, "interrupted")


def _stored() -> "list[Training]":
    return trainings(experiment(), _of_validation)


def _of_store(stored: "Training") -> RunFacts:
    """A run of which only MLflow tells; its settings are text, and its step is that of the last validation."""
    steps = stored.params.get("steps", "")
    return RunFacts(
        name=stored.name,
        kind=stored.tags.get("kind", "unknown"),
        status=_ended(stored.status, stored.tags),
        began=_iso(stored.began),
        step=max((values[-1][0] for values in stored.histories.values()), default=None),
        steps=int(steps) if steps.isdecimal() else None,
        val={canonical(name): values for name, values in stored.histories.items()},
        settings=dict(stored.params),
        tags=stored.tags,
        folder=None,
        uid=stored.uid,
        run_id=stored.run_id,
        link=StoredRun(stored.store, stored.run_id).page,
    )


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
