import math

import numpy as np
import pytest
import torch
from torch_fidelity.defaults import DEFAULTS
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from legan.platform.evaluation import distances
from legan.platform.evaluation.distances import DistancesTo, at_infinity, by_size, frechet_distance_of_few, kernel_distance


def features(count: int, seed: int, size: int = 12, offset: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=generator)
    return torch.randn(count, size, generator=generator) @ mix + offset


def test_distances_of_fewer_than_two_images_are_no_number() -> None:
    one, two = features(1, 0), features(2, 0)
    for x, y in ((one, two), (two, one)):
        assert np.isnan([DistancesTo(y).frechet(x), DistancesTo(y).kernel(x), frechet_distance_of_few(x, y)]).all()


def test_frechet_distance_of_known_normals() -> None:
    """Independent axes: |Δµ|² + Σ (σ_a − σ_b)²."""
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * (3 / 4) ** 0.5  # covariance exactly 1
    a, b = signs * torch.tensor([1.0, 2.0]), signs * torch.tensor([3.0, 5.0]) + torch.tensor([4.0, 0.0])
    assert [DistancesTo(b).frechet(a), frechet_distance_of_few(a, b)] == pytest.approx([29, 29])
    assert DistancesTo(a).frechet(a) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("n", "m"), [(400, 300), (9, 300), (9, 7)])
def test_frechet_distance_is_torch_fidelitys_with_full_and_lacking_rank(n: int, m: int) -> None:
    x, y = features(n, 1), features(m, 2, offset=0.3)
    expected = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), verbose=False)
    value = expected["frechet_inception_distance"]
    to_y = DistancesTo(y)
    to_y.frechet(features(50, 3))  # sets before it leave nothing behind
    assert to_y.frechet(x) == pytest.approx(value, rel=1e-5)
    assert frechet_distance_of_few(x, y) == pytest.approx(value, rel=1e-5)


def test_frechet_distance_of_a_class_with_many_images_makes_no_matrix_of_all_of_them() -> None:
    """30,000 × 30,000 numbers would have 7 GB, and their decomposition would take hours."""
    x, y = features(30_000, 1), features(30_000, 2, offset=0.3)
    assert frechet_distance_of_few(x, y) == pytest.approx(DistancesTo(y).frechet(x), rel=1e-6)


def test_as_many_subsets_of_the_same_size_are_drawn_as_torch_fidelity_draws_by_default() -> None:
    assert (DEFAULTS["kid_subsets"], DEFAULTS["kid_subset_size"]) == (distances.KERNEL_SUBSETS, distances.KERNEL_SUBSET_SIZE)


def test_kernel_distance_of_all_images_is_torch_fidelitys() -> None:
    x, y = features(50, 1), features(50, 2, offset=0.1)
    expected = kid_features_to_metric(x, y, kid_subset_size=50, verbose=False)["kernel_inception_distance_mean"]
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(130, 110), (100, 400), (40, 60)])
def test_kernel_distance_of_subsets_is_torch_fidelitys_up_to_the_draw(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two draw other subsets: their means over 100 are less than three standard errors apart."""
    monkeypatch.setattr(distances, "KERNEL_SUBSET_SIZE", 100)
    x, y = features(n, 1), features(m, 2, offset=0.1)
    expected = kid_features_to_metric(x, y, kid_subset_size=min(100, n, m), verbose=False)
    error = expected["kernel_inception_distance_std"] / 100**0.5
    assert kernel_distance(x, y) == pytest.approx(expected["kernel_inception_distance_mean"], abs=3 * 2**0.5 * error)


def test_kernel_distance_draws_the_same_subsets_again_and_disturbs_nobodys_random_numbers() -> None:
    before = torch.get_rng_state()
    assert kernel_distance(features(30, 1), features(20, 2)) == kernel_distance(features(30, 1), features(20, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_discrepancy_is_the_sum_over_pairs() -> None:
    x, y = features(4, 1, size=3).double().numpy(), features(4, 2, size=3).double().numpy()

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / 3 + 1) ** 3

    within_x = np.mean([k(x[i], x[j]) for i in range(4) for j in range(4) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(within_x + within_y - 2 * between)


def test_the_distance_to_any_number_of_images_is_that_of_the_normals_themselves() -> None:
    """Two standard normals of 32 axes, their means 1 apart: 1. What finite sets add falls with 1/N."""
    x = torch.randn(600, 32, generator=torch.Generator().manual_seed(1))
    y = torch.randn(20_000, 32, generator=torch.Generator().manual_seed(2))
    same, apart = (by_size(each, y, frechet_distance_of_few(each, y)) for each in (x, x + 32**-0.5))
    assert list(same) == [300, 400, 500, 600, math.inf]
    assert same[300] > same[600] > 0.3
    assert same[math.inf] == pytest.approx(0.0, abs=0.1)
    assert apart[600] > 1.3
    assert apart[math.inf] == pytest.approx(1.0, abs=0.2)


def test_few_images_have_their_own_number_alone() -> None:
    x, y = features(20, 1), features(300, 2)
    assert by_size(x, y, 3.0) == {20: 3.0}


def test_the_end_is_the_intercept_over_one_by_n() -> None:
    assert at_infinity({100: 5.0, 200: 4.5, 400: 4.25}) == pytest.approx(4.0)
