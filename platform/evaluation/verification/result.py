"""What a verification has found, and its numbers under the names of metric_names.py."""

import statistics
from typing import NamedTuple

from legan.platform.evaluation.metric_names import VERIFICATION
from legan.platform.evaluation.verification.pair_lists import RATES, Compared
from legan.platform.evaluation.verification.scores import Operating, Roc


class AtRate(NamedTuple):
    """What passes where at most ``rate`` of strangers do.

    ``every_pair`` counts pairs that could not be compared, which pass nothing; ``interval`` is its true positives' 95 % one.
    ``made`` is of the comparisons that were made alone, as ISO/IEC 19795-1 has FMR and FNMR.
    """

    rate: float
    every_pair: Operating
    interval: tuple[float, float] | None
    made: Operating


class OfFold(NamedTuple):
    """A fold at the threshold that the other folds set for RATES[0]."""

    number: int
    passing: Operating


class Verification(NamedTuple):
    """All that a list of pairs tells of a network; area and equal error rate are of the comparisons that were made."""

    at_rates: list[AtRate]
    folds: list[OfFold]
    area: float
    equal_error: float
    roc: Roc
    compared: Compared


def of_folds(done: Verification) -> tuple[float, float, float] | None:
    """Of the folds: mean and standard deviation (n - 1) of the true positives, and mean of the false ones; None without folds."""
    if not done.folds:
        return None
    true = [fold.passing.true_positives for fold in done.folds]
    false = [fold.passing.false_positives for fold in done.folds]
    return statistics.fmean(true), statistics.stdev(true), statistics.fmean(false)


def numbers_of(done: Verification) -> dict[str, float]:
    """All numbers by their names in tables."""
    found: dict[str, float] = {}
    for each in done.at_rates:
        found[f"tpr_at_fpr_{each.rate:g}"] = each.every_pair.true_positives
        found[f"fnmr_at_fmr_{each.rate:g}"] = 1 - each.made.true_positives
    folds = of_folds(done)
    if folds is not None:
        names = (f"tpr_at_fpr_{RATES[0]:g}_of_folds", f"tpr_at_fpr_{RATES[0]:g}_sd_of_folds", "fpr_of_folds")
        found |= dict(zip(names, folds, strict=True))
    found |= {"roc_auc": done.area, "equal_error_rate": done.equal_error}
    found["failure_to_acquire"] = sum(done.compared.lost) / sum(done.compared.pairs)
    return {metric.name: found[metric.name] for metric in VERIFICATION if metric.name in found}


def metrics_of(done: Verification, start: str) -> dict[str, float]:
    """The same as MLflow metrics."""
    return {f"{start}{name}": value for name, value in numbers_of(done).items()}
