"""What became of a sweep's trials, as their folders tell it: numbers by variant and seed, and why others have none."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from legan.platform.config import flatten
from legan.platform.data.dataset import Split
from legan.platform.errors import ConfigError, LeganError, Problem
from legan.platform.evaluation.evaluate import REPORTS
from legan.platform.evaluation.figures import RunLine
from legan.platform.evaluation.judges import quality_notes
from legan.platform.evaluation.metric_names import PREFIXES
from legan.platform.evaluation.report import FILE
from legan.platform.tracking.places import StoredRun, run_in_store
from legan.platform.training.run_folder import open_run
from legan.sweeps.sweep import Outcome, Sweep, Trial, begun, read_outcome, suite_trials

SAME = 1e-3  # relative; machines differ by less, other pairs or judges by more


class TrialResult(NamedTuple):
    """A trial with its folder and how it ended; ``outcome`` is None while it has not."""

    trial: Trial
    folder: Path
    outcome: Outcome | None

    @property
    def finished(self) -> bool:
        """Whether there are numbers of it."""
        return self.outcome is not None and self.outcome.status == "finished"

    @property
    def model(self) -> Path:
        """Its model folder."""
        return self.folder / "model"

    @property
    def run(self) -> StoredRun:
        """Its run in the MLflow store in use."""
        return run_in_store(self.folder)

    @property
    def link(self) -> str | None:
        """The page of its run; None where runs do not go to a server."""
        return self.run.page

    def number(self, metric: str) -> float | None:
        """A finished trial's metric by its name in MLflow; None where it is absent or no number."""
        value = self.outcome.metrics.get(metric) if self.outcome is not None and self.finished else None
        return value if value is not None and math.isfinite(value) else None

    def trouble(self) -> str | None:
        """Why there are no numbers of it; None where it has finished."""
        if self.finished:
            return None
        if self.outcome is not None and self.outcome.status != "failed":
            return "was stopped early"
        if self.outcome is not None:
            return f"failed: {(self.outcome.error or 'it left no error').strip().rstrip('.')}"
        return "has not finished" if (self.folder / "config.yaml").is_file() else "has not been started"


def read_results(sweep: Sweep) -> list[TrialResult]:
    """All trials of a suite, or those of a search that were begun; CheckpointError for an outcome that cannot be read."""
    trials = suite_trials(sweep.settings) if sweep.settings.suite is not None else _searched(sweep)
    return [TrialResult(trial, sweep.trials / trial.name, read_outcome(sweep, trial.name)) for trial in trials]


def by_variant(results: Sequence[TrialResult]) -> dict[str, list[TrialResult]]:
    """The trials of each variant, in order."""
    variants: dict[str, list[TrialResult]] = {}
    for result in results:
        variants.setdefault(result.trial.variant, []).append(result)
    return variants


def by_seed(results: Sequence[TrialResult], metric: str) -> dict[int, float]:
    """A metric of the finished trials that have it."""
    values = {result.trial.seed: result.number(metric) for result in results}
    return {seed: value for seed, value in values.items() if value is not None}


def metric_names(results: Sequence[TrialResult], *splits: Split) -> list[str]:
    """What trials' models scored on these splits, ``val/…`` and ``eval/…``, without copied inputs and real images."""
    names = {name for result in results if result.finished and result.outcome is not None for name in result.outcome.metrics}
    prefixes = tuple(PREFIXES[split] for split in splits)
    return sorted(name for name in names if name.startswith(prefixes) and name.count("/") == 1)


def about(result: TrialResult) -> str:
    """A trial in words."""
    return f"{result.trial.variant}, seed {result.trial.seed}"


def require_finished(sweep: Sweep, results: Sequence[TrialResult]) -> None:
    """ConfigError, with what became of the trials, when none has finished."""
    if any(each.finished for each in results):
        return
    why = sorted({f"{each.trouble()}" for each in results})
    said = "; ".join(why[:3]) or "none was begun"
    message = f"no trial of {sweep.name} has finished ({said}); go on with `legan sweep resume {sweep.name}`"
    raise ConfigError([Problem("", message)])


def judged(results: Sequence[TrialResult]) -> Mapping[str, Any]:
    """What the first evaluation that is there says of its judges and all else; nothing where there is none."""
    for each in results:
        for place in reversed(REPORTS.values()):
            with suppress(OSError, ValueError):
                return dict(json.loads((each.folder / place / FILE).read_text(encoding="utf-8")))
    return {}


def rater_notes(sweep: Sweep, results: Sequence[TrialResult]) -> list[str]:
    """Which Q rated the trials, and whether it is a judging one, by what their evaluations say."""
    judge = sweep.settings.quality_judge
    if judge is None:
        return ["Quality is by no judging Q: it is the Q that most variants were trained with. A high value is no proof."]
    name = judge.parent.name if judge.name == "model" else judge.name
    doubts = list(dict.fromkeys(note for each in results for note in quality_notes(judged([each]))))
    if doubts:
        return [f"Quality is by the Q {name}.", *doubts]
    return [f"Quality is by the judging Q {name}, of other raters and faults than the Q that trials were trained with."]


def run_lines(results: Sequence[TrialResult]) -> list[RunLine]:
    """The finished trials' runs."""
    return [
        RunLine(each.run.run_id or f"{each.trial.name}: not in MLflow", each.link, about(each))
        for each in results
        if each.finished
    ]


def trouble_notes(results: Sequence[TrialResult]) -> list[str]:
    """Lines that name the trials without numbers, with the reason, and those that were judged otherwise than the first one."""
    reasons: dict[str, list[str]] = {}
    for each in results:
        reason = each.trouble()
        if reason is not None:
            reasons.setdefault(reason, []).append(each.trial.name)
    notes = [f"Not in this table: {', '.join(names)}: {reason}." for reason, names in reasons.items()]
    finished = [each for each in results if each.finished]
    for each in finished[1:]:
        differing = _other_judges(finished[0], each)
        if differing:
            notes.append(
                f"Not comparable: {about(each)} was judged on other pairs or by other judges than {about(finished[0])}: "
                f"{differing[0]} differs, which no model decides."
            )
    return notes


def _searched(sweep: Sweep) -> list[Trial]:
    """A search's trials with what was chosen. Trials whose settings differ in the seed alone are one variant.

    A suggestion that was made twice is two variants.
    """
    searched = sweep.settings.search.parameters if sweep.settings.search is not None else {}
    names: dict[tuple[str, int], str] = {}
    times: Counter[tuple[str, int]] = Counter()
    trials = []
    for folder in begun(sweep):
        settings = _settings(folder)
        seed = int(settings["seed"]) if settings else 0
        changes = {key: settings[key] for key in searched if key in settings}
        suggestion = json.dumps(changes) if settings else folder.name
        variant = names.setdefault((suggestion, times[suggestion, seed]), folder.name.removesuffix(f"-{seed}"))
        times[suggestion, seed] += 1
        trials.append(Trial(folder.name, variant, seed, changes))
    return trials


def _settings(folder: Path) -> Mapping[str, Any]:
    """A trial's settings by dotted name; empty for one that failed before it had any."""
    try:
        return flatten(open_run(folder.parent, folder.name).settings.model_dump(mode="json"))
    except LeganError:
        return {}


def _other_judges(first: TrialResult, other: TrialResult) -> list[str]:
    """Metrics of copied inputs and real images that differ between two trials."""
    names = [] if first.outcome is None else [name for name in first.outcome.metrics if name.count("/") > 1]
    pairs = ((name, first.number(name), other.number(name)) for name in names)
    return [
        name for name, a, b in pairs if a is not None and b is not None and not math.isclose(a, b, rel_tol=SAME, abs_tol=1e-6)
    ]
