"""What a sweep is asked for, as far as names and ranges go: its settings, its variants, and what each training gets of them.

Nothing here opens data or networks, or needs PyTorch, so that a sweep is sent away quickly; sweeps/run/plan.py opens them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from legan.platform.config import KINDS, Checked, check_apart, given_twice, resolve
from legan.platform.errors import ConfigError, Problem, counted
from legan.platform.settings import TrainingSettings
from legan.sweeps.ablations import OF_QUALITY, SUITES
from legan.sweeps.search.files import read_space, space_names
from legan.sweeps.search.space import asha_problems
from legan.sweeps.sweep import Sweep, SweepSettings, option, without_judges

WHOLE_PATH = ("the whole path there or the name of a run", "the whole path there")
NETWORKS = ("identity", "quality", "classifier", "matcher", "quality_judge")
SET_BY = {"seed": "--seeds", "gpu": "--gpus", "threads": "--cpus", "max_failures": "--retries"}
"""Settings of the trials that a sweep sets itself, and the options that say how."""


def settings_from(what: str, given: Mapping[str, Any], place: Callable[[dict[str, Any]], list[Problem]]) -> SweepSettings:
    """The settings of a sweep from the command line's; ConfigError with every problem. Arguments: ``asked_sweep``."""
    asked = asked_sweep(what, given, place)
    if asked.problems or asked.settings is None:
        raise ConfigError(asked.problems)
    return asked.settings


def asked_sweep(what: str, given: Mapping[str, Any], place: Callable[[dict[str, Any]], list[Problem]]) -> Checked[SweepSettings]:
    """The settings of a sweep from the command line's, and what is wrong with them; with none where it cannot be gone on with.

    ``what`` is the name of a suite or the file of a search space. ``place`` may change the given paths, and tells what is wrong
    with them: ``locate`` (plan.py) does so for a sweep that is to run here, ``elsewhere`` for another machine's.
    """
    values = {key: value for key, value in given.items() if value is not None}
    problems: list[Problem] = []
    if what in SUITES:
        values["suite"] = what
        if what in OF_QUALITY and given["kind"] == "legan":  # which nobody has to name
            values["kind"] = "quality"
    else:
        values.setdefault("seeds", 1)
        try:
            values["search"] = read_space(what, given["kind"] if given["kind"] in KINDS else "legan")
        except ConfigError as error:
            known = what in space_names() or Path(what).suffix in (".yaml", ".yml")
            problems += error.problems if known else [Problem("", f"there is no suite or search space {what!r}; {_known()}")]
            values["suite"] = next(iter(SUITES))  # so that the rest is checked too
    problems += place(values)
    settings, wrong, fields = check_apart(SweepSettings, values)
    wrong = list(dict.fromkeys([*wrong, *(each for each in without_judges(values) if settings is None)]))
    problems += _set_twice(given, what, values)
    told = [each._replace(place=option(each.place)) if each.place in given else each for each in wrong]
    return Checked(None if problems else settings, [*problems, *told], fields)


def _set_twice(given: Mapping[str, Any], what: str, values: Mapping[str, Any]) -> list[Problem]:
    """A problem for each override that says what an option, or every variant, says too."""
    overrides: Sequence[str] = given.get("overrides") or ()
    named = {key: given.get(key) for key in ("data", "identity", "quality")}
    problems = given_twice(overrides, {**named, "ratings": named["data"]} if what in OF_QUALITY else named)

    suite = SUITES.get(what, {"": {}})
    space = values["search"].parameters if "search" in values else {}
    searched = {name for name, parameter in space.items() if not parameter.when}
    varied = set.intersection(*map(set, suite.values())) | searched
    for override in overrides:
        name = override.partition("=")[0].strip()
        if name in SET_BY:
            problems.append(Problem(f"--set {override}", f"the sweep sets it for each trial; {SET_BY[name]} says how"))
        elif name in varied:
            problems.append(Problem(f"--set {override}", "it is what the sweep varies, so this would be ignored; leave it out"))
    return problems


def _known() -> str:
    return f"suites: {', '.join(SUITES)}; spaces: {', '.join(space_names())}, or a YAML file of yours"


def elsewhere(values: Mapping[str, Any]) -> list[Problem]:
    """Paths that say nothing on another machine."""
    return [
        Problem(option(key), f"{path} is looked for on the cluster; give {WHOLE_PATH[key == 'data']}")
        for key in ("data", *NETWORKS)
        if (path := values.get(key)) is not None and not path.is_absolute() and (key == "data" or len(path.parts) != 1)
    ]


def variants(settings: SweepSettings) -> Mapping[str, Mapping[str, Any]]:
    """What a suite compares, by name; for a search, one entry: what all suggestions have in common."""
    return SUITES[settings.suite] if settings.suite is not None else {"search": {}}


def training_problems(settings: SweepSettings, resolved: TrainingSettings) -> list[Problem]:
    """Why trainings with these settings, which are right by themselves, cannot be a variant of the sweep."""
    problems = asha_problems(settings.search, resolved) if settings.search is not None else []
    if resolved.workers > 1 and 0 < settings.gpus < 1:  # Ray Train gives a worker whole GPUs
        problems.append(
            Problem("--gpus", f"{counted(resolved.workers, 'worker')} cannot share a GPU; give each 1, or set workers=1")
        )
    return problems


def settings_of(sweep: Sweep, changes: Mapping[str, object], seed: int, gpu: bool = False) -> TrainingSettings:
    """The settings of a training of the sweep, without opening what they name; ConfigError with what is wrong with them."""
    asked = asked_training(sweep, changes, seed, gpu)
    if asked.problems or asked.settings is None:
        raise ConfigError(asked.problems)
    return asked.settings


def asked_training(sweep: Sweep, changes: Mapping[str, object], seed: int, gpu: bool = False) -> Checked[TrainingSettings]:
    """The preset, then what all trials have in common, then ``changes``, by dotted names; no data and no network is opened.

    Only the node that trains gives ``gpu``: other nodes cannot tell whether it has one.
    """
    asked = sweep.settings
    overrides = [*asked.overrides, *(f"{key}={json.dumps(value)}" for key, value in changes.items())]
    given = {
        "ratings" if asked.kind == "quality" else "data": asked.data,
        "identity": asked.identity,
        "quality": asked.quality if "quality" in KINDS[asked.kind].model_fields else None,
        "seed": seed,
        "gpu": gpu,
        "threads": max(1, int(asked.cpus)),
        "max_failures": asked.retries,
    }
    return resolve(asked.kind, sweep.preset, overrides, given)


def workers_of(sweep: Sweep) -> int:
    """How many processes train one trial of the sweep."""
    return max(1, settings_of(sweep, {}, 0).workers)
