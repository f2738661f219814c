"""Running a sweep on Ray Tune: every trial that has no outcome yet, as many at once as the cluster has room for.

Ray Tune decides when and where a trial runs. What became of it is only in its folder. So the same function runs an interrupted
sweep again, and it needs nothing of Ray Tune's own state.
"""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import optuna
import ray
from ray import cloudpickle, tune

from legan.platform.cluster import connect, describe, nodes_without, slots
from legan.platform.device import WORKERS
from legan.platform.errors import ClusterError, LeganError, counted, one_line
from legan.platform.files import NAMED_FOLDERS, causes, named_folder
from legan.platform.processors import interruptible
from legan.platform.tracking.places import run_tracking_uri
from legan.platform.training.loop import StoppedEarly
from legan.sweeps.report.report import untested
from legan.sweeps.run.actor import DIED, ProcessLostError, SweepContext, TrialActor, deaths_counted, together, trials_of
from legan.sweeps.run.progress import Outcomes, SweepProgress, open_sweeps_run, record_results, settle
from legan.sweeps.run.request import settings_of, workers_of
from legan.sweeps.run.trial import VALIDATION, files_of, score_trial
from legan.sweeps.run.verdict import Ended, outcome_of, verdict
from legan.sweeps.search.plots import search_plots
from legan.sweeps.search.storage import reachable
from legan.sweeps.search.study import STEP, UNFINISHED, counted_trials, scheduler, searcher
from legan.sweeps.search.study import settle as settle_study
from legan.sweeps.sweep import FILE, Outcome, Sweep, Trial, known_trials, read_outcome, suite_trials, write_outcome

if TYPE_CHECKING:
    from legan.platform.tracking.tracker import Status

# Ray Tune's own printing, result files and handling of Ctrl-C; and metrics that only the last report of a trial has.
QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}
optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what goes wrong in a trial is said here, without a traceback


class Room(NamedTuple):
    """What a trial takes and how many run at once on the connected cluster."""

    workers: int
    cpus: float
    gpus: float
    at_once: int

    def __str__(self) -> str:
        each = counted(self.cpus, "CPU") + (f" and {counted(self.gpus, 'GPU')}" if self.gpus else "")
        who = f"{counted(self.workers, 'worker')} of {each}" if self.workers > 1 else each
        return f"{who} each, {self.at_once} at once"


def run_sweep(sweep: Sweep, address: str | None, say: Callable[[str], None]) -> Outcomes:
    """Run every trial of ``sweep`` that has no outcome, from where it was; all trials with their outcomes.

    Where the cluster is away or too small, or MLflow is away, ClusterError or TrackingError come before anything is computed.
    On Ctrl-C everything is stopped and kept, and KeyboardInterrupt is raised.
    """
    tracking_uri = run_tracking_uri(sweep.parent)
    left = [trial for trial in suite_trials(sweep.settings) if read_outcome(sweep, trial.name) is None]
    search = sweep.settings.search
    room = find_room(sweep, address) if left or search is not None else None
    if room is not None:
        check_shared(sweep)

    parent, parent_run = open_sweeps_run(sweep, tracking_uri, say)
    status: Status = "FAILED"
    try:
        if search is not None:
            settle_study(sweep)
        count = len(left) if search is None else search.trials - counted_trials(sweep)
        say(f"sweep {sweep.name} in {sweep.folder}: {counted(count, 'trial')} to run; its MLflow run is {parent_run}")

        if room is not None:
            say(f"a trial takes {room}")
            places = {name: str(named_folder(name)) for name in NAMED_FOLDERS}
            with interruptible():
                context = SweepContext(sweep, tracking_uri, places)
                _tune(sweep, left, count, room, context, say)
                _score_on_test(context, room, say)

        settle(sweep, tracking_uri, say)
        outcomes = [(trial, read_outcome(sweep, trial.name)) for trial in known_trials(sweep)]
        record_results(parent, sweep, outcomes)
        if search is not None:
            with reachable(search):
                plots = search_plots(sweep, sweep.report, say)
            for plot in plots:
                parent.log_artifact(plot, "search")
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        say("stopping the trials …")
        ray.shutdown()
        settle(sweep, tracking_uri, say)
        say(f"stopped; continue with `legan sweep resume {sweep.name}`")
        raise
    finally:
        parent.close(status)
    return outcomes


def find_room(sweep: Sweep, address: str | None) -> Room:
    """Connect to the cluster that the sweep is to run on; how its trials fit there.

    Raises ClusterError when no cluster answers, and when not even one trial fits.
    """
    os.environ.update(QUIET)
    asked, workers = sweep.settings, workers_of(sweep)
    # With several workers Ray Train's own cleaner of placement groups asks the dashboard who is alive.
    connect(address, include_dashboard=workers > 1, environment=WORKERS)
    at_once = slots(asked.cpus, asked.gpus) // workers
    if at_once == 0:
        cluster = describe()
        raise ClusterError(
            f"the cluster at {cluster.address} has {counted(cluster.cpus, 'CPU')} and {counted(cluster.gpus, 'GPU')} on "
            f"{counted(cluster.nodes, 'node')}, a trial needs {workers} × ({counted(asked.cpus, 'CPU')} and "
            f"{counted(asked.gpus, 'GPU')}); "
            "take fewer with --cpus, --gpus or --set workers=1, or name a larger cluster with --address or RAY_ADDRESS."
        )
    return Room(workers, asked.cpus, asked.gpus, at_once)


def check_shared(sweep: Sweep) -> None:
    """Raise ClusterError when a node of the connected cluster does not see the sweep's folder, the data or a network."""
    if describe().nodes == 1:
        return
    missing = nodes_without([sweep.folder / FILE, *files_of(sweep)])
    if missing:
        where = "; ".join(f"{path} on {node}" for node, path in missing.items())
        raise ClusterError(
            f"not every node of the cluster sees the sweep's files ({where} cannot be found there); put them, and LEGAN_HOME, "
            "into a folder that all nodes share under one path."
        )


def _tune(sweep: Sweep, left: list[Trial], count: int, room: Room, context: SweepContext, say: Callable[[str], None]) -> None:
    """Run the trials of a suite that are ``left``, or whatever a search suggests."""
    scratch = sweep.folder / "tune"
    shutil.rmtree(scratch, ignore_errors=True)
    at_once = room.at_once if room.workers > 1 else None  # with one worker Ray Tune sees by itself what there is room for

    if sweep.settings.search is None:
        space = {"trial": tune.grid_search([trial.name for trial in left])}
        config = tune.TuneConfig(reuse_actors=True, max_concurrent_trials=at_once)
    else:
        space = {}
        config = tune.TuneConfig(
            search_alg=searcher(sweep),
            scheduler=scheduler(sweep, settings_of(sweep, {}, 0)),
            num_samples=sweep.settings.search.trials,
            reuse_actors=True,
            max_concurrent_trials=at_once,
        )

    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(TrialActor, context=context), _resources(room)),
        param_space=space,
        tune_config=config,
        run_config=tune.RunConfig(
            name=scratch.name,
            storage_path=str(sweep.folder),
            failure_config=tune.FailureConfig(max_failures=sweep.settings.retries),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_Listener(sweep, SweepProgress(sweep, count, room.at_once, say))],
            verbose=0,
        ),
    )

    try:
        with deaths_counted():
            tuner.fit()
    except (OSError, RuntimeError, ray.exceptions.RayError, tune.TuneError, LeganError) as error:
        raise ClusterError(
            f"the sweep was interrupted ({_interruption(error)}); what was done is kept, continue with "
            f"`legan sweep resume {sweep.name}`."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _score_on_test(context: SweepContext, room: Room, say: Callable[[str], None]) -> None:
    """Score on test people what the report shows on them, now that all that is chosen has been chosen."""
    sweep = context.sweep
    left = [each.trial.name for each in untested(sweep)]
    if not left:
        return
    say(f"{counted(len(left), 'trial')} to score on test people, for the report")
    task = ray.remote(score_trial).options(num_cpus=room.cpus, num_gpus=room.gpus, max_retries=sweep.settings.retries)
    asked = {name: task.remote(sweep, name, "test", context.tracking_uri, context.places) for name in left}
    for name, answer in asked.items():
        try:
            ray.get(answer)
        except ray.exceptions.RayError as error:
            say(f"{name}: not scored on test people ({_interruption(error)}); the report tries again")


def _interruption(error: BaseException) -> str:
    """Why Ray Tune ended: our own error, which its tracebacks wrap, or else the last line of what it says."""
    ours = next((cause for cause in causes(error) if isinstance(cause, LeganError)), None)
    lines = str(error).strip().splitlines() if ours is None else []
    return lines[-1][:300] if isinstance(error, tune.TuneError) and lines else one_line(ours or error)


def _resources(room: Room) -> dict[str, float]:
    """What Ray Tune sets aside for a trial. It is next to nothing with several workers, for which Ray Train sets aside all."""
    if room.workers > 1:
        return {"CPU": 0, "memory": 1e6}
    return {"CPU": room.cpus, **({"GPU": room.gpus} if room.gpus else {})}


class _Listener(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Tells the user what happens. It writes the outcomes of trials that are stopped early or whose process died too often."""

    def __init__(self, sweep: Sweep, progress: SweepProgress):
        self.sweep, self.progress = sweep, progress

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """It trains from now on."""
        self.progress.started(self._name(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its process died, or an error of the machine ended it; another one takes over."""
        self.progress.died(self._name(trial), verdict(Ended(_cause(trial))).why or "")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """It came to its end, is being stopped early, or cannot be finished for now."""
        if UNFINISHED in trial.last_result:
            self.progress.unfinished(self._name(trial), trial.last_result[UNFINISHED])
            return
        self._end(trial, Ended(StoppedEarly()))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """It ended more often than it is tried."""
        self._end(trial, Ended(_cause(trial), tries=self.sweep.settings.retries + 1, tries_left=0))

    def _end(self, trial: Any, ended: Ended) -> None:
        """Write the outcome of the training that was under way, one of a suggestion's, if it has written none itself."""
        if self._outcome(trial) is None:
            name = next(each.name for each in self._trials(trial) if read_outcome(self.sweep, each.name) is None)
            seen = {key: value for key, value in trial.last_result.items() if key.startswith(VALIDATION)}
            outcome = outcome_of(verdict(ended), {**seen, "step": trial.last_result.get(STEP, 0)})
            if outcome is not None:
                write_outcome(self.sweep, name, outcome)
        self.progress.ended(self._name(trial), self._outcome(trial))

    def _outcome(self, trial: Any) -> Outcome | None:
        return together([read_outcome(self.sweep, each.name) for each in self._trials(trial)])

    def _trials(self, trial: Any) -> list[Trial]:
        return trials_of(self.sweep, trial.config)

    def _name(self, trial: Any) -> str:
        """A suggestion that is trained with several seeds has the name that their names have in common."""
        names = [each.name for each in self._trials(trial)]
        return names[0] if len(names) == 1 else names[0].rpartition("-")[0]


def _cause(trial: Any) -> BaseException:
    """What ended a trial's process; Ray Tune has it in its scratch folder, and later where ``get_pickled_error`` looks for it."""
    kept = trial.pickled_error_file
    error = cloudpickle.loads(Path(kept).read_bytes()) if kept is not None else None
    if error is None or isinstance(error, ray.exceptions.RayActorError):
        return ClusterError(error.why if isinstance(error, ProcessLostError) else DIED)
    cause: BaseException = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    return cause
