"""Agreement of raters and intervals of shares: pure functions over arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

BOOTSTRAPS = 2000


def krippendorff_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Krippendorff's α with the interval metric: 1 is perfect agreement, 0 what chance gives.

    α = 1 − D_o / D_e, D_o the mean squared difference within units (each pair weighted by 1 / (m_u − 1), m_u ratings in it), D_e
    that of all pairs of all ratings (Krippendorff, Content Analysis, chapter 11). A unit with fewer than two ratings says
    nothing. None where no unit has two, or all ratings are equal.
    """
    rated = [np.asarray(unit, np.float64) for unit in units if len(unit) > 1]
    if not rated:
        return None
    values = np.concatenate(rated)
    count = len(values)
    observed = sum(_squared_differences(unit) / (len(unit) - 1) for unit in rated) / count
    expected = _squared_differences(values) / (count * (count - 1))
    return None if expected == 0 else float(1 - observed / expected)


def fleiss_kappa(votes: NDArray[np.int64]) -> float | None:
    """Fleiss' κ of votes N×K (line-ups × models): 1 is perfect agreement, 0 what chance gives.

    Line-ups may have different numbers of votes n_i; each has P_i = Σ_j n_ij (n_ij − 1) / (n_i (n_i − 1)), and
    κ = (P̄ − P_e) / (1 − P_e) with P_e = Σ_j p_j² of the models' shares p_j. With equal numbers it is Fleiss' own (1971). Line-ups
    with fewer than two votes say nothing. None where none has two, or all votes went to one model.
    """
    votes = votes[votes.sum(axis=1) > 1].astype(np.float64)
    if len(votes) == 0:
        return None
    n = votes.sum(axis=1)
    agreement = float(np.mean((votes * (votes - 1)).sum(axis=1) / (n * (n - 1))))
    chance = float(np.square(votes.sum(axis=0) / votes.sum()).sum())
    return None if chance == 1 else (agreement - chance) / (1 - chance)


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson, 1927), every vote taken as independent; (0, 1) where there is none."""
    if total == 0:
        return 0.0, 1.0
    interval = binomtest(count, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def two_way_bootstrap(votes: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """95 % percentile intervals 2×K of the models' shares, from votes R×S×K (raters × subjects × models).

    A rater's votes hang together, and so do the votes on a subject's photographs, which Wilson's interval does not know. So
    raters and subjects are drawn anew at once, each with replacement, and a vote counts as often as its rater times its subject
    (Owen, The pigeonhole bootstrap, 2007). Draws in which nobody voted are left out.
    """
    generator = np.random.default_rng([seed, 14])
    raters, subjects = (generator.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAPS).astype(np.float64) for n in votes.shape[:2])
    sums = np.einsum("dr,rsk,ds->dk", raters, votes.astype(np.float64), subjects, optimize=True)
    sums = sums[sums.sum(axis=1) > 0]
    return np.asarray(np.percentile(sums / sums.sum(axis=1, keepdims=True), (2.5, 97.5), axis=0), np.float64)


def _squared_differences(values: NDArray[np.float64]) -> float:
    """Sum of (x_i − x_j)² over ordered pairs i ≠ j."""
    centred = values - values.mean()
    return float(2 * len(values) * np.square(centred).sum())
