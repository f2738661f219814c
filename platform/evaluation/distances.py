"""Distances between two sets of images by their features: Fréchet's and the kernel's, as FID and KID are made of.

Shapes: n and m images, F features. Sums are in float64 whatever the features are. Which network gives the features, and with
it the distance's name, is decided in features.py.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

KERNEL_SUBSETS, KERNEL_SUBSET_SIZE, KERNEL_SEED = 100, 1000, 2020


@dataclass
class FeatureStatistics:
    """Count, mean and covariance of features that come batch by batch, and the features themselves for the kernel distance.

    Mean and scatter are merged as in Chan et al. 1983, which keeps its digits where sums of squares lose them.

    >>> a, b = FeatureStatistics(), FeatureStatistics()
    >>> a.update(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    >>> b.update(torch.tensor([[3.0, 1.0], [5.0, 3.0]]))
    >>> round(frechet_distance(a, b), 6)  # equal covariances, means 3 apart
    9.0
    """

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    scatter: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))
    kept: list[Tensor] = field(default_factory=list)

    def update(self, features: Tensor) -> None:
        """Take a batch, B×F."""
        x = features.double()
        batch_mean = x.mean(dim=0)
        centred = x - batch_mean
        if self.count == 0:
            self.mean, self.scatter = torch.zeros_like(batch_mean), centred.new_zeros(x.shape[1], x.shape[1])
        total = self.count + len(x)
        delta = batch_mean - self.mean
        self.scatter += centred.T @ centred + torch.outer(delta, delta) * (self.count * len(x) / total)
        self.mean += delta * (len(x) / total)
        self.count = total
        self.kept.append(features.float().cpu())

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance, float64 F×F; ValueError for fewer than two images."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least two images, not {self.count}")
        return self.scatter / (self.count - 1)

    @property
    def features(self) -> Tensor:
        """All features in the order they came, float32 count×F on the CPU."""
        return torch.cat(self.kept)


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """|µ_a − µ_b|² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½): the Fréchet distance of the two normal distributions, 0 or more.

    The trace of the root is summed over the eigenvalues of Σ_a^½ Σ_b Σ_a^½, a symmetric matrix with those of Σ_a Σ_b. The
    distance of finite sets is biased upwards, the more the fewer images: compare only numbers with the same n.
    """
    covariance_a, covariance_b = a.covariance.cpu(), b.covariance.cpu()
    values, vectors = torch.linalg.eigh(covariance_a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = root @ covariance_b @ root
    of_root = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    return _frechet(a.mean.cpu() - b.mean.cpu(), covariance_a.trace() + covariance_b.trace(), of_root)


def frechet_distance_of_few(x: Tensor, y: Tensor) -> float:
    """``frechet_distance`` of features n×F and m×F where n or m is below F: no F×F matrix is made unless both are above.

    With the centred features X/√(n−1) and Y/√(m−1) as factors of the covariances, tr (Σ_x Σ_y)^½ is the nuclear norm of X Yᵀ,
    and that of R_x R_yᵀ with X = Q_x R_x and Y = Q_y R_y.
    """
    x, y = x.double(), y.double()
    a, b = (x - x.mean(dim=0)) / (len(x) - 1) ** 0.5, (y - y.mean(dim=0)) / (len(y) - 1) ** 0.5
    of_root = torch.linalg.svdvals(_triangle(a) @ _triangle(b).T).sum()
    return _frechet(x.mean(dim=0) - y.mean(dim=0), a.square().sum() + b.square().sum(), of_root)


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Kernel distance of features n×F and m×F: mean ``squared_discrepancy`` of 100 pairs of subsets of 1000 (all, if fewer).

    Bińkowski et al. 2018; the subsets are torch-fidelity's, drawn from its default seed. Unbiased, so it may be below 0.
    """
    a, b = (features.double().cpu().numpy() for features in (x, y))
    size = min(KERNEL_SUBSET_SIZE, len(a), len(b))
    if size == len(a) == len(b):
        return squared_discrepancy(a, b)
    draws = np.random.RandomState(KERNEL_SEED)  # torch-fidelity's generator: the same subsets, the same number
    values = []
    for _ in range(KERNEL_SUBSETS):
        of_a, of_b = draws.choice(len(a), size, replace=False), draws.choice(len(b), size, replace=False)
        values.append(squared_discrepancy(a[of_a], b[of_b]))
    return float(np.mean(values))


def squared_discrepancy(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Unbiased squared maximum mean discrepancy of n×F and m×F under the kernel (x·y / F + 1)³; n, m ≥ 2."""
    within = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (_kernel(x, x), _kernel(y, y))]
    return float(sum(within) - 2 * _kernel(x, y).mean())


def _triangle(x: Tensor) -> Tensor:
    """R of x = Q R: min(n, F)×F."""
    triangle: Tensor = torch.linalg.qr(x, mode="r").R
    return triangle


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    base: NDArray[np.float64] = x @ y.T / x.shape[1] + 1
    return base * base * base


def _frechet(delta: Tensor, traces: Tensor, of_root: Tensor) -> float:
    return max(0.0, float(delta @ delta + traces - 2 * of_root))
