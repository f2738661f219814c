"""Running an experiment: translations, the arms' data, their trainings, their scores, and the table; what is done is skipped."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from legan.platform.config import flatten
from legan.platform.errors import LeganError, counted
from legan.platform.experiments.experiment import Arm, Experiment
from legan.platform.experiments.plan import (
    arm_step,
    evaluation_step,
    open_trial,
    remember,
    training_step,
    translation_step,
)
from legan.platform.experiments.result import metrics_of, read_scores, write_result
from legan.platform.experiments.steps import StepFailedError, Steps
from legan.platform.processors import interruptible
from legan.platform.tracking.places import run_tracking_uri
from legan.platform.tracking.tracker import open_parent
from legan.platform.training.checks import Inputs

if TYPE_CHECKING:
    from legan.platform.tracking.tracker import Status

LOOK_S = 0.2


class Workplace(NamedTuple):
    """Where and how trainings run: ``workers``, ``gpu`` and ``address`` as of `legan train`, ``at_once`` of them at a time."""

    workers: int | None = None
    gpu: bool | None = None
    address: str | None = None
    at_once: int = 1


def run_experiment(experiment: Experiment, inputs: Inputs, place: Workplace, say: Callable[[str], None]) -> list[Path]:
    """Do all of an experiment that is not done; the files of its table.

    A training that fails is told, and the others go on; StepFailedError then comes at the end, after the table. On Ctrl-C and
    SIGTERM all steps end with their checkpoints, and KeyboardInterrupt is raised.
    """
    asked = experiment.settings
    remember(experiment, inputs)
    parent, run_id = open_parent(
        experiment.parent,
        "experiment",
        experiment.name,
        params={key: value for key, value in flatten(asked.model_dump(mode="json")).items() if value is not None},
        tags={"kind": "experiment", "question": asked.question, "experiment": experiment.name},
        description=f"Does augmenting {asked.data.name} help {asked.question}? Its trainings are the runs below this one.",
        uri=run_tracking_uri(experiment.parent),
        say=say,
    )
    say(f"experiment {experiment.name} in {experiment.folder}; its MLflow run is {run_id}")
    status: Status = "FAILED"
    try:
        with interruptible():
            failed = _work(experiment, inputs, place, say)
        scores = read_scores(experiment)
        files = write_result(experiment, scores) if scores else []
        for file in files:
            parent.log_artifact(file, "result")
        parent.log_metrics(metrics_of(experiment, scores), step=len(scores), again=True)
        if failed:
            raise StepFailedError("; ".join(failed))
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        say("stopped; the same command goes on")
        raise
    finally:
        parent.close(status)
    return files


def _work(experiment: Experiment, inputs: Inputs, place: Workplace, say: Callable[[str], None]) -> list[str]:
    """Do every step; why trainings failed. Seeds are outermost, so that what is unfinished has compared all arms."""
    asked, steps = experiment.settings, Steps(say)
    first = translation_step(experiment, place.workers, place.address)
    _all_or_none(steps, {first.name: partial(steps.run, first)}, 1, say)
    made = [arm_step(experiment, arm) for arm in asked.arms if arm != "none"]
    _all_or_none(steps, {step.name: partial(steps.run, step) for step in made}, place.at_once, say)

    todo = [(arm, seed) for seed in experiment.seeds for arm in asked.arms]
    images = len(inputs.dataset(asked.data).rows("train"))
    for arm, seed in todo:
        open_trial(experiment, arm, seed, inputs, images, place.workers, place.gpu)

    def train_and_score(arm: Arm, seed: int) -> None:
        steps.run(training_step(experiment, arm, seed, place.address))
        steps.run(evaluation_step(experiment, arm, seed))

    say(f"{counted(len(todo), 'training')} of {counted(len(asked.arms), 'arm')}, {place.at_once} at a time")
    jobs = {experiment.trial(arm, seed).name: partial(train_and_score, arm, seed) for arm, seed in todo}
    return each_of(steps, jobs, place.at_once, say)


def _all_or_none(steps: Steps, jobs: Mapping[str, Callable[[], None]], at_once: int, say: Callable[[str], None]) -> None:
    failed = each_of(steps, jobs, at_once, say)
    if failed:
        raise StepFailedError("; ".join(failed))


def each_of(steps: Steps, jobs: Mapping[str, Callable[[], None]], at_once: int, say: Callable[[str], None]) -> list[str]:
    """Do all jobs, so many at once; why some failed. They run beside the main thread, which hears signals."""
    failed: list[str] = []
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(job) for job in jobs.values()]
        waiting = list(futures)
        while waiting:
            try:
                time.sleep(LOOK_S)
            except KeyboardInterrupt:
                for future in futures:
                    future.cancel()
                steps.interrupt()
            for future in [each for each in waiting if each.done()]:
                waiting.remove(future)
                error = None if future.cancelled() else future.exception()
                if isinstance(error, LeganError):
                    failed.append(str(error))
                    say(f"{error}{'; the others go on' if waiting else ''}")
                elif error is not None and not isinstance(error, KeyboardInterrupt):
                    steps.interrupt()
                    raise error
    if steps.interrupted:
        raise KeyboardInterrupt
    return failed
