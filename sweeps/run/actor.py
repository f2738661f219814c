"""The process of a trial. Ray Tune starts it, asks it for reports, and gives it the next trial when one is done."""

import math
import os
import queue
import statistics
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ray import tune

from legan.platform.training.loop import StoppedEarly
from legan.sweeps.run.trial import NotNowError, run_trial
from legan.sweeps.search.study import STEP, UNFINISHED, suggested
from legan.sweeps.sweep import Outcome, Sweep, Trial, read_outcome, suite_trials


class SweepContext(NamedTuple):
    """What every process of a sweep needs to know; ``places`` are environment variables that name folders."""

    sweep: Sweep
    tracking_uri: str
    parent_run: str
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
                outcomes.append(run_trial(context.sweep, trial, context.tracking_uri, context.parent_run, report))
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
