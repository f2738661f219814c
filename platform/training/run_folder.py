"""A run: a folder with its settings, checkpoints, records and, at its end, the model.

config.yaml      kind and every setting; paths below the home are written as from this folder, so that the home can be moved
inputs.json      hashes of the data and the networks that it is trained on and with
checkpoints/     see checkpoint.py
tracking.jsonl   all that was measured, whether MLflow has it yet or not
samples/         pictures by step
model/           what others load

and of Ray's workers
progress.log     the lines a user sees
status.json      finished, stopped, interrupted or failed, and why
"""

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from legan.platform.config import KINDS, check_settings
from legan.platform.data.dataset import NOTHING, LeftOut
from legan.platform.errors import CheckpointError, ConfigError, LeganError, Problem, TrackingError
from legan.platform.files import as_read, as_written, is_empty, misnamed, new_folder, of_each, write_whole
from legan.platform.settings import TrainingSettings
from legan.platform.tracking.places import default_home, no_run
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.checks import FOLDERS
from legan.platform.training.loop import Interrupted, StoppedEarly


class Run(NamedTuple):
    """A run folder and what is trained in it.

    ``tags`` are further tags of its MLflow run; ``register`` says whether its model becomes a version of the registered model;
    ``left_out`` are the classes of its data that are not trained.
    """

    folder: Path
    kind: str
    settings: TrainingSettings
    tags: Mapping[str, str] = {}
    register: bool = True
    left_out: LeftOut = NOTHING

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return self.folder / "model"


def check_run_name(home: Path, name: str) -> None:
    """ConfigError when a new run under ``home`` cannot have this name."""
    problem = misnamed(name)
    if problem is not None:
        raise ConfigError([Problem(f"--name {name!r}", problem)])
    if (home / name).exists() and not is_empty(home / name):
        raise _taken(name)


def create_run(
    home: Path,
    kind: str,
    settings: TrainingSettings,
    name: str | None,
    tags: Mapping[str, str] | None = None,
    register: bool = True,
    left_out: LeftOut = NOTHING,
    fill: Callable[[Path], None] | None = None,
) -> Run:
    """Make the run folder ``home/name``, with its settings or not at all; ConfigError when there cannot be one of that name.

    ``fill`` puts into the folder what the run begins with.
    """
    name = name or f"{kind}-{datetime.now():%Y%m%d-%H%M%S}"
    check_run_name(home, name)
    folder = (home / name).absolute()
    document = {"kind": kind, "tags": dict(tags or {}), "register": register, "settings": _written(settings, folder)}
    if left_out.names:
        document["left_out"] = {part: list(names) for part, names in left_out._asdict().items()}
    try:
        with new_folder(folder) as draft:
            (draft / "config.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
            if fill is not None:
                fill(draft)
    except FileExistsError as error:  # another process was faster
        raise _taken(name) from error
    return Run(folder, kind, settings, tags or {}, register, left_out)


def _taken(name: str) -> ConfigError:
    return ConfigError([Problem("--name", f"there is a run {name} already; continue it with --resume, or choose another name")])


def open_run(home: Path, name: str) -> Run:
    """The run ``name`` under ``home``, or at the path ``name``; CheckpointError when there is none."""
    folder = Path(name) if (Path(name) / "config.yaml").is_file() else home / name
    try:
        document = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        kind = KINDS[document["kind"]]
        settings, problems = check_settings(kind, _read(document["settings"], folder.absolute()))
        left_out = LeftOut(**{part: tuple(names) for part, names in (document.get("left_out") or {}).items()})
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(no_run(home, name)) from error
    if settings is None:
        raise ConfigError([Problem(str(folder / "config.yaml"), str(problem)) for problem in problems])
    tags, register = document.get("tags") or {}, document.get("register", True)
    return Run(folder.absolute(), document["kind"], settings, tags, register, left_out)


def with_settings(run: Run, settings: TrainingSettings) -> Run:
    """The run with other settings, which its folder has from now on: where its inputs lie, and how it is worked on."""
    if settings == run.settings:
        return run
    file = run.folder / "config.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["settings"] = _written(settings, run.folder)
    write_whole(file, yaml.safe_dump(document, sort_keys=False))
    return run._replace(settings=settings)


def _written(settings: TrainingSettings, folder: Path) -> dict[str, Any]:
    """Settings as the run's folder has them."""
    values = settings.model_dump(mode="json")
    paths = {name: path for name in FOLDERS if (path := getattr(settings, name, None))}
    return values | {name: of_each(path, lambda each: as_written(each, folder, default_home())) for name, path in paths.items()}


def _read(values: Any, folder: Path) -> Any:
    """Settings of the run's folder, with whole paths; what is no settings stays what it is."""
    if not isinstance(values, dict):
        return values
    return {
        key: of_each(value, lambda each: str(as_read(each, folder, default_home())))
        if key in FOLDERS and _are_paths(value)
        else value
        for key, value in values.items()
    }


def _are_paths(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def changed_inputs(run: Run, made_of: Mapping[str, str], given: Collection[str] = ()) -> list[Problem]:
    """What a run was trained on or with and is not there any more, or not where it was ``given``; ``made_of`` are today's hashes.

    Nothing has changed for a run that has no checkpoints, but for what was given.
    """
    names = made_of if list_checkpoints(run.checkpoints) else given
    before = read_inputs(run) if names else {}
    differ = [name for name in names if name in made_of and before.get(name, made_of[name]) != made_of[name]]
    return [_changed(run, name, before[name][:12], made_of[name][:12], name in given) for name in differ]


def read_inputs(run: Run) -> dict[str, str]:
    """The hashes of what the run was trained on and with; none where it has not begun. CheckpointError for a damaged file."""
    try:
        stored = json.loads((run.folder / "inputs.json").read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in stored.items()}
    except FileNotFoundError:  # or a run of an older version
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{run.folder / 'inputs.json'} cannot be read ({error}); remove it if nothing changed.") from error


def _changed(run: Run, name: str, before: str, now: str, is_given: bool) -> Problem:
    path, of = getattr(run.settings, name), run.folder.name
    if is_given:
        return Problem(f"--{name}", f"{path} has the hash {now}, and {of} began with {before}; give what it began with")
    what = f"{path} has changed since {of} began (hash {before}, now {now})"
    return Problem(name, f"{what}; bring it back, name its new place with --{name}, or start a new run")


def remember_inputs(run: Run, made_of: Mapping[str, str]) -> None:
    """Keep the hashes of what the run is trained on and with; what an earlier attempt's workers left is over."""
    (run.folder / "status.json").unlink(missing_ok=True)
    write_whole(run.folder / "inputs.json", json.dumps(made_of, indent=1) + "\n")


def append_line(path: Path, line: str) -> None:
    """Add a line to one of the run's logs."""
    with path.open("a", encoding="utf-8") as log:
        log.write(line + "\n")


def write_status(run: Run, error: LeganError | StoppedEarly | Interrupted | None) -> None:
    """Leave the outcome in the run folder, for whoever started the workers."""
    ended = {StoppedEarly: "stopped", Interrupted: "interrupted"}
    status = "finished" if error is None else ended.get(type(error), "failed")
    outcome = {"status": status, "error": str(error) if error else None, "tracking": isinstance(error, TrackingError)}
    (run.folder / "status.json").write_text(json.dumps(outcome), encoding="utf-8")


def raise_status(run: Run) -> None:
    """Raise what the workers left in ``status.json``; CheckpointError when they left nothing."""
    try:
        outcome = json.loads((run.folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        name = run.folder.name
        raise CheckpointError(f"the run {name} ended without a word; continue it with --resume {name}.") from error
    if outcome["status"] == "stopped":
        raise StoppedEarly
    if outcome["status"] == "interrupted":
        raise Interrupted(outcome["error"])
    if outcome["status"] != "finished":
        raise (TrackingError if outcome["tracking"] else LeganError)(outcome["error"])
