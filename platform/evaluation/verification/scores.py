"""From millions of comparisons to an ROC, in memory that does not grow with their number.

A score is a Pearson correlation, -1 to 1, rounded to the nearest of 2·STEPS + 1 steps of 1e-6, about what is certain of it in
single precision. Of each kind of pair, every step has a count. For scores so rounded all rates, and the ROC, are exact:
whatever a list holds, nothing is sampled and nothing is binned further.

A rate of false positives r is held as *at most* r: the threshold is the lowest score at which no more than r of the pairs of
strangers pass (score ≥ threshold). Strangers with equal scores pass together or not at all.

Intervals are by bootstrap over units (templates, or people): each draw takes them again with replacement, and a pair of units
that are drawn i and j times counts i·j times; a pair within one unit counts i times. Draws keep scores in COARSE steps.

Shapes: P pairs of a block, U units, R draws, F features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STEPS = 1_000_000
COARSE = 4096
DRAWS, LEVEL = 400, 0.95

Counts = NDArray[np.float64]


class Roc(NamedTuple):
    """Points of an ROC from the strictest threshold to the laxest, float64 each; the first accepts nobody (threshold inf)."""

    false_positives: Counts
    true_positives: Counts
    thresholds: Counts


class Operating(NamedTuple):
    """What passes one threshold: shares of the pairs of strangers and of those of one person. No threshold: nobody passes."""

    threshold: float | None
    false_positives: float
    true_positives: float


class ScoreCounts:
    """How many pairs of strangers, and of one person, have each score; pairs that were not compared are counted apart."""

    def __init__(self, steps: int = STEPS):
        self.steps = steps
        self.counts = np.zeros((2, 2 * steps + 1), np.int64)
        self.not_compared = np.zeros(2, np.int64)

    def add(self, scores: NDArray[np.float32], same: NDArray[np.bool_]) -> None:
        """Take P scores, NaN for pairs that were not compared, and whether each pair is of one person."""
        compared = ~np.isnan(scores)
        index = score_steps(scores[compared], self.steps)
        for kind in (0, 1):
            of_kind = same == bool(kind)
            np.add.at(self.counts[kind], index[of_kind[compared]], 1)
            self.not_compared[kind] += int((of_kind & ~compared).sum())

    def __sub__(self, other: "ScoreCounts") -> "ScoreCounts":
        rest = ScoreCounts(self.steps)
        rest.counts, rest.not_compared = self.counts - other.counts, self.not_compared - other.not_compared
        return rest

    @property
    def pairs(self) -> tuple[int, int]:
        """How many pairs of strangers and of one person there are, compared or not."""
        strangers, same = self.counts.sum(axis=1) + self.not_compared
        return int(strangers), int(same)

    def roc(self) -> Roc:
        """The ROC over the pairs that were compared, by scikit-learn: each score counts as often as it occurs."""
        return _roc(self.counts.astype(np.float64), self.steps)

    def at_rate(self, rate: float, every_pair: bool = True) -> Operating:
        """What passes where at most ``rate`` of strangers do.

        With ``every_pair``, pairs that were not compared are among all pairs and pass nothing; else they are left out.
        """
        lost = self.not_compared.astype(np.float64) * every_pair
        return _at_rate(self.roc(), self.counts.sum(axis=1).astype(np.float64), lost, rate)

    def at_threshold(self, threshold: float | None) -> Operating:
        """What passes a threshold of ``at_rate``, pairs that were not compared among all."""
        if threshold is None:
            return Operating(None, 0.0, 0.0)
        first = round(threshold * self.steps) + self.steps
        strangers, same = self.counts[:, first:].sum(axis=1) / np.maximum(self.counts.sum(axis=1) + self.not_compared, 1)
        return Operating(threshold, float(strangers), float(same))

    def area(self) -> float:
        """ROC AUC over the pairs that were compared: how often one person scores above strangers, ties half."""
        from sklearn.metrics import auc

        curve = self.roc()
        return float(auc(curve.false_positives, curve.true_positives))

    def equal_error(self) -> float:
        """Equal error rate over the pairs that were compared: FMR = FNMR, linear between the two points of the ROC about it."""
        curve = self.roc()
        missed = 1 - curve.true_positives
        after = int(np.argmax(curve.false_positives >= missed))
        if after == 0:
            return float(missed[0])
        gaps = curve.false_positives[after - 1 : after + 1] - missed[after - 1 : after + 1]
        share = -gaps[0] / (gaps[1] - gaps[0])
        low, high = curve.false_positives[after - 1 : after + 1]
        return float(low + share * (high - low))


class Draws:
    """The bootstrap's draws: scores of each in COARSE steps, weighted by how often the units of a pair were drawn."""

    def __init__(self, units: int, seed: int = 0, draws: int = DRAWS):
        rng = np.random.default_rng(seed)
        times = rng.multinomial(units, np.full(units, 1 / units), size=draws)
        self.times = np.hstack([times, np.ones((draws, 1))]).astype(np.float32)
        self.counts = np.zeros((draws, 2 * (2 * COARSE + 1)))
        self.lost = np.zeros((draws, 2))

    def add(
        self, scores: NDArray[np.float32], same: NDArray[np.bool_], first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> None:
        """Take P scores as ``ScoreCounts.add`` does, with the units of both sides of each pair; -1 where it is unknown: once."""
        compared = ~np.isnan(scores)
        bins = self.counts.shape[1] // 2
        index = np.where(compared, score_steps(np.nan_to_num(scores), COARSE), 0) + bins * same
        within = first == second
        for draw, times in enumerate(self.times):
            weight = times[first] * np.where(within, 1, times[second])
            self.counts[draw] += np.bincount(index, weight * compared, minlength=2 * bins)
            self.lost[draw] += np.bincount(same, weight * ~compared, minlength=2)

    def intervals(self, rates: Sequence[float]) -> list[tuple[float, float]] | None:
        """95 % percentile intervals of the true positives where at most each of ``rates`` of strangers pass.

        None where a draw has no pairs of strangers, or none of one person.
        """
        found = []
        for counts, lost in zip(self.counts.reshape(len(self.counts), 2, -1), self.lost, strict=True):
            if not counts.any(axis=1).all():
                return None
            curve = _roc(counts, COARSE)
            found.append([_at_rate(curve, counts.sum(axis=1), lost, rate).true_positives for rate in rates])
        low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return [(float(least), float(most)) for least, most in zip(low, high, strict=True)]


def standardised(features: Tensor) -> Tensor:
    """Features N×F less their mean and brought to unit length, float32: the Pearson correlation of two is their inner product.

    Constant features become 0, so that what they are compared with is 0. Features that are NaN stay NaN.
    """
    features = features.double()
    features = features - features.mean(dim=1, keepdim=True)
    return torch.nn.functional.normalize(features, dim=1).float()


def pearson(unit: Tensor, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
    """The correlation of P pairs of rows of ``standardised`` features; NaN where a row is -1 or has no features."""
    a, b = (unit[torch.from_numpy(np.maximum(side, 0))] for side in (first, second))
    scores: NDArray[np.float32] = (a * b).sum(dim=1).numpy()
    scores[(first < 0) | (second < 0)] = np.nan
    return scores


def score_steps(scores: NDArray[np.float32], steps: int) -> NDArray[np.int64]:
    """Which of 2·``steps`` + 1 steps from -1 to 1 each score is, from 0."""
    return np.clip(np.rint(scores.astype(np.float64) * steps), -steps, steps).astype(np.int64) + steps


def _roc(counts: Counts, steps: int) -> Roc:
    """The ROC of counts 2×(2·steps + 1)."""
    from sklearn.metrics import roc_curve  # takes a second to import

    kind, index = np.nonzero(counts)
    scores = (index - steps) / steps
    return Roc(*roc_curve(kind, scores, sample_weight=counts[kind, index], drop_intermediate=False))


def _at_rate(curve: Roc, compared: Counts, lost: Counts, rate: float) -> Operating:
    # Whole numbers of pairs again, so that 30 of 3000 are exactly 0.01.
    passing = [
        np.rint(shares * count) for shares, count in zip((curve.false_positives, curve.true_positives), compared, strict=True)
    ]
    false_positives, true_positives = (each / all_pairs for each, all_pairs in zip(passing, compared + lost, strict=True))
    point = int(np.searchsorted(false_positives, rate, side="right")) - 1
    threshold = float(curve.thresholds[point])
    return Operating(threshold if np.isfinite(threshold) else None, float(false_positives[point]), float(true_positives[point]))
