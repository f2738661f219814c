"""The one training loop: steps, metrics, validation, pictures and checkpoints of any Task, without Ray.

A step's data and random draws depend on its number alone, so a loop that starts at a checkpoint does what one that
never stopped would have done. Losses stay on the device; one transfer per ``log_every`` steps brings them all, names
the step and the term of the first that is not finite, and stops before anything is made of such weights.

What is done after a step is ``due`` by the step's number. One thing more is saved: the weights of a validation that is better
than those of all checkpoints. So a checkpoint has the metrics of its own step or none, and the best validation has a checkpoint.
Where the end is asked for, the step under way is the last one, and becomes a checkpoint too.

A goal with patience ends a training on a plateau: at a validation by which the best one is so many validations ago. Steps and the
best checkpoint alone decide that, so that a resumed training ends where one that never stopped would have ended.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from legan.platform.errors import CheckpointError, NonFiniteLossError, counted
from legan.platform.settings import StartSettings, TrainingSettings
from legan.platform.training.checkpoint import (
    Checkpoint,
    best_checkpoint,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from legan.platform.training.parallel import Ranks, all_or_none, average, everyones
from legan.platform.training.task import Batch, Goal, Image, Task

ASK_EVERY_S = 1.0


class Recorder(Protocol):
    """Where metrics and pictures go; platform.tracking.tracker.Tracker is one."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers."""

    def log_image(self, key: str, image: Image, step: int) -> None:
        """Record a picture."""


class StoppedEarly(Exception):  # noqa: N818  (no error)
    """Raised by a listener's ``report``, on every worker at the same step, to end a training that is not worth going on with."""


class Interrupted(KeyboardInterrupt):
    """The end of a training that was asked for, after the step that it names; there is a checkpoint of that step."""


class Listener(NamedTuple):
    """What the loop tells others; all but ``report`` only on the first worker."""

    recorder: Recorder | None = None
    say: Callable[[str], None] = print
    report: Callable[[int, Mapping[str, float]], None] | None = None
    """Called on every worker after each logged step, when all that is due after it is done, with the step and its metrics; those
    of the validation only at steps that validate, and only on the first worker."""
    end_asked: Callable[[], bool] | None = None
    """Whether somebody has asked for the end; called on every worker, and one that says so ends them all."""


class Due(NamedTuple):
    """What is to be done after a step."""

    logged: bool
    validated: bool
    sampled: bool
    saved: bool

    @property
    def looked(self) -> bool:
        """Whether anything is made of the weights."""
        return self.validated or self.sampled or self.saved


def due(step: int, settings: TrainingSettings, total: int) -> Due:
    """What is to be done after ``step`` of ``total`` steps: each by its own ``…_every``, and all of it at the end.

    Whatever is made of weights is made when the losses that led to them are known, so such a step is logged too.

    >>> due(50, TrainingSettings(steps=200, log_every=20, validate_every=50, sample_every=100, checkpoint_every=170), 200)
    Due(logged=True, validated=True, sampled=False, saved=False)
    """
    last = step == total
    intervals = settings.validate_every, settings.sample_every, settings.checkpoint_every
    validated, sampled, saved = (last or step % every == 0 for every in intervals)
    logged = step % settings.log_every == 0 or validated or sampled or saved
    return Due(logged, validated, sampled, saved)


def train(task: Task, settings: TrainingSettings, checkpoints: Path, ranks: Ranks, listener: Listener) -> None:
    """Train to the end from the last checkpoint in ``checkpoints``, or from the start.

    Raises on every worker at the same step: NonFiniteLossError when a loss term, or a weight that something is to be made of, is
    not finite, CheckpointError when a worker cannot read or write checkpoints, or sees others than the first, Interrupted where
    the end was asked for, and whatever ``report`` raises.
    """
    start = _start(task, settings.start, checkpoints, ranks, listener)
    if _ended_on_plateau(task, settings, checkpoints, ranks, listener, start):
        return
    clock, ending = _Clock(start), _Ending(listener.end_asked, ranks)
    pending: list[dict[str, Tensor]] = []
    with closing(_batches(task, start)) as batches:
        for number, batch in batches:
            torch.manual_seed(settings.seed * 1_000_003 + number * ranks.world + ranks.rank)  # dropout
            pending.append(task.step(batch, number))

            step = number + 1
            now = due(step, settings, task.total_steps)
            ends = step < task.total_steps and ending.is_asked(step)
            if ends:
                now = now._replace(logged=True, saved=True)
            if not now.logged:
                continue
            told = _finite_means(pending, step, ranks, checkpoints)
            pending.clear()
            rate = clock.rate(step, task.images_per_step)
            ending.ask_by(rate / task.images_per_step)
            if ranks.is_first:
                listener.say(progress_line(step, task.total_steps, rate, task.images_per_step, told))
            told["images_per_s"] = rate
            if ranks.is_first and listener.recorder is not None:
                listener.recorder.log_metrics(told, step)

            if now.looked:
                _expect_finite(task.networks, step, checkpoints)
                with all_or_none(ranks), clock.stopped():
                    if ranks.is_first:
                        told |= _look(task, settings, checkpoints, listener, step, now)
            if listener.report is not None:
                listener.report(step, told)
            if now.validated and _ended_on_plateau(task, settings, checkpoints, ranks, listener, step):
                return
            if ends:
                raise Interrupted(f"step {step}")


def _start(task: Task, origin: StartSettings | None, checkpoints: Path, ranks: Ranks, listener: Listener) -> int:
    """Load the last checkpoint, the same on all workers; its step, 0 where there is none."""
    step = 0
    with all_or_none(ranks):
        done = list_checkpoints(checkpoints)
        if done:
            task.load_state_dict(load_checkpoint(done[-1], task.networks))
            step = done[-1].step
    begins = everyones(step, ranks)
    if len(set(begins)) > 1:
        raise CheckpointError(
            f"the workers see different checkpoints in {checkpoints} (steps {', '.join(map(str, begins))}); "
            "the run's folder has to be the same on every node."
        )
    if origin is not None and step == origin.step:
        words = f"begins after step {step} of {origin.source}" if step else f"begins with the weights of {origin.source}"
    else:
        words = f"resumed from step {step} of {task.total_steps}"
    if done and ranks.is_first:
        listener.say(words)
    return step


def _batches(task: Task, start: int) -> Generator[tuple[int, Batch]]:
    """The numbers and batches of all steps from ``start`` on; the next one is made meanwhile, in a thread."""
    if start == task.total_steps:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batch") as loader:
        upcoming = loader.submit(task.batch, start)
        for step in range(start, task.total_steps):
            batch = upcoming.result()
            if step + 1 < task.total_steps:
                upcoming = loader.submit(task.batch, step + 1)
            yield step, batch


def _look(task: Task, settings: TrainingSettings, checkpoints: Path, listener: Listener, step: int, now: Due) -> dict[str, float]:
    """Validate, record pictures and write a checkpoint, as far as that is due; the validation's metrics."""
    recorder = listener.recorder
    metrics = task.validate() if now.validated else {}
    is_best = bool(metrics) and _is_best(metrics, task.goal, checkpoints)
    if metrics:
        listener.say(validation_line(step, task.total_steps, metrics, task.goal if is_best else None))
    if now.validated and 2 * step >= task.total_steps > step:  # at the end they are among the remarks
        for doubt in task.doubts():
            listener.say(f"step {step}/{task.total_steps}  {doubt}")
    if recorder is not None and metrics:
        recorder.log_metrics(metrics, step)
    if recorder is not None and now.sampled:
        for key, image in task.samples().items():
            recorder.log_image(key, image, step)

    if now.saved or is_best or (metrics and _plateau(task, settings, checkpoints, step) is not None):
        save_checkpoint(checkpoints, step, task.networks, task.state_dict(), metrics)
        prune_checkpoints(checkpoints, settings.keep_last, task.goal.metric, task.goal.mode)
    return metrics


def _plateau(task: Task, settings: TrainingSettings, checkpoints: Path, step: int) -> Checkpoint | None:
    """The best checkpoint, where its validation is as many before that of ``step`` as the goal has patience for."""
    patience, every = task.goal.patience, settings.validate_every
    if patience is None or step == 0 or step % every:
        return None
    best = best_checkpoint(list_checkpoints(checkpoints), task.goal.metric, task.goal.mode)
    return best if best is not None and step // every - best.step // every >= patience else None


def _ended_on_plateau(
    task: Task, settings: TrainingSettings, checkpoints: Path, ranks: Ranks, listener: Listener, step: int
) -> bool:
    """Whether the training ends at ``step`` since nothing gets better; the same on all workers."""
    if task.goal.patience is None:
        return False
    best = _plateau(task, settings, checkpoints, step) if ranks.is_first else None
    if best is not None:
        waited = counted(task.goal.patience, "validation")
        listener.say(f"step {step}/{task.total_steps}  ends here: the best validation, at step {best.step}, is {waited} ago")
    return everyones(best is not None, ranks)[0]


def _is_best(metrics: Mapping[str, float], goal: Goal, checkpoints: Path) -> bool:
    """Whether a validation is better than those of all checkpoints."""
    value = metrics.get(goal.metric, math.nan)
    best = best_checkpoint(list_checkpoints(checkpoints), goal.metric, goal.mode)
    if best is None:
        return math.isfinite(value)
    return value < best.metrics[goal.metric] if goal.mode == "min" else value > best.metrics[goal.metric]


def load_for_export(task: Task, checkpoints: Path) -> int:
    """Load the checkpoint that becomes the model, the last or the best; its step."""
    done = list_checkpoints(checkpoints)
    chosen = best_checkpoint(done, task.goal.metric, task.goal.mode) if task.exports == "best" else None
    chosen = chosen or done[-1]
    load_checkpoint(chosen, task.networks)
    return chosen.step


def progress_line(step: int, total: int, rate: float, per_step: int, terms: Mapping[str, float]) -> str:
    """One line: step, images/s, the losses, time left."""
    left = (total - step) * per_step / rate if rate > 0 else math.inf
    shown = "  ".join(f"{name.removeprefix('loss/')} {value:.3g}" for name, value in terms.items())
    return f"step {step}/{total}  {rate:.1f} images/s  {duration(left)} left  {shown}"


def validation_line(step: int, total: int, metrics: Mapping[str, float], best: Goal | None) -> str:
    """One line: step, what was measured on the validation split, and whether that is the ``best`` of the training so far.

    >>> validation_line(340, 680, {"val/l1_to_target": 0.1234}, Goal("val/l1_to_target", "min"))
    'step 340/680  on the validation split: l1_to_target 0.123 (the best so far)'
    """
    shown = "  ".join(
        f"{name.removeprefix('val/')} {value:.3g}{' (the best so far)' if best is not None and name == best.metric else ''}"
        for name, value in metrics.items()
    )
    return f"step {step}/{total}  on the validation split: {shown}"


def _finite_means(pending: Sequence[Mapping[str, Tensor]], step: int, ranks: Ranks, checkpoints: Path) -> dict[str, float]:
    """Mean of each term over the pending steps and all workers, in one transfer from the device."""
    names = list(pending[0])
    values = average(torch.stack([torch.stack([terms[name].float() for name in names]) for terms in pending]), ranks).tolist()
    for i, row in enumerate(values):
        for name, value in zip(names, row, strict=True):
            if not math.isfinite(value):
                at = step - len(pending) + i + 1
                raise NonFiniteLossError(at, f"the loss term {name}", value, _last_good(checkpoints))
    return {name: math.fsum(row[k] for row in values) / len(values) for k, name in enumerate(names)}


def _expect_finite(networks: Mapping[str, nn.Module], step: int, checkpoints: Path) -> None:
    """NonFiniteLossError if the last update, of a finite loss, had gradients that were not. All workers have the same weights."""
    for name, network in networks.items():
        if not bool(torch.stack([values.isfinite().all() for values in network.state_dict().values()]).all()):
            raise NonFiniteLossError(step, f"a weight of the {name}", math.nan, _last_good(checkpoints))


def _last_good(checkpoints: Path) -> str | None:
    kept = list_checkpoints(checkpoints)
    return kept[-1].path.name if kept else None


class _Ending:
    """Whether the end of a training is asked for: of all workers together, about every ``ASK_EVERY_S`` seconds."""

    def __init__(self, asked: Callable[[], bool] | None, ranks: Ranks):
        self.asked, self.ranks, self.every = asked, ranks, 1

    def is_asked(self, step: int) -> bool:
        """Whether any worker was told so, by the end of ``step``; the same on all of them."""
        if self.asked is None or step % self.every:
            return False
        if self.ranks.world == 1:
            return self.asked()
        return average(torch.tensor(float(self.asked()), device=self.ranks.device), self.ranks).item() > 0

    def ask_by(self, steps_per_s: float) -> None:
        """Ask as often as the first worker's speed wants it."""
        if self.asked is not None and self.ranks.world > 1:
            self.every = max(1, round(everyones(steps_per_s, self.ranks)[0] * ASK_EVERY_S))


class _Clock:
    """Images per second of training steps since the last look; validation, pictures and checkpoints don't count."""

    def __init__(self, step: int):
        self.step, self.since = step, time.perf_counter()

    def rate(self, step: int, per_step: int) -> float:
        now = time.perf_counter()
        rate = (step - self.step) * per_step / max(now - self.since, 1e-9)
        self.step, self.since = step, now
        return rate

    @contextmanager
    def stopped(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.since += time.perf_counter() - start


def duration(seconds: float) -> str:
    """Hours, minutes and seconds; ``?`` where nobody knows."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
