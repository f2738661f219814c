"""One trial of a sweep, from its start or from where it was: train, score on the validation split, record, leave its outcome.

Test people are looked at when the sweep has ended, by ``score_trial``: its report needs them, and nothing is chosen by them.
verdict.py judges what ends a trial. Where it has to go on later, the error is raised, and the trial has no outcome: it goes on
from its last checkpoint when it is run again.
"""

import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from legan.platform.data.dataset import Split
from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.errors import LeganError
from legan.platform.evaluation.evaluate import REPORTS, EvaluationRequest, prepare, score
from legan.platform.evaluation.ratings.report import expect_quality, predict, rating_scores
from legan.platform.evaluation.report import tracked_metrics
from legan.platform.files import disk_full
from legan.platform.model import QUALITY, READY_MADE, load_network
from legan.platform.tracking.delivery import PARENT_UID
from legan.platform.tracking.places import experiment, read_run_file
from legan.platform.tracking.tracker import Status, Tracker
from legan.platform.training.checks import Inputs, trainable
from legan.platform.training.lifecycle import train_run
from legan.platform.training.parallel import Ranks
from legan.platform.training.run_folder import Run, append_line, create_run, open_run, with_settings
from legan.sweeps.run.request import asked_training
from legan.sweeps.run.verdict import Ended, outcome_of, verdict
from legan.sweeps.sweep import Outcome, Sweep, Trial, read_outcome, write_outcome

PROGRESS = "progress.log"
VALIDATION = "val/"
TRAINED_WITH = ("data", "identity", "quality")
"""The settings of a sweep that its trainings have too, in the same meaning."""
Report = Callable[[int, Mapping[str, float]], None]


class NotNowError(LeganError):
    """A trial has no room for what it writes, or what it reads is away; nothing is wrong with it."""


def run_trial(sweep: Sweep, trial: Trial, tracking_uri: str, report: Report | None = None) -> Outcome:
    """Bring ``trial`` to its outcome, or give the one that it has.

    While it trains, ``report`` gets the step and the metrics, the last validation's among them; it may raise StoppedEarly.
    Ray has to be connected where the trial has several workers. Raises NotNowError, and whatever else is not the trial's fault:
    RecordTakenError when another process holds its record, ClusterError when Ray Train died.
    """
    known = read_outcome(sweep, trial.name)
    if known is not None:
        return known
    folder = sweep.trials / trial.name
    seen: dict[str, float] = {}

    def tell(step: int, metrics: Mapping[str, float]) -> None:
        seen.update({name: value for name, value in metrics.items() if name.startswith(VALIDATION)}, step=step)
        if report is not None:
            report(step, metrics)

    try:
        inputs = Inputs()
        run = _open(sweep, trial, inputs)
        _train(sweep, run, tracking_uri, tell, inputs)
        outcome = Outcome("finished", _chosen_by(sweep, run, tracking_uri, inputs))
    except Exception as error:
        decided = verdict(_ended(sweep, folder, error))
        if decided.status == "later":
            raise NotNowError(f"{decided.why} and continue with `legan sweep resume {sweep.name}`") from error
        left = outcome_of(decided, seen)
        if left is None:
            raise
        outcome = left
    write_outcome(sweep, trial.name, outcome)
    return outcome


def score_trial(sweep: Sweep, name: str, split: Split, tracking_uri: str, places: Mapping[str, str] = {}) -> None:
    """Score a finished trial's model on a split, and add that to its run and its outcome.

    ``places`` are environment variables that name folders, where another process than the sweep's does this.
    """
    os.environ.update(places)
    known = read_outcome(sweep, name)
    if known is None or known.status != "finished":
        raise ValueError(f"{name} has not finished")
    torch.set_num_threads(max(1, int(sweep.settings.cpus)))
    scores = _evaluate(sweep, open_run(sweep.trials, name), split, tracking_uri)
    write_outcome(sweep, name, known._replace(metrics={**known.metrics, **scores}))


def _ended(sweep: Sweep, folder: Path, error: Exception) -> Ended:
    """What ended a trial, and what this machine is like then; Ray Tune counts the tries."""
    return Ended(
        error,
        full=str(folder) if disk_full(error, sweep.folder) else None,
        away=tuple(str(path) for path in files_of(sweep) if not path.exists()),
        node=socket.gethostname(),
        tries=sweep.settings.retries + 1,
    )


def files_of(sweep: Sweep) -> list[Path]:
    """The data and the networks that every trial reads."""
    asked = sweep.settings
    named = (asked.data, asked.identity, asked.quality, asked.classifier, asked.matcher, asked.quality_judge)
    return [path for path in named if path is not None and path not in READY_MADE]


def _open(sweep: Sweep, trial: Trial, inputs: Inputs) -> Run:
    """The trial's run folder, made if there is none yet."""
    folder = sweep.trials / trial.name
    if (folder / "config.yaml").is_file():
        return _following(sweep, open_run(sweep.trials, trial.name))
    if folder.exists():  # a process was killed while it made the folder
        shutil.rmtree(folder)
    parent = read_run_file(sweep.parent).get("run_uid")
    tags = {
        "suite": sweep.settings.suite or "search",
        "variant": trial.variant,
        "seed": str(trial.seed),
        "sweep": sweep.name,
        "trial": trial.name,
        **({PARENT_UID: parent} if parent else {}),
    }
    facts = trainable(asked_training(sweep, trial.changes, trial.seed, sweep.settings.gpus > 0), inputs)
    return create_run(
        sweep.trials, sweep.settings.kind, facts.settings, trial.name, tags, register=False, left_out=facts.left_out
    )


def _following(sweep: Sweep, run: Run) -> Run:
    """The run with its data and networks where the sweep's are now."""
    there = {name: path for name in TRAINED_WITH if (path := getattr(sweep.settings, name)) is not None}
    moved = {name: path for name, path in there.items() if getattr(run.settings, name, None) is not None}
    return with_settings(run, run.settings.model_copy(update=moved))


def _train(sweep: Sweep, run: Run, tracking_uri: str, tell: Report, inputs: Inputs) -> None:
    """In this process with one worker, else through Ray Train."""
    asked = sweep.settings
    if run.settings.workers > 1:
        _train_on_workers(sweep, run, tracking_uri, tell)
        return
    torch.set_num_threads(max(1, int(asked.cpus)))
    train_run(run, Ranks(device=_device(run)), tracking_uri, _log(run), tell, inputs)


def _train_on_workers(sweep: Sweep, run: Run, tracking_uri: str, tell: Report) -> None:
    from legan.platform.training.distributed import train_on_ray

    asked = sweep.settings
    resources = {"CPU": asked.cpus, **({"GPU": asked.gpus} if asked.gpus else {})}
    train_on_ray(run, tracking_uri, _nobody, max(1, int(asked.cpus)), resources, tell)


def _chosen_by(sweep: Sweep, run: Run, tracking_uri: str, inputs: Inputs) -> dict[str, float]:
    """The scores that trials are compared by; none where a suite's data has no validation split."""
    split, is_rated = sweep.settings.chosen_on, sweep.settings.kind == "quality"
    if not is_rated and len(inputs.dataset(sweep.settings.data).real_rows(split)) == 0:
        return {}
    return _evaluate(sweep, run, split, tracking_uri)


def _evaluate(sweep: Sweep, run: Run, split: Split, tracking_uri: str) -> dict[str, float]:
    """Score the trial's model on the sweep's pairs by the sweep's judges, and add that to the trial's run."""
    asked, say = sweep.settings, _log(run)
    tracker = Tracker(
        run.folder, experiment=experiment(), run_name=run.folder.name, params={}, tags={}, uri=tracking_uri, say=say
    )
    status: Status = "FAILED"
    try:
        scores = (_scored_ratings if asked.kind == "quality" else _scored_translations)(sweep, run, split)
        tracker.set_tags(scores.tags)
        # What is validated has the place of the last step, behind what the training has validated on its way.
        tracker.log_metrics(scores.metrics, step=0 if split == "test" else scores.step, again=True)
        for file in scores.files:
            tracker.log_artifact(file, REPORTS[split])
        status = "FINISHED"
    finally:
        tracker.close(status)
    return scores.metrics


class Scores(NamedTuple):
    """What a trial's network scored after ``step`` steps, and the files that tell more."""

    metrics: dict[str, float]
    step: int
    files: Sequence[Path]
    tags: Mapping[str, str]


def _scored_translations(sweep: Sweep, run: Run, split: Split) -> Scores:
    asked = sweep.settings
    # Whether the judges may know these people was settled when the sweep began.
    request = EvaluationRequest(asked.data, *asked.judges, asked.rated_by, asked.pairs, split=split, known_judges=True)
    bench = prepare(str(run.model), request)
    evaluation, files, tags = score(bench, run.folder / REPORTS[split], _device(run), _log(run))
    return Scores(tracked_metrics(evaluation), int(bench.model.info["step"]), files, tags)


def _scored_ratings(sweep: Sweep, run: Run, split: Split) -> Scores:
    stored = load_network(run.model, *QUALITY)
    quality = expect_quality(stored)
    ratings = read_ratings(sweep.settings.data, quality.image_size)
    return Scores(rating_scores(predict(ratings, quality, _device(run)), split), int(stored.info["step"]), [], {})


def _log(run: Run) -> Callable[[str], None]:
    return lambda line: append_line(run.folder / PROGRESS, line)


def _nobody(line: str) -> None:
    """Ray Train's workers write their progress themselves."""


def _device(run: Run) -> torch.device:
    """What the trial was trained on, or the processor where it is scored on a machine without a GPU."""
    return torch.device("cuda" if run.settings.gpu and torch.cuda.is_available() else "cpu")
