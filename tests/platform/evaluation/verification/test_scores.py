"""Rates, ROC and intervals, each against scikit-learn, torchmetrics, or a count by hand."""

import numpy as np
import pytest
import torch

from legan.platform.evaluation.metrics import feature_correlation
from legan.platform.evaluation.verification.scores import Draws, ScoreCounts, pearson, standardised

STRANGERS = np.array([0.5, 0.4, 0.3, 0.3, 0.2, 0.1, 0.0, -0.1, -0.2, -0.9], np.float32)
SAME = np.array([0.9, 0.45, 0.35, 0.3, 0.25], np.float32)


def counted_pairs(strangers: np.ndarray, same: np.ndarray, **values: int) -> ScoreCounts:
    counts = ScoreCounts(**values)
    counts.add(strangers, np.zeros(len(strangers), np.bool_))
    counts.add(same, np.ones(len(same), np.bool_))
    return counts


@pytest.mark.parametrize(
    ("rate", "threshold", "false", "true"),
    [
        (0.0, 0.9, 0.0, 0.2),  # nobody but 0.9 is above all strangers
        (0.1, 0.45, 0.1, 0.4),
        (0.2, 0.35, 0.2, 0.6),
        (0.3, 0.35, 0.2, 0.6),  # both of 0.3 would pass together: 0.4 of strangers
        (0.4, 0.25, 0.4, 1.0),
        (1.0, -0.9, 1.0, 1.0),
    ],
)
def test_rates_are_those_counted_by_hand(rate: float, threshold: float, false: float, true: float) -> None:
    found = counted_pairs(STRANGERS, SAME).at_rate(rate)
    assert (found.false_positives, found.true_positives) == pytest.approx((false, true))
    assert found.threshold == pytest.approx(threshold)
    again = counted_pairs(STRANGERS, SAME).at_threshold(found.threshold)
    assert (again.false_positives, again.true_positives) == (found.false_positives, found.true_positives)


def test_pairs_that_were_not_compared_pass_nothing_or_are_left_out() -> None:
    counts = counted_pairs(np.append(STRANGERS, [np.nan] * 10).astype(np.float32), np.append(SAME, np.nan).astype(np.float32))
    assert counts.pairs == (20, 6)
    every, made = counts.at_rate(0.1), counts.at_rate(0.1, every_pair=False)
    assert (every.false_positives, every.true_positives) == (2 / 20, 3 / 6)
    assert (made.false_positives, made.true_positives) == (1 / 10, 2 / 5)
    assert counts.at_threshold(0.4).true_positives == 2 / 6
    assert counts.at_threshold(None).true_positives == 0


def test_thirty_of_three_thousand_are_one_percent() -> None:
    rng = np.random.default_rng(0)
    counts = counted_pairs(rng.normal(0, 0.1, 3000).astype(np.float32), rng.normal(0.3, 0.1, 3000).astype(np.float32))
    assert counts.at_rate(0.01).false_positives == 0.01
    assert counts.at_rate(0.001).false_positives == 0.001


def test_the_whole_roc_is_that_of_torchmetrics_and_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score
    from torchmetrics.functional.classification import binary_auroc, binary_roc

    rng = np.random.default_rng(1)
    strangers, same = rng.normal(0.1, 0.2, 4000), rng.normal(0.4, 0.2, 700)
    strangers, same = (np.round(np.clip(each, -1, 1), 3).astype(np.float32) for each in (strangers, same))
    counts = counted_pairs(strangers, same)
    scores, labels = np.concatenate([strangers, same]), np.repeat([0, 1], [4000, 700])
    assert counts.area() == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    scaled = torch.from_numpy((scores.astype(np.float64) + 1) / 2)
    assert counts.area() == pytest.approx(float(binary_auroc(scaled, torch.from_numpy(labels))), abs=1e-5)
    false, true, _ = binary_roc(scaled, torch.from_numpy(labels))
    curve = counts.roc()
    assert np.allclose(curve.false_positives, false, atol=1e-6)
    assert np.allclose(curve.true_positives, true, atol=1e-6)
    for rate in (0.001, 0.01, 0.1):
        wanted = float(true[false <= rate + 1e-9].max())
        assert counts.at_rate(rate).true_positives == pytest.approx(wanted, abs=1e-6)
    gap = (false - (1 - true)).abs()
    assert counts.equal_error() == pytest.approx(float(((false + 1 - true) / 2)[gap.argmin()]), abs=2e-3)


def test_the_equal_error_rate_lies_where_both_errors_are_equal() -> None:
    strangers = np.array([0.1, 0.2, 0.3, 0.6], np.float32)
    same = np.array([0.25, 0.5, 0.7, 0.8], np.float32)
    assert counted_pairs(strangers, same).equal_error() == pytest.approx(0.25)
    assert counted_pairs(strangers, same + 0.19).equal_error() == pytest.approx(0.25)
    assert counted_pairs(strangers - 0.5, same).equal_error() == 0


def test_blocks_in_any_order_give_the_same_counts_and_rest_is_what_a_fold_leaves() -> None:
    whole = counted_pairs(STRANGERS, SAME)
    parts = ScoreCounts()
    for start in range(5):
        parts.add(STRANGERS[start::5], np.zeros(2, np.bool_))
        parts.add(SAME[start::5], np.ones(1, np.bool_))
    assert (whole.counts == parts.counts).all()
    rest = whole - counted_pairs(STRANGERS[:4], SAME[:2])
    assert rest.pairs == (6, 3)
    assert rest.at_rate(0.2).threshold == pytest.approx(0.2, abs=0.06)


def test_scores_are_pearson_correlations() -> None:
    features = torch.randn(40, 16, generator=torch.Generator().manual_seed(0)) + 5
    features[7] = 2.0
    first, second = np.arange(39), np.arange(1, 40)
    unit = standardised(features)
    scores = pearson(unit, first, second)
    assert np.allclose(scores, feature_correlation(features[:-1], features[1:]).numpy(), atol=1e-6)
    assert scores[6] == scores[7] == 0
    compared = [i for i in range(39) if i not in (6, 7)]
    by_numpy = [np.corrcoef(features[i], features[i + 1])[0, 1] for i in compared]
    assert np.allclose(scores[compared], by_numpy, atol=1e-6)
    assert np.isnan(pearson(unit, np.array([-1, 3]), np.array([2, -1]))).all()


def test_a_draw_counts_pairs_as_often_as_a_list_with_the_units_repeated() -> None:
    rng = np.random.default_rng(2)
    units = np.array([0, 0, 1, 1, 2, 2, 3])
    pairs = [(a, b) for a in range(7) for b in range(a)]
    first, second = np.array(pairs).T
    scores = rng.uniform(-1, 1, len(pairs)).astype(np.float32)
    same = units[first] == units[second]
    draws = Draws(4, seed=3, draws=20)
    draws.add(scores, same, units[first], units[second])
    lists = 0
    for draw, times in enumerate(draws.times[:, :4].astype(int)):
        strangers, one = [], []
        for score, is_same, a, b in zip(scores, same, units[first], units[second], strict=True):
            often = times[a] if a == b else times[a] * times[b]
            (one if is_same else strangers).extend([score] * often)
        both = draws.counts[draw].reshape(2, -1)
        assert both.sum(axis=1).tolist() == [len(strangers), len(one)]
        lists += len(strangers)
    assert lists > 0


def test_intervals_hold_the_value_and_narrow_with_more_people() -> None:
    def of_people(people: int) -> tuple[float, tuple[float, float]]:
        rng = np.random.default_rng(4)
        first, second = rng.integers(people, size=(2, 40_000))
        same = np.arange(40_000) < 20_000
        second = np.where(same, first, np.where(first == second, (first + 1) % people, second))
        hard = rng.normal(0, 0.15, people)
        scores = np.clip(rng.normal(np.where(same, 0.5, 0.0), 0.1) + hard[first] * same, -1, 1).astype(np.float32)
        counts, draws = ScoreCounts(), Draws(people, draws=100)
        counts.add(scores, same)
        draws.add(scores, same, first, second)
        intervals = draws.intervals([0.01])
        assert intervals is not None
        return counts.at_rate(0.01).true_positives, intervals[0]

    few, many = of_people(30), of_people(1000)
    for value, (low, high) in (few, many):
        assert low < value < high
    assert 3 * (many[1][1] - many[1][0]) < few[1][1] - few[1][0]


def test_without_strangers_in_a_draw_there_are_no_intervals() -> None:
    draws = Draws(2, draws=50)
    draws.add(np.array([0.5, 0.1], np.float32), np.array([True, False]), np.array([0, 0]), np.array([0, 1]))
    assert draws.intervals([0.01]) is None


def test_pairs_of_sides_that_are_not_there_count_once_for_the_side_that_is() -> None:
    draws = Draws(3, draws=10)
    nan = np.array([np.nan] * 2, np.float32)
    draws.add(nan, np.array([True, False]), np.array([-1, 1]), np.array([-1, -1]))
    assert (draws.lost[:, 1] == 1).all()
    assert (draws.lost[:, 0] == draws.times[:, 1]).all()
    assert draws.counts.sum() == 0
