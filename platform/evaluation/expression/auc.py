"""ROC AUC of each expression against the rest, and their mean (Table 5).

Shapes: N images, E expressions, R draws of people.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from legan.platform.evaluation.intervals import LEVEL, RESAMPLES, Interval

Values = NDArray[np.float64]


def class_aucs(scores: Tensor, labels: Tensor, classes: Sequence[int] | None = None) -> list[float]:
    """ROC AUC of each class against the rest, by torchmetrics; ``scores`` float N×E in 0 to 1, ``labels`` int64 N.

    Of all ``classes``, or of those named; each has to be shown, and another one too.

    >>> import torch
    >>> class_aucs(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), torch.tensor([0, 1, 1]))
    [1.0, 1.0]
    """
    from torchmetrics.functional.classification import binary_auroc  # takes seconds to import

    return [float(binary_auroc(scores[:, k], (labels == k).long())) for k in classes or range(scores.shape[1])]


def auc_intervals(scores: Tensor, labels: Tensor, people: NDArray[np.str_], seed: int = 0) -> list[Interval] | None:
    """95 % of each class's AUC and last of their mean, under drawing people with replacement, each with all images.

    None for fewer than two people. Draws in which a class is not shown have no part.
    """
    names, index = np.unique(people, return_inverse=True)
    if len(names) < 2:
        return None
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    times, given = draws[:, index], labels.numpy()
    by_class = np.stack([weighted_auc(scores[:, k].double().numpy(), given == k, times) for k in range(scores.shape[1])])
    drawn = np.concatenate([by_class, by_class.mean(0, keepdims=True)])
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def weighted_auc(scores: Values, positive: NDArray[np.bool_], times: NDArray[np.int64]) -> Values:
    """The AUC of N images of which image j counts ``times[r, j]`` times, float64 R; NaN where one side is empty.

    It is the share of pairs of both sides in which the positive image scores higher; equal scores count half.
    """
    _, place = np.unique(scores, return_inverse=True)
    found = np.empty(len(times))
    for row, weight in enumerate(times):
        on, off = np.bincount(place, weight * positive), np.bincount(place, weight * ~positive)
        below = np.cumsum(off) - off
        pairs = on.sum() * off.sum()
        found[row] = (on * (below + off / 2)).sum() / pairs if pairs else np.nan
    return found
