"""The process of a trial. Ray Tune starts it, asks it for reports, gives it the next trial when one is done, and counts deaths.

Ray Tune 2.60 asks ``max_failures`` only of a RayActorError or a RayTaskError. All else that Ray says of a dead process ends
``Tuner.fit`` and with it every trial: above all the OutOfMemoryError of one that the memory monitor has killed. And where a
process dies before it has taken over its next trial, that trial counts two failures at once. So its controller is ours.
"""

import math
import os
import queue
import statistics
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune import tune as ray_tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as TuneTrial

from legan.platform.errors import one_line
from legan.platform.training.loop import StoppedEarly
from legan.sweeps.run.trial import NotNowError, run_trial
from legan.sweeps.search.study import STEP, UNFINISHED, suggested
from legan.sweeps.sweep import Outcome, Sweep, Trial, read_outcome, suite_trials

DIED = "its process died"
KILLED = (
    "Ray's memory monitor killed its process, because its machine was nearly out of memory (fewer trials at once by --cpus, or a "
    "smaller batch_size, need less)"
)


class SweepContext(NamedTuple):
    """What every process of a sweep needs to know; ``places`` are environment variables that name folders."""

    sweep: Sweep
    tracking_uri: str
    places: Mapping[str, str]

    @property
    def reports(self) -> bool:
        """Whether anybody wants to hear of a training before its end."""
        search = self.sweep.settings.search
        return search is not None and search.pruning != "none"


def trials_of(sweep: Sweep, config: Mapping[str, Any]) -> list[Trial]:
    """The trials behind what Ray Tune calls a trial: one of a suite, or one for each seed of a suggestion."""
    if sweep.settings.search is not None:
        return suggested(sweep, config)
    return [trial for trial in suite_trials(sweep.settings) if trial.name == config["trial"]]


def together(outcomes: Sequence[Outcome | None]) -> Outcome | None:
    """One outcome of several seeds: their mean metrics if all finished, else the first that did not."""
    for outcome in outcomes:
        if outcome is None or outcome.status != "finished":
            return outcome
    finished = [outcome for outcome in outcomes if outcome is not None]
    common = [name for name in finished[0].metrics if all(name in each.metrics for each in finished)]
    return finished[0]._replace(metrics={name: statistics.fmean(each.metrics[name] for each in finished) for name in common})


def told(sweep: Sweep, outcome: Outcome | None) -> dict[str, Any]:
    """What Ray Tune gets at the end, and the search through it; NaN for the objectives of what failed."""
    search = sweep.settings.search
    if search is None or outcome is None:
        return {}
    if outcome.status == "failed":
        return dict.fromkeys(search.objectives, math.nan)
    return dict(outcome.metrics)


class TrialActor(tune.Trainable):  # type: ignore[misc]  # Ray has no types
    """The process that trains trials, one after the other; Ray Tune asks it for the next report by ``step``.

    The training waits at each report until Ray Tune has decided on it, so that a trial stops where it was told to. The driver
    writes the outcome of a trial that it stops early. A trial without one is interrupted with the sweep, and goes on with it.
    """

    _thread: threading.Thread | None
    _trial: str
    _reports: "queue.SimpleQueue[dict[str, Any] | BaseException]"
    _decided: threading.Semaphore
    _stopping: threading.Event

    def setup(self, config: dict[str, Any], context: SweepContext) -> None:
        """Take over the driver's places."""
        self.context = context
        os.environ.update(context.places)
        self._begin()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial in the same process, which saves its start."""
        self.cleanup()
        self._begin()
        return True

    def step(self) -> dict[str, Any]:
        """The next report; with ``done`` at the end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="trial", daemon=True)
            self._thread.start()
        else:
            self._decided.release()
        report = self._reports.get()
        if isinstance(report, BaseException):
            raise report
        return report

    def cleanup(self) -> None:
        """End the training, if it has not ended; its run is closed when this returns."""
        self._stopping.set()
        self._decided.release()
        if self._thread is not None:
            self._thread.join()

    def _begin(self) -> None:
        self._thread, self._reports = None, queue.SimpleQueue()
        self._decided, self._stopping = threading.Semaphore(0), threading.Event()

    def _work(self) -> None:
        context = self.context
        report = self._report if context.reports else None
        outcomes = []
        try:
            for trial in trials_of(context.sweep, self.config):
                self._trial = trial.name
                outcomes.append(run_trial(context.sweep, trial, context.tracking_uri, report))
                if outcomes[-1].status != "finished":
                    break
            self._reports.put({**told(context.sweep, together(outcomes)), "done": True})
        except NotNowError as error:
            self._reports.put({UNFINISHED: str(error), "done": True})
        except KeyboardInterrupt:
            pass  # of _report
        except Exception as error:  # noqa: BLE001  (raised again by step)
            self._reports.put(error)

    def _report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell Ray Tune, and wait for what it decides."""
        self._reports.put({**metrics, STEP: step})
        self._decided.acquire()
        if self._stopping.is_set():
            raise KeyboardInterrupt if read_outcome(self.context.sweep, self._trial) is None else StoppedEarly


class ProcessLostError(RayActorError):  # type: ignore[misc]  # Ray has no types
    """What Ray Tune is told of a dead process; ``why`` is for a person."""

    def __init__(self, why: str):
        super().__init__(error_msg=why)
        self.why = why


class TrialController(TuneController):  # type: ignore[misc]  # Ray has no types
    """Takes every death for the trial's, and once."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._actor_manager: Any = _ActorManager(self._actor_manager._resource_manager)

    def _trial_task_failure(self, trial: TuneTrial, exception: Exception) -> None:
        """The task that gives an actor its next trial fails with the actor, whose failure was counted before it."""
        self._resetting_trials.discard(trial)
        if trial.status == TuneTrial.RUNNING or not isinstance(exception, RayActorError):
            super()._trial_task_failure(trial, exception)


class _ActorManager(RayActorManager):  # type: ignore[misc]  # Ray has no types
    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        super()._actor_start_failed(tracked_actor, as_actors(exception))

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, as_actors(exception))


def as_actors(error: Exception) -> Exception:
    """The same, or a RayActorError in place of what Ray says of a dead process in another way."""
    if not isinstance(error, RayError) or isinstance(error, RayActorError | RayTaskError):
        return error
    return ProcessLostError(KILLED if isinstance(error, OutOfMemoryError) else f"{DIED} ({one_line(error)})")


@contextmanager
def deaths_counted() -> Iterator[None]:
    """While this is open, Ray Tune runs trials by TrialController; it lets nobody choose its controller."""
    ray_tune.TuneController = TrialController
    try:
        yield
    finally:
        ray_tune.TuneController = TuneController
