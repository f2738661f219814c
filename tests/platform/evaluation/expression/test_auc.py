import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from legan.platform.evaluation.expression.auc import auc_intervals, class_aucs, weighted_auc


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 60)
    scores = rng.random((60, 3)).round(1) + 0.4 * np.eye(3)[labels]  # with ties
    return torch.tensor(scores).softmax(1), torch.tensor(labels)


def test_each_class_against_the_rest_is_scikit_learns():
    scores, labels = drawn(0)
    expected = [roc_auc_score(labels == k, scores[:, k]) for k in range(3)]
    assert class_aucs(scores, labels) == pytest.approx(expected, abs=1e-6)


def test_an_image_that_counts_twice_is_one_that_is_there_twice():
    scores, labels = drawn(1)
    times = np.random.default_rng(2).integers(0, 3, (4, 60))
    found = weighted_auc(scores[:, 0].numpy(), (labels == 0).numpy(), times)
    assert found == pytest.approx([roc_auc_score(labels == 0, scores[:, 0], sample_weight=each) for each in times])
    assert np.isnan(weighted_auc(np.array([1.0, 2.0]), np.array([True, False]), np.array([[1, 0]]))[0])


def test_equal_scores_count_half():
    found = weighted_auc(np.array([0.5, 0.5, 0.1]), np.array([True, False, False]), np.array([[1, 1, 1]]))
    assert found.tolist() == [0.75]  # the pair of equal scores 1/2, the other 1


def test_intervals_hold_the_numbers_and_are_wider_with_fewer_people():
    scores, labels = drawn(3)
    many = auc_intervals(scores, labels, np.array([str(i) for i in range(60)]))
    few = auc_intervals(scores, labels, np.array([str(i % 4) for i in range(60)]))
    aucs = class_aucs(scores, labels)
    assert many is not None
    assert few is not None
    for (low, high), auc in zip(many, [*aucs, float(np.mean(aucs))], strict=True):
        assert 0 <= low <= auc <= high <= 1
    assert auc_intervals(scores, labels, np.array(["one"] * 60)) is None
