"""Held against scikit-learn's ROC and against counts."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from legan.models.verification import FacePairs, area_under_roc, face_pairs, rates_at, threshold_at, verification_auc


def drawn(seed: int, strangers: int, ties: bool = False) -> FacePairs:
    rng = np.random.default_rng(seed)
    alike = np.concatenate([rng.normal(0.6, 0.2, 300), rng.normal(0.1, 0.2, strangers)]).clip(-1, 1)
    if ties:
        alike = alike.round(1)
    same = np.arange(len(alike)) < 300
    order = rng.permutation(len(alike))
    return FacePairs(torch.from_numpy(alike[order]), torch.from_numpy(same[order]))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("strangers", "rate"), [(100, 0.01), (864, 0.01), (1234, 0.02), (5000, 0.01), (1000, 0.3)])
def test_the_threshold_is_scikit_learns(strangers: int, rate: float, ties: bool) -> None:
    pairs = drawn(strangers, strangers, ties)
    false, true, thresholds = roc_curve(pairs.same, pairs.alike, drop_intermediate=False)
    allowed = np.flatnonzero(false <= rate)
    threshold = threshold_at(pairs, rate)
    if false[allowed].max() == 0:
        assert threshold is None  # as many are equally alike as may not pass
        return
    # The highest threshold of those that let the most strangers pass.
    place = allowed[np.argmax(false[allowed])]
    assert threshold == thresholds[place]
    assert rates_at(pairs, threshold) == pytest.approx((true[place], false[place]))
    if not ties:
        assert int((pairs.alike[~pairs.same] >= threshold).sum()) == int(rate * strangers)


def test_strangers_that_are_equally_alike_all_pass_or_none() -> None:
    alike = torch.tensor([0.9, 0.9, 0.8, 0.8, 0.8, *[0.1] * 95, 0.95, 0.85])
    pairs = FacePairs(alike.double(), torch.arange(102) >= 100)
    assert threshold_at(pairs, 0.05) == pytest.approx(0.8)
    assert threshold_at(pairs, 0.04) == pytest.approx(0.9)
    assert rates_at(pairs, threshold_at(pairs, 0.04) or 0) == (0.5, 0.02)
    assert threshold_at(pairs, 0.01) is None


def test_fewer_strangers_than_one_in_the_rate_set_no_threshold() -> None:
    assert threshold_at(drawn(0, 99), 0.01) is None
    assert threshold_at(drawn(0, 100), 0.01) is not None
    nobody = FacePairs(torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.bool))
    assert threshold_at(nobody) is None
    assert rates_at(nobody, 0.0) == (1.0, None)


def test_pairs_are_all_pairs_by_correlation() -> None:
    features = torch.from_numpy(np.random.default_rng(1).normal(size=(7, 5)))
    subjects = torch.tensor([0, 0, 1, 2, 1, 0, 2])
    pairs = face_pairs(features.float(), subjects)
    first, second = np.triu_indices(7, 1)
    np.testing.assert_allclose(pairs.alike, np.corrcoef(features)[first, second], atol=1e-6)
    assert pairs.same.tolist() == (subjects[first] == subjects[second]).tolist()


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_is_scikit_learns(ties: bool) -> None:
    pairs = drawn(3, 700, ties)
    assert area_under_roc(pairs) == pytest.approx(roc_auc_score(pairs.same, pairs.alike), abs=1e-6)
    assert area_under_roc(FacePairs(pairs.alike, torch.ones_like(pairs.same))) is None


@pytest.mark.parametrize(("subjects", "area"), [([0, 0, 1, 1], 1.0), ([0, 1, 0, 1], 2 / 8)])
def test_the_area_of_cosines_by_hand(subjects: list[int], area: float) -> None:
    # Subjects 0, 1, 0, 1: same pairs have cosines 0 and 0.198; the others 0.995, 0.0995, 0.0995, 0.995. Of the eight
    # comparisons the same pair wins two: 0.198 against 0.0995, twice.
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    assert verification_auc(features, torch.tensor(subjects)) == pytest.approx(area)
    equal: Tensor = torch.ones(4, 3)
    assert verification_auc(equal, torch.tensor([0, 0, 1, 1])) == 0.5
