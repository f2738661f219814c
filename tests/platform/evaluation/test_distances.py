import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.defaults import DEFAULTS
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from legan.platform.evaluation import distances
from legan.platform.evaluation.distances import (
    FeatureStatistics,
    frechet_distance,
    frechet_distance_of_few,
    kernel_distance,
    squared_discrepancy,
)


def features(count: int, seed: int, size: int = 12, offset: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=generator)
    return torch.randn(count, size, generator=generator) @ mix + offset


def statistics(x: torch.Tensor, batch: int = 7) -> FeatureStatistics:
    found = FeatureStatistics()
    for part in x.split(batch):
        found.update(part)
    return found


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 60), batch=st.integers(1, 60), offset=st.sampled_from([0.0, 1e4, -1e6]))
def test_mean_and_covariance_are_numpys_however_the_batches_fall(count: int, batch: int, offset: float) -> None:
    x = features(count, count, offset=offset)
    found = statistics(x, batch)
    assert found.count == count
    np.testing.assert_allclose(found.mean, x.double().numpy().mean(0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.covariance, np.cov(x.double().numpy(), rowvar=False), rtol=1e-7, atol=1e-7)
    assert torch.equal(found.features, x)


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="needs at least two images, not 1"):
        _ = statistics(features(1, 0)).covariance


def test_frechet_distance_of_known_normals() -> None:
    """Independent axes: |Δµ|² + Σ (σ_a − σ_b)²."""
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * (3 / 4) ** 0.5  # covariance exactly 1
    a, b = statistics(signs * torch.tensor([1.0, 2.0])), statistics(signs * torch.tensor([3.0, 5.0]) + torch.tensor([4.0, 0.0]))
    assert frechet_distance(a, b) == pytest.approx(16 + 4 + 9)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(400, 300), (9, 300), (9, 7)])
def test_frechet_distance_is_torch_fidelitys_with_full_and_lacking_rank(n: int, m: int) -> None:
    x, y = features(n, 1), features(m, 2, offset=0.3)
    expected = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), verbose=False)
    value = expected["frechet_inception_distance"]
    assert frechet_distance(statistics(x), statistics(y)) == pytest.approx(value, rel=1e-5)
    assert frechet_distance_of_few(x, y) == pytest.approx(value, rel=1e-5)


def test_frechet_distance_of_a_class_with_many_images_makes_no_matrix_of_all_of_them() -> None:
    """30,000 × 30,000 numbers would have 7 GB, and their decomposition would take hours."""
    x, y = features(30_000, 1), features(30_000, 2, offset=0.3)
    assert frechet_distance_of_few(x, y) == pytest.approx(frechet_distance(statistics(x), statistics(y)), rel=1e-6)


def test_the_subsets_are_torch_fidelitys_by_default() -> None:
    assert (DEFAULTS["kid_subsets"], DEFAULTS["kid_subset_size"]) == (distances.KERNEL_SUBSETS, distances.KERNEL_SUBSET_SIZE)
    assert DEFAULTS["rng_seed"] == distances.KERNEL_SEED


@pytest.mark.parametrize(("n", "m"), [(130, 110), (100, 100), (40, 60), (50, 50)])
def test_kernel_distance_is_torch_fidelitys_subset_by_subset(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "KERNEL_SUBSET_SIZE", 100)
    x, y = features(n, 1), features(m, 2, offset=0.1)
    size = min(100, n, m)
    expected = kid_features_to_metric(x, y, kid_subset_size=size, verbose=False)["kernel_inception_distance_mean"]
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-4)


def test_the_discrepancy_is_the_sum_over_pairs() -> None:
    x, y = features(4, 1, size=3).double().numpy(), features(5, 2, size=3).double().numpy()

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / 3 + 1) ** 3

    within_x = np.mean([k(x[i], x[j]) for i in range(4) for j in range(4) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    assert squared_discrepancy(x, y) == pytest.approx(within_x + within_y - 2 * between)
