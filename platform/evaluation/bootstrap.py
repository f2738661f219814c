"""How far a mean can be trusted: bootstrap intervals over subjects.

Images of one person resemble each other. So people are drawn again, each with all of their images.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RESAMPLES, LEVEL = 1000, 0.95


def subject_interval(values: NDArray[np.float64], subjects: NDArray[np.str_], seed: int = 0) -> tuple[float, float] | None:
    """Percentile interval (95 %) of the mean of ``values`` under drawing subjects with replacement, 1000 times.

    ``subjects`` names the person of each value. None for fewer than two subjects, or where a value is missing. With few subjects
    such intervals are too narrow.
    """
    names, index = np.unique(subjects, return_inverse=True)
    if len(names) < 2 or np.isnan(values).any():
        return None
    sums, counts = np.bincount(index, values), np.bincount(index)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    means = (draws @ sums) / (draws @ counts)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def intervals_table(scores: pd.DataFrame, subjects: "pd.Series[str]") -> dict[str, dict[str, tuple[float, float]]]:
    """Intervals by method and metric, where there are any; ``scores`` as in paired.Evaluation, ``subjects`` by pair."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for method, part in scores.groupby("method", sort=False):
        of_pairs = subjects.loc[part["pair"]].to_numpy(np.str_)
        intervals = {
            str(name): subject_interval(values.to_numpy(np.float64), of_pairs)
            for name, values in part.drop(columns=["pair", "method"]).items()
        }
        found[str(method)] = {name: interval for name, interval in intervals.items() if interval is not None}
    return found
