"""The one training loop: steps, metrics, validation, pictures and checkpoints of any Task, without Ray.

A step's data and random draws depend on its number alone, so a loop that starts at a checkpoint does what one that
never stopped would have done. Losses stay on the device; one transfer per ``log_every`` steps brings them all, names
the step and the term of the first that is not finite, and stops before such weights are ever written.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from legan.platform.errors import CheckpointError, NonFiniteLossError
from legan.platform.settings import TrainingSettings
from legan.platform.training.checkpoint import (
    best_checkpoint,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from legan.platform.training.parallel import Ranks, all_or_none, average, everyones
from legan.platform.training.task import Image, Task


class Recorder(Protocol):
    """Where metrics and pictures go; platform.tracking.tracker.Tracker is one."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers."""

    def log_image(self, key: str, image: Image, step: int) -> None:
        """Record a picture."""


class StoppedEarly(Exception):  # noqa: N818  (no error)
    """Raised by a listener's ``report``, on every worker at the same step, to end a training that is not worth going on with."""


class Listener(NamedTuple):
    """What the loop tells others; all but ``report`` only on the first worker."""

    recorder: Recorder | None = None
    say: Callable[[str], None] = print
    report: Callable[[int, Mapping[str, float]], None] | None = None
    """Called on every worker after each logged step, when its validation and its checkpoint are done, with the step and its
    metrics; those of the validation only at steps that validate, and only on the first worker."""


def train(task: Task, settings: TrainingSettings, checkpoints: Path, ranks: Ranks, listener: Listener) -> dict[str, float]:
    """Train to the end from the last checkpoint in ``checkpoints``, or from the start; the last validation's metrics.

    Raises on every worker at the same step: NonFiniteLossError when a loss term, or a weight that a checkpoint is to hold, is
    not finite, CheckpointError when a worker cannot read or write checkpoints, or sees others than the first, and whatever
    ``report`` raises.
    """
    with all_or_none(ranks):
        step, metrics = resume(task, checkpoints, listener if ranks.is_first else None)
    begins = everyones(step, ranks)
    if len(set(begins)) > 1:
        raise CheckpointError(
            f"the workers see different checkpoints in {checkpoints} (steps {', '.join(map(str, begins))}); "
            "the run's folder has to be the same on every node."
        )
    clock = _Clock(step)
    pending: list[dict[str, Tensor]] = []
    with ExitStack() as stack:
        loader = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="batch"))
        stack.callback(loader.shutdown, wait=True, cancel_futures=True)
        upcoming = loader.submit(task.batch, step) if step < task.total_steps else None
        while upcoming is not None:
            batch = upcoming.result()
            upcoming = loader.submit(task.batch, step + 1) if step + 1 < task.total_steps else None
            torch.manual_seed(settings.seed * 1_000_003 + step * ranks.world + ranks.rank)  # dropout
            pending.append(task.step(batch, step))
            step += 1
            last = step == task.total_steps
            # Nothing is made of weights before it is known that the losses which led to them are finite.
            looks = (settings.log_every, settings.validate_every, settings.sample_every, settings.checkpoint_every)
            told: dict[str, float] = {}
            looking = last or any(step % every == 0 for every in looks)
            if looking:
                terms = _finite_means(pending, step, ranks, checkpoints)
                pending.clear()
                rate = clock.rate(step, task.images_per_step)
                if ranks.is_first:
                    if listener.recorder is not None:
                        listener.recorder.log_metrics({**terms, "images_per_s": rate}, step)
                    listener.say(progress_line(step, task.total_steps, rate, task.images_per_step, terms))
                told = {**terms, "images_per_s": rate}
            if last or step % settings.checkpoint_every == 0:
                _expect_finite(task.networks, step, checkpoints)
                with all_or_none(ranks), clock.stopped():
                    found = _look(task, settings, checkpoints, listener.recorder, step) if ranks.is_first else {}
                metrics = found or metrics
                told |= found
            if told and listener.report is not None:
                listener.report(step, told)
    return metrics


def resume(task: Task, checkpoints: Path, listener: Listener | None) -> tuple[int, dict[str, float]]:
    """Load the last checkpoint into ``task``; its step, 0 when there is none, and its metrics."""
    done = list_checkpoints(checkpoints)
    if not done:
        return 0, {}
    task.load_state_dict(load_checkpoint(done[-1], task.networks))
    if listener is not None:
        listener.say(f"resumed from step {done[-1].step} of {task.total_steps}")
    return done[-1].step, dict(done[-1].metrics)


def _look(task: Task, settings: TrainingSettings, checkpoints: Path, recorder: Recorder | None, step: int) -> dict[str, float]:
    """Validate, record pictures and write a checkpoint where ``step`` asks for it; the validation's metrics."""
    last = step == task.total_steps
    metrics: dict[str, float] = {}
    if last or step % settings.validate_every == 0:
        metrics = task.validate()
        if recorder is not None and metrics:
            recorder.log_metrics(metrics, step)
    if recorder is not None and (last or step % settings.sample_every == 0):
        for key, image in task.samples().items():
            recorder.log_image(key, image, step)
    if last or step % settings.checkpoint_every == 0:
        save_checkpoint(checkpoints, step, task.networks, task.state_dict(), metrics)
        prune_checkpoints(checkpoints, settings.keep_last, *task.goal)
    return metrics


def load_for_export(task: Task, checkpoints: Path) -> int:
    """Load the checkpoint that becomes the model, the last or the best; its step."""
    done = list_checkpoints(checkpoints)
    chosen = best_checkpoint(done, *task.goal) if task.exports == "best" else None
    chosen = chosen or done[-1]
    load_checkpoint(chosen, task.networks)
    return chosen.step


def progress_line(step: int, total: int, rate: float, per_step: int, terms: Mapping[str, float]) -> str:
    """One line: step, images/s, the losses, time left."""
    left = (total - step) * per_step / rate if rate > 0 else math.inf
    shown = "  ".join(f"{name.removeprefix('loss/')} {value:.3g}" for name, value in terms.items())
    return f"step {step}/{total}  {rate:.1f} images/s  {_duration(left)} left  {shown}"


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


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
