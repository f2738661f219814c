"""What a sweep tells of its trials: to the user line by line, and to its own run in MLflow, which has theirs as children."""

import csv
import io
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from legan.platform.config import flatten
from legan.platform.data.dataset import Split
from legan.platform.errors import RecordTakenError, RunDeletedError, TrackingError
from legan.platform.evaluation.metric_names import EVALUATION, PREFIXES, find
from legan.platform.tracking.places import COPY_OF, RECORD_FILE, read_run_file, read_sent, run_in_store, shown
from legan.platform.tracking.spool import closed_as
from legan.platform.tracking.tracker import Tracker, open_parent, sync_run
from legan.sweeps.sweep import Outcome, Sweep, Trial, read_outcome, slug

STATUSES = ("finished", "stopped", "failed")
Outcomes = Sequence[tuple[Trial, Outcome | None]]
MOST = 5


class SweepProgress:
    """Tells ``say`` of the ``total`` trials that are to be run, ``at_once`` at the same time."""

    def __init__(self, sweep: Sweep, total: int, at_once: int, say: Callable[[str], None]):
        self.sweep, self.total, self.at_once, self.say = sweep, total, at_once, say
        self.since: dict[str, float] = {}
        self.seconds: list[float] = []
        self.done = 0

    def started(self, name: str) -> None:
        """A trial trains from now on."""
        self.since.setdefault(name, time.monotonic())
        self.say(f"{name}: started")

    def died(self, name: str, reason: str) -> None:
        """A trial's process died and is replaced."""
        self.say(f"{name}: {reason}; it goes on from its last checkpoint")

    def ended(self, name: str, outcome: Outcome | None) -> None:
        """A trial came to its end; ``outcome`` is None where it was stopped without one."""
        self.done += 1
        seconds = time.monotonic() - self.since.pop(name, time.monotonic())
        if outcome is not None and outcome.status == "finished":
            self.seconds.append(seconds)
        self.say(f"{name}: {ending(outcome, tuple(self._objectives()))}, {duration(seconds)}; {self.left()}")

    def unfinished(self, name: str, reason: str) -> None:
        """A trial cannot be finished for now."""
        self.done += 1
        self.since.pop(name, None)
        self.say(f"{name}: unfinished: {reason.rstrip('.')}; {self.left()}")

    def left(self) -> str:
        """How many trials are left, and for how long, by the median of those that finished."""
        left = self.total - self.done
        if not left or not self.seconds:
            return f"{left} left"
        rounds = -(-left // max(1, self.at_once))
        return f"{left} left, about {duration(rounds * statistics.median(self.seconds))}"

    def _objectives(self) -> Sequence[str]:
        search = self.sweep.settings.search
        return list(search.objectives) if search is not None else []


def ending(outcome: Outcome | None, first: tuple[str, ...] = ()) -> str:
    """How a trial ended, in a few words; ``first`` are metrics to be shown before others."""
    if outcome is None:
        return "stopped early"
    if outcome.status == "failed":
        return f"failed: {(outcome.error or 'for an unknown reason').rstrip('.')}"
    if outcome.status == "stopped":
        return f"stopped early at step {outcome.metrics.get('step', 0):.0f}"
    numbers = shown_metrics(main_metrics(outcome.metrics, "val") or main_metrics(outcome.metrics, "test"), first)
    return "finished, " + ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())


def shown_metrics(metrics: Mapping[str, float], first: tuple[str, ...] = ()) -> dict[str, float]:
    """The few that a line has room for."""
    known = [name for metric in EVALUATION for prefix in PREFIXES.values() for name in metric.names_under(prefix)]
    order = dict.fromkeys(name for name in (*first, *known) if name in metrics)
    return {name: metrics[name] for name in list(order)[:MOST]}


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _description(sweep: Sweep) -> str:
    asked = sweep.settings
    what = f"The suite {asked.suite}" if asked.suite is not None else "A search"
    return f"{what} over trainings of {asked.kind} on {asked.data.name}; its trials are the runs below this one."


def open_sweeps_run(sweep: Sweep, tracking_uri: str, say: Callable[[str], None]) -> tuple[Tracker, str]:
    """The tracker of the sweep's own run, and the run's id, whose children its trials are.

    Raises TrackingError when MLflow is away or the run was deleted there, and ConfigError when another process runs this sweep.
    """
    asked = sweep.settings
    return open_parent(
        sweep.parent,
        "sweep",
        sweep.name,
        params={key: value for key, value in flatten(asked.model_dump(mode="json")).items() if value is not None},
        tags={"kind": "sweep", "suite": asked.suite or "search", "sweep": sweep.name},
        description=_description(sweep),
        uri=tracking_uri,
        say=say,
    )


def record_results(tracker: Tracker, sweep: Sweep, outcomes: Outcomes) -> None:
    """Leave the table of outcomes and the metrics of each variant on the sweep's own run.

    ``mean/val/METRIC/VARIANT`` and ``best/val/METRIC/VARIANT`` are over the seeds that finished; a search has the latter.
    """
    runs = {trial.name: run_in_store(sweep.trials / trial.name).run_id for trial, _ in outcomes}
    tracker.log_text(outcomes_csv(outcomes, runs), "outcomes.csv")
    counts = {status: sum(1 for _, each in outcomes if each is not None and each.status == status) for status in STATUSES}
    values = {f"trials/{status}": float(count) for status, count in counts.items()}
    split = sweep.settings.chosen_on
    values |= suite_metrics(outcomes, split) if sweep.settings.suite else best_metrics(outcomes, split)
    tracker.log_metrics(values, step=sum(counts.values()), again=True)


def suite_metrics(outcomes: Outcomes, split: Split) -> dict[str, float]:
    """Mean and best of each metric on a split over the seeds of each variant."""
    values = {}
    for variant in dict.fromkeys(trial.variant for trial, _ in outcomes):
        for name, numbers in _numbers([pair for pair in outcomes if pair[0].variant == variant], split).items():
            values[f"mean/{name}/{slug(variant)}"] = statistics.fmean(numbers)
            values[f"best/{name}/{slug(variant)}"] = _best(name, numbers)
    return values


def best_metrics(outcomes: Outcomes, split: Split) -> dict[str, float]:
    """Best of each metric on a split over all trials."""
    return {f"best/{name}": _best(name, numbers) for name, numbers in _numbers(outcomes, split).items()}


def outcomes_csv(outcomes: Outcomes, runs: Mapping[str, str | None]) -> str:
    """A row per trial: name, variant, seed, how it ended, its run by its name, why it failed, and its metrics."""
    names = list(dict.fromkeys(key for _, outcome in outcomes if outcome is not None for key in outcome.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "variant", "seed", "status", "run_id", "error", *names])
    for trial, outcome in outcomes:
        row: list[object] = [trial.name, trial.variant, trial.seed]
        if outcome is not None:
            row += [outcome.status, runs.get(trial.name), outcome.error, *(outcome.metrics.get(name) for name in names)]
        else:
            row += ["unfinished", *[None] * (len(names) + 2)]
        writer.writerow(row)
    return text.getvalue()


def main_metrics(metrics: Mapping[str, float], split: Split) -> dict[str, float]:
    """The metrics of a model itself on a split, without those of copied inputs and real images."""
    return {key: value for key, value in metrics.items() if key.startswith(PREFIXES[split]) and key.count("/") == 1}


def settle(sweep: Sweep, tracking_uri: str, say: Callable[[str], None], wait_s: float = 15.0) -> None:
    """Send what trials recorded while MLflow was away, and close the runs of those that nobody works on any more.

    A trial without an outcome was interrupted, though a worker that lost the others first may have recorded a failure. Call it
    when no process of the sweep runs. It waits for processes that are just ending, ``wait_s`` seconds in all.
    """
    deadline = time.monotonic() + wait_s
    for folder in sorted(path.parent for path in sweep.trials.glob("*/tracking.jsonl")):
        is_new = COPY_OF in read_run_file(sweep.parent) and COPY_OF not in read_run_file(folder)  # what was copied is sent anew
        interrupted = read_outcome(sweep, folder.name) is None
        if not is_new and _settled(folder, tracking_uri, interrupted):
            continue
        try:
            _sync(folder, tracking_uri, interrupted, deadline)
        except TrackingError as error:
            say(f"some records are not in MLflow: {error}")
            say(f"they are kept; send them later with `legan sweep resume {sweep.name}`")
            if not isinstance(error, RunDeletedError):
                return


def _sync(folder: Path, tracking_uri: str, interrupted: bool, deadline: float) -> None:
    while True:
        try:
            sync_run(folder, tracking_uri, interrupted=interrupted)
        except RecordTakenError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def _settled(folder: Path, tracking_uri: str, interrupted: bool) -> bool:
    """Whether the run is closed as it ended, and all of it is in the store."""
    sent, status = read_sent(folder, shown(tracking_uri)), closed_as(folder)
    whole = sent.offset >= (folder / RECORD_FILE).stat().st_size
    return whole and status is not None and not (interrupted and status == "FAILED")


def _numbers(outcomes: Outcomes, split: Split) -> dict[str, list[float]]:
    numbers: dict[str, list[float]] = {}
    for _, outcome in outcomes:
        if outcome is not None and outcome.status == "finished":
            for name, value in main_metrics(outcome.metrics, split).items():
                if math.isfinite(value):
                    numbers.setdefault(name, []).append(value)
    return numbers


def _best(name: str, numbers: Sequence[float]) -> float:
    metric = find(name)
    return min(numbers) if metric is not None and metric.better == "lower" else max(numbers)
