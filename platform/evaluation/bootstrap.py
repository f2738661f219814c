"""How far a mean or a median can be trusted: bootstrap intervals over subjects.

Images of one person resemble each other. So people are drawn again, each with all of their images.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.platform.evaluation.metric_names import Average, find

RESAMPLES, LEVEL = 1000, 0.95


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
