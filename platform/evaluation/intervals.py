"""How far a mean or a median can be trusted, and a difference of two methods: intervals over people and over seeds.

**People.** Images of one person resemble each other. So people are drawn again, each with all of their images (bootstrap).

**Seeds.** With three seeds a mean alone says little. Trainings of a seed share the order of their images and all other chance of
training, so methods are compared seed by seed: of the differences d_1 … d_n comes the 95 % interval mean ± t(0.975, n - 1) · sd /
√n. Student's t knows how little an sd of three numbers is worth (t = 4.30 at n = 3, 12.7 at n = 2), and pairing asks for no equal
variances, which a method that falls apart doesn't have.

The second tells of other trainings, the first of other people. A method is better or worse where both leave out 0. An interval
that holds 0 is a spread: nothing was shown, not even that both are equal.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.platform.evaluation.metric_names import Average, find

Word = Literal["better", "worse", "within seed spread", "within people's spread", "one seed only"]
Interval = tuple[float, float]
BySeed = Mapping[int, float]
RESAMPLES, LEVEL = 1000, 0.95
COMPARED = ("difference", "low", "high", "people_low", "people_high", "verdict")


def subject_interval(
    values: NDArray[np.float64], subjects: NDArray[np.str_], seed: int = 0, average: Average = "mean"
) -> tuple[float, float] | None:
    """Percentile interval (95 %) of the average of ``values`` under drawing subjects with replacement, 1000 times.

    ``subjects`` names the person of each value. None for fewer than two subjects, or where a value of a mean is missing; a median
    is of the values that are there. With few subjects such intervals are too narrow.
    """
    if average == "median":
        subjects, values = subjects[~np.isnan(values)], values[~np.isnan(values)]
    names, index = np.unique(subjects, return_inverse=True)
    if len(names) < 2 or np.isnan(values).any():
        return None
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    if average == "median":
        averages = weighted_medians(values, draws[:, index])
    else:
        averages = (draws @ np.bincount(index, values)) / (draws @ np.bincount(index))
    low, high = np.quantile(averages, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def weighted_medians(values: NDArray[np.float64], times: NDArray[np.int64]) -> NDArray[np.float64]:
    """The median of n values of which value j counts ``times[i, j]`` times, for each of m rows, float64 m."""
    order = np.argsort(values)
    upto = np.cumsum(times[:, order], axis=1)
    half = upto[:, -1:] / 2
    low, high = (np.argmax(reached, axis=1) for reached in (upto >= half, upto > half))
    middle: NDArray[np.float64] = (values[order][low] + values[order][high]) / 2
    return middle


def averages(scores: pd.DataFrame) -> "pd.Series[float]":
    """The mean or median of each column, as its metric has it; of the values that are there."""
    return pd.Series(
        {str(name): column.median() if _of(str(name)) == "median" else column.mean() for name, column in scores.items()}
    )


def intervals_table(scores: pd.DataFrame, subjects: "pd.Series[str]") -> dict[str, dict[str, tuple[float, float]]]:
    """Intervals by method and metric, where there are any; ``scores`` as in paired.Evaluation, ``subjects`` by pair."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for method, part in scores.groupby("method", sort=False):
        of_pairs = subjects.loc[part["pair"]].to_numpy(np.str_)
        intervals = {
            str(name): subject_interval(values.to_numpy(np.float64), of_pairs, average=_of(str(name)))
            for name, values in part.drop(columns=["pair", "method"]).items()
        }
        found[str(method)] = {name: interval for name, interval in intervals.items() if interval is not None}
    return found


def _of(name: str) -> Average:
    """What a table has of a metric, a mean where it is unknown."""
    metric = find(name)
    return "mean" if metric is None else metric.average


class Difference(NamedTuple):
    """Mean over n ``seeds`` of a method's number less another's, with its 95 % intervals over seeds and over people.

    ``interval`` is None with one seed, ``people`` where the number is of no single images, or these are not at hand.
    """

    mean: float
    interval: Interval | None
    seeds: int
    people: Interval | None = None

    def verdict(self, lower_is_better: bool) -> Word:
        """A word for it."""
        if self.interval is None:
            return "one seed only"
        if _holds_zero(self.interval):
            return "within seed spread"
        if self.people is not None and _holds_zero(self.people):
            return "within people's spread"
        return "better" if (self.mean < 0) == lower_is_better else "worse"


def compared_values(difference: Difference | None, lower_is_better: bool) -> list[object]:
    """What a table for programs has of a difference, in the order of COMPARED; None where there is nothing."""
    if difference is None:
        return [None] * len(COMPARED)
    over_seeds, over_people = (each or (None, None) for each in (difference.interval, difference.people))
    return [difference.mean, *over_seeds, *over_people, difference.verdict(lower_is_better)]


def paired_difference(variant: BySeed, full: BySeed, people: Interval | None = None) -> Difference | None:
    """``variant`` less ``full`` over the seeds that both have; None without any.

    >>> paired_difference({0: 0.5, 1: 0.75}, {0: 0.25, 1: 0.5}).mean
    0.25
    """
    differences = [variant[seed] - full[seed] for seed in sorted(variant.keys() & full.keys())]
    n = len(differences)
    if n == 0:
        return None
    mean = statistics.fmean(differences)
    if n == 1:
        return Difference(mean, None, 1, people)
    from scipy.stats import t as student  # takes a second that not every evaluation should wait for

    half = float(student.ppf((1 + LEVEL) / 2, n - 1)) * statistics.stdev(differences) / math.sqrt(n)
    return Difference(mean, (mean - half, mean + half), n, people)


class ScoredImages(NamedTuple):
    """The outputs' scores of an evaluation, a row per pair, and the person of each pair."""

    scores: pd.DataFrame
    subjects: "pd.Series[str]"


def read_scored_images(folder: Path | None) -> ScoredImages | None:
    """What an evaluation's folder says of its single images; None where there is nothing of the kind."""
    try:
        if folder is None:
            return None
        scores, pairs = pd.read_csv(folder / "scores.csv"), pd.read_csv(folder / "pairs.csv", dtype={"subject": str})
        outputs = scores[scores["method"] == "output"].set_index("pair")
        return ScoredImages(outputs, pairs["subject"])
    except (OSError, ValueError, KeyError):
        return None


def people_interval(
    variant: Sequence[ScoredImages | None], full: Sequence[ScoredImages | None], metric: str | None
) -> Interval | None:
    """95 % bootstrap interval over people of the mean over seeds of ``variant`` less that of ``full``.

    ``metric`` is a column of the scores. None where that, or an evaluation, is absent, or they are of other pairs.
    """
    there = [each for each in (*variant, *full) if each is not None and metric in each.scores]
    if not variant or not full or len(there) < len(variant) + len(full):
        return None
    first = there[0]
    if any(not each.scores.index.equals(first.scores.index) or not each.subjects.equals(first.subjects) for each in there):
        return None
    columns = [each.scores[metric].to_numpy(np.float64) for each in there]
    differences = np.mean(columns[: len(variant)], axis=0) - np.mean(columns[len(variant) :], axis=0)
    return subject_interval(differences, first.subjects.loc[first.scores.index].to_numpy(np.str_))


def chance_note(compared: int, full: str) -> str:
    """What *better* and *worse* mean below a table, and how many of so many comparisons would be so by chance."""
    return (
        f"Better, worse: than {full}, where the {100 * LEVEL:.0f} % t interval of the differences, paired by seed, leaves out 0, "
        "and so does, of what is measured on single images, their bootstrap interval over people. Within a spread: one holds 0, "
        f"so nothing was shown, not even that both are equal. Of {compared} such comparisons, about "
        f"{compared * (1 - LEVEL):.1f} would be called better or worse by chance alone; none is corrected for that."
    )


def _holds_zero(interval: Interval) -> bool:
    low, high = interval
    return low <= 0 <= high
