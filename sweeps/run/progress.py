"""What a user sees of a running sweep: a line when a trial starts, ends, dies or fails, what is left and how long that takes."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from legan.platform.evaluation.metric_names import EVALUATION
from legan.sweeps.run.parent_run import main_metrics
from legan.sweeps.sweep import Outcome, Sweep

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
        """A trial came to its end; None: it was stopped without an outcome."""
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
        """How many trials are to be ended, and when that will be, by the median of those that finished."""
        left = self.total - self.done
        if not left or not self.seconds:
            return f"{left} left"
        rounds = -(-left // max(1, self.at_once))
        return f"{left} left, about {duration(rounds * statistics.median(self.seconds))}"

    def _objectives(self) -> Sequence[str]:
        search = self.sweep.settings.search
        return [name.removeprefix("eval/") for name in search.objectives] if search is not None else []


def ending(outcome: Outcome | None, first: tuple[str, ...] = ()) -> str:
    """How a trial ended, in a few words; ``first`` are metrics to be shown before others."""
    if outcome is None:
        return "stopped early"
    if outcome.status == "failed":
        return f"failed: {(outcome.error or 'for an unknown reason').rstrip('.')}"
    if outcome.status == "stopped":
        return f"stopped early at step {outcome.metrics.get('step', 0):.0f}"
    numbers = shown_metrics(main_metrics(outcome.metrics), first)
    return "finished, " + ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())


def shown_metrics(metrics: Mapping[str, float], first: tuple[str, ...] = ()) -> dict[str, float]:
    """The few that a line has room for."""
    known = [name.removeprefix(metric.prefix) for metric in EVALUATION for name in metric.names]
    order = dict.fromkeys(name for name in (*first, *known) if name in metrics)
    return {name: metrics[name] for name in list(order)[:MOST]}


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
