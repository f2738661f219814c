"""Distances between two sets of images by their features: Fréchet's and the kernel's, as FID and KID are made of.

Shapes: n and m images, F features. Sums are in float64 whatever the features are. Which network gives the features, and with
it the distance's name, is decided in features.py. torchmetrics is imported where it is needed, since it imports torchvision and
more: seconds that not everybody who knows of distances has to wait.
"""

import math
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

KERNEL_SUBSETS, KERNEL_SUBSET_SIZE, KERNEL_SEED = 100, 1000, 2020
SIZES, LEAST_PER_FEATURE = 6, 2
"""Steps up to all images, of which the upper half is taken; and the fewest images for each feature of a network."""
CUSTOMARY = 2048
"""Images from which on the field takes a FID for one."""


class DistancesTo:
    """Distances of sets of images to one set of real ones, by torchmetrics' FID.

    Its extractor gives back what it gets: each image's features are computed once, for all that compares images by them.
    """

    def __init__(self, real: Tensor):
        """Hold sets against the features of real images, m×F."""
        from torchmetrics.image.fid import FrechetInceptionDistance

        self.real = real
        self._frechet = FrechetInceptionDistance(feature=_Given(real.shape[1]), reset_real_features=False)
        self._frechet.update(real, real=True)

    def frechet(self, features: Tensor) -> float:
        """|µ_x − µ_y|² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½) of n×F features: 0 or more, NaN where n or m is below 2.

        The distance of finite sets is biased upwards, the more the fewer images: compare only numbers with the same n and m.

        >>> square = torch.tensor([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]])
        >>> round(DistancesTo(square).frechet(square + torch.tensor([3.0, 0.0])), 6)  # equal covariances, means 3 apart
        9.0
        """
        if min(len(features), len(self.real)) < 2:
            return float("nan")
        self._frechet.update(features, real=False)
        distance = float(self._frechet.compute())
        self._frechet.reset()
        return max(0.0, distance)

    def kernel(self, features: Tensor) -> float:
        """The kernel distance of n×F features, as ``kernel_distance``."""
        return kernel_distance(features, self.real)


def frechet_distance_of_few(x: Tensor, y: Tensor) -> float:
    """``DistancesTo.frechet`` of features n×F and m×F where n or m is below F: no F×F matrix is made unless both are above.

    With the centred features X/√(n−1) and Y/√(m−1) as factors of the covariances, tr (Σ_x Σ_y)^½ is the nuclear norm of X Yᵀ,
    and that of R_x R_yᵀ with X = Q_x R_x and Y = Q_y R_y. NaN where n or m is below 2.
    """
    if min(len(x), len(y)) < 2:
        return float("nan")
    x, y = x.double(), y.double()
    a, b = (x - x.mean(dim=0)) / (len(x) - 1) ** 0.5, (y - y.mean(dim=0)) / (len(y) - 1) ** 0.5
    delta, traces = x.mean(dim=0) - y.mean(dim=0), a.square().sum() + b.square().sum()
    of_root = torch.linalg.svdvals(_triangle(a) @ _triangle(b).T).sum()
    return max(0.0, float(delta @ delta + traces - 2 * of_root))


def by_size(x: Tensor, y: Tensor, of_all: float, seed: int = 0) -> dict[float, float]:
    """The Fréchet distance of n×F features to m×F by the number N of the n that are taken, and what it tends to as N grows.

    ``of_all`` is that of all n. Fewer, and infinity, are there where n and m are at least 2·F: with fewer the covariance is far
    from its own. At infinity stands the intercept of the line through the others over 1/N (Chong and Forsyth 2020, FID∞). The
    order is drawn by ``seed``.
    """
    n, F = x.shape
    if min(n, len(y)) < LEAST_PER_FEATURE * F:
        return {n: of_all}
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    fewer = [n * k // SIZES for k in range(SIZES // 2, SIZES)]
    found: dict[float, float] = {size: frechet_distance_of_few(x[order[:size]], y) for size in fewer}
    found[n] = of_all
    return {**found, math.inf: at_infinity(found)}


def at_infinity(distances: Mapping[float, float]) -> float:
    """The intercept of the least squares line of distances, by N, over 1/N.

    >>> round(at_infinity({100: 5.0, 200: 4.5, 400: 4.25}), 6)
    4.0
    """
    _, intercept = np.polyfit([1 / size for size in distances], list(distances.values()), 1)
    return float(intercept)


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Kernel distance of features n×F and m×F by torchmetrics' KID: mean over 100 pairs of subsets of 1000, or all if fewer.

    Bińkowski et al. 2018, the kernel (x·y / F + 1)³. Unbiased, so it may be below 0; NaN where n or m is below 2. The subsets
    are the same at every call.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(KERNEL_SUBSET_SIZE, len(x), len(y))
    if size < 2:
        return float("nan")
    subsets = 1 if size == len(x) == len(y) else KERNEL_SUBSETS
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it warns that it keeps the features
        torch.manual_seed(KERNEL_SEED)
        metric = KernelInceptionDistance(feature=_Given(x.shape[1]), subsets=subsets, subset_size=size)
        metric.update(x.double(), real=False)
        metric.update(y.double(), real=True)
        mean, _ = metric.compute()
    return float(mean)


class _Given(nn.Module):
    """An extractor for features that are computed already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _triangle(x: Tensor) -> Tensor:
    """R of x = Q R: min(n, F)×F."""
    triangle: Tensor = torch.linalg.qr(x, mode="r").R
    return triangle
