"""Scores that trials lack: on test people, for a report; on the validation split, for a choice among an older version's trials.

Every finished trial of a suite is reported on test people. Of a search that has ended, only the best is. Nobody chooses by that.
"""

from collections.abc import Callable, Sequence

from legan.platform.data.dataset import Split
from legan.platform.errors import ConfigError
from legan.platform.tracking.places import run_tracking_uri
from legan.sweeps.report.results import TrialResult, metric_names, read_results
from legan.sweeps.report.search_report import search_table
from legan.sweeps.run.trial import score_trial
from legan.sweeps.sweep import Sweep


def untested(sweep: Sweep) -> list[TrialResult]:
    """The trials that a report on the sweep as it is now shows on test people, and that were not scored on them."""
    return _without(_reported(sweep), "test")


def scored(sweep: Sweep, results: Sequence[TrialResult], split: Split, say: Callable[[str], None]) -> list[TrialResult]:
    """The trials, of which those that have finished are scored on a split now if they were not before.

    Raises the LeganError that keeps a trial from being scored, and what was scored until then is kept.
    """
    for each in _without(results, split):
        say(f"scoring {each.trial.name} on the {split} split of {sweep.settings.data.name} …")
        score_trial(sweep, each.trial.name, split, run_tracking_uri(each.folder))
    again = {each.trial.name: each for each in read_results(sweep)}
    return [again[each.trial.name] for each in results]


def _reported(sweep: Sweep) -> list[TrialResult]:
    results = read_results(sweep)
    if sweep.settings.suite is not None:
        return results
    if any(each.outcome is None for each in results):
        return []
    try:
        table = search_table(sweep)
    except ConfigError:  # nothing can be ranked
        return []
    best = table.shown if len(table.objectives) > 1 else table.shown[:1]
    return [trial for each in best for trial in each.trials]


def _without(results: Sequence[TrialResult], split: Split) -> list[TrialResult]:
    return [each for each in results if each.finished and not metric_names([each], split)]
