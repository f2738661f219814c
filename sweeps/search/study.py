"""A search on Ray Tune: who suggests, who stops weak trials early, and which trainings a suggestion is.

The study is in a database (storage.py) and outlives the driver: another process, or a job on another machine, opens it again and
goes on. A suggestion ends for good with its trials' outcomes. A killed driver leaves some open: ``settle`` offers these to
whoever asks next, under the same names, so that they go on from their run folders.
"""

import hashlib
import json
import math
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch
from sqlalchemy.pool import NullPool

from legan.platform.errors import Problems
from legan.platform.settings import TrainingSettings
from legan.sweeps.search.space import SearchSettings, define_by_run, last_rung, starting_points
from legan.sweeps.search.storage import reachable, storage_url
from legan.sweeps.sweep import Sweep, Trial

STEP = "step"
"""Where a report of a training says how far it is; the last one, of a training that ended and was scored, has none."""
UNFINISHED = "unfinished"
"""Where a last report says why the trial has to wait for another time."""
SWEEP, LEFT_OUT = "sweep", "left_out"
"""Attributes of a trial in the study: whose it is, and why it does not count."""
REPEATS = 50
"""Suggestions that were there before, after which a space counts as exhausted."""


def searcher(sweep: Sweep) -> "StudySearch":
    """Who suggests the trials of ``sweep``, with the study as it is in the storage.

    Raises ConfigError when the storage cannot be used, and when the study there has other objectives or another space.
    """
    search = _search(sweep)
    with reachable(search):
        study = open_study(sweep)
        _check_study(study, search)
        for point in starting_points(search, sweep.settings.kind):
            study.enqueue_trial(point, skip_if_exists=True)
        return StudySearch(sweep, study)


def scheduler(sweep: Sweep, training: TrainingSettings) -> TrialScheduler | None:
    """Who stops trials early, None where nobody does; ``training`` is what all trials have in common."""
    search = _search(sweep)
    if search.pruning == "none":
        return None
    # The highest rung is below the last step: a trial that got there has only its evaluation left.
    last = last_rung(training)
    return AsyncHyperBandScheduler(
        time_attr=STEP,
        metric=search.asha.metric,
        mode="min",
        grace_period=search.asha.grace,
        max_t=max(last, search.asha.grace),
        reduction_factor=search.asha.reduction,
        stop_last_trials=False,
    )


def suggested(sweep: Sweep, config: Mapping[str, Any]) -> list[Trial]:
    """The trainings of a suggestion, one a seed; the same suggestion has the same names everywhere and at any time."""
    changes = {name: config[name] for name in _search(sweep).parameters if name in config}
    key, variant = suggestion_key(changes), _readable(changes)
    return [Trial(f"{key}-{seed}", variant, seed, changes) for seed in range(sweep.settings.seeds)]


def suggestion_key(changes: Mapping[str, Any]) -> str:
    """A short name that follows from the values alone, to 12 digits."""
    text = json.dumps(sorted((name, _written(value, 12)) for name, value in changes.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def settle(sweep: Sweep) -> int:
    """Offer again the suggestions that a driver of this sweep left under way; how many there were.

    In the study they become failed trials that don't count. Call it only for a sweep that nobody runs.
    """
    search = _search(sweep)
    with reachable(search):
        study = open_study(sweep)
        running = study.get_trials(states=(TrialState.RUNNING,))
        left = [trial for trial in running if search.storage is None or trial.user_attrs.get(SWEEP) == sweep.begun_as]
        for trial in left:
            # A suggestion that was interrupted has drawn only some of its values, or none.
            known = trial.system_attrs.get("fixed_params", {}) | trial.params
            if known:
                study.enqueue_trial(known)
            _leave_out(study, trial._trial_id, "its driver had not finished it; it was offered again")
    return len(left)


def open_study(sweep: Sweep) -> optuna.Study:
    """The study of a sweep, made if there is none yet."""
    search = _search(sweep)
    # A connection for each query: hours of training lie between two, in which servers restart and networks forget.
    storage = optuna.storages.RDBStorage(storage_url(search, sweep.folder), engine_kwargs={"poolclass": NullPool})
    name = search.study or _own_name(sweep, storage)
    directions = list(search.objectives.values())
    study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    study.sampler = _sampler(sweep, len(study.get_trials(deepcopy=False)))
    return study


def _own_name(sweep: Sweep, storage: optuna.storages.RDBStorage) -> str:
    """What the study of a sweep is called that names none; the sweep may have been renamed or copied since."""
    known = optuna.get_all_study_names(storage) if _search(sweep).storage is None else []
    return known[0] if len(known) == 1 else sweep.begun_as


class StudySearch(OptunaSearch):  # type: ignore[misc]  # Ray has no types
    """Ray's OptunaSearch for trainings that report more than objectives, for a study that several jobs share.

    It has finished when the study has as many suggestions as were asked for, when the space is exhausted, or when a trial could
    not be finished for now. Suggestions are counted over all jobs, and jobs that ask at the same moment may make one more each.
    Of two equal suggestions only the first is trained. Raises ConfigError when the study's database is away.
    """

    _interrupted = False

    def __init__(self, sweep: Sweep, study: optuna.Study):
        self.sweep, self.search = sweep, _search(sweep)
        names = list(self.search.objectives)
        modes = [direction[:3] for direction in self.search.objectives.values()]
        several = len(names) > 1
        super().__init__(
            define_by_run(self.search),
            metric=names if several else names[0],
            mode=modes if several else modes[0],
            sampler=study.sampler,
            study_name=study.study_name,
            storage=study._storage,
        )

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Settings to try, or that there is nothing more to try."""
        with reachable(self.search):
            return self._next(trial_id)

    def _next(self, trial_id: str) -> dict[str, Any] | str:
        for _ in range(REPEATS):
            before = counted(self._ot_study)
            if self._interrupted or len(before) >= self.search.trials:
                break
            # It is marked as ours at once, so that ``settle`` finds it whatever interrupts its suggestion.
            asked = self._ot_trials[trial_id] = self._ot_study.ask()
            asked.set_user_attr(SWEEP, self.sweep.begun_as)
            with warnings.catch_warnings():
                # Ray takes a slow database or sampler for a training inside the space.
                warnings.filterwarnings("ignore", "Define-by-run function")
                changes: dict[str, Any] = super().suggest(trial_id)
            if suggestion_key(changes) not in {suggestion_key(trial.params) for trial in before}:
                return changes
            del self._ot_trials[trial_id]
            _leave_out(self._ot_study, asked._trial_id, "the same was suggested before")
        return str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Pass on what a training validates to on its way, by which the sampler judges trials that are stopped early."""
        metric = self.search.asha.metric
        minimised = list(self.search.objectives.values()) == ["minimize"]  # as the validation's distance is
        if self.search.pruning == "asha" and minimised and metric in result and math.isfinite(result[metric]):
            with reachable(self.search):
                self._ot_trials[trial_id].report(result[metric], result[STEP])

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how a trial ended: complete with all objectives, else stopped early by ASHA, else failed.

        A trial that could not be finished for now is left as it is: ``settle`` offers it again.
        """
        if result is not None and UNFINISHED in result:
            self._interrupted = True
            self._completed_trials.add(trial_id)
            return

        values = [(result or {}).get(name, math.nan) for name in self.search.objectives]
        ended = result is not None and STEP not in result
        found = not error and ended and all(math.isfinite(value) for value in values)
        stopped = not error and self.search.pruning == "asha" and not ended
        state = TrialState.COMPLETE if found else TrialState.PRUNED if stopped else TrialState.FAIL
        with reachable(self.search):
            self._ot_study.tell(self._ot_trials[trial_id], values if found else None, state=state)
        self._completed_trials.add(trial_id)


def counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The suggestions that all jobs have made, without those that wait and those that were left out."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state != TrialState.WAITING and LEFT_OUT not in trial.user_attrs]


def counted_trials(sweep: Sweep) -> int:
    """How many suggestions of the study count; ConfigError when its database is away."""
    with reachable(_search(sweep)):
        return len(counted(open_study(sweep)))


def _leave_out(study: optuna.Study, trial_id: int, reason: str) -> None:
    """End a trial that does not count."""
    trial = optuna.trial.Trial(study, trial_id)
    trial.set_user_attr(LEFT_OUT, reason)
    study.tell(trial, state=TrialState.FAIL)


def _sampler(sweep: Sweep, drawn: int) -> optuna.samplers.BaseSampler:
    """The sampler. It is seeded so that a process draws the same again, and a later process or another sweep draws otherwise."""
    search = _search(sweep)
    other = zlib.crc32(sweep.name.encode()) if search.study is not None else 0
    seed = int(np.random.SeedSequence([search.seed, drawn, other]).generate_state(1)[0])
    match search.sampler:
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
        case "nsga2":
            # Optuna's default, a generation of 50, would be all of a small search.
            return optuna.samplers.NSGAIISampler(population_size=min(50, max(4, search.trials // 5)), seed=seed)
        case "gp":
            return optuna.samplers.GPSampler(seed=seed)
        case _:
            return optuna.samplers.TPESampler(seed=seed)


def _check_study(study: optuna.Study, search: SearchSettings) -> None:
    """ConfigError when the study in the storage is another search's."""
    problems = Problems()
    objectives = study.user_attrs.get("objectives")
    if objectives is None:
        study.set_user_attr("objectives", search.objectives)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(search.objectives))  # for plots
    elif objectives != dict(search.objectives):
        problems.add("search.objectives", f"the study {study.study_name} has {objectives}; name another one with search.study")

    for name, before in (
        item for trial in counted(study) for item in trial.distributions.items() if item[0] in search.parameters
    ):
        try:
            optuna.distributions.check_distribution_compatibility(before, search.parameters[name].distribution())
        except ValueError:
            cause = f"the study {study.study_name} has {before}"
            problems.add(f"search.parameters.{name}", f"{cause}; name another one with search.study")
    problems.raise_if_any()


def _search(sweep: Sweep) -> SearchSettings:
    if sweep.settings.search is None:
        raise ValueError(f"{sweep.name} is no search")
    return sweep.settings.search


def _readable(changes: Mapping[str, Any]) -> str:
    """The values with names as short as they can be told apart."""
    lasts = [name.rpartition(".")[2] for name in changes]
    short = {name: last if lasts.count(last) == 1 else name for name, last in zip(changes, lasts, strict=True)}
    return " ".join(f"{short[name]}={_written(value, 6)}" for name, value in changes.items())


def _written(value: Any, digits: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:.{digits}g}"
