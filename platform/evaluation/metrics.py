"""What two images, or an image and its labels, have in common: pure functions, one value per image.

Shapes: B batch, C channels, H×W pixels, F features. Images are float in [-1, 1], in any floating type: everything is computed
in float64, so that bf16 outputs are scored like any others. A mean over a data set is the mean of these values.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW_SIGMA = 1.5
WINDOW_RADIUS = 5
K1, K2 = 0.01, 0.03


def l1_distance(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of two B×C×H×W images, float64 B, in 0 (equal) to 2 (black against white).

    >>> l1_distance(torch.ones(1, 3, 16, 16), -torch.ones(1, 3, 16, 16))
    tensor([2.], dtype=torch.float64)
    """
    return (x.double() - y.double()).abs().mean(dim=(1, 2, 3))


def structural_similarity(x: Tensor, y: Tensor) -> Tensor:
    """SSIM of two B×C×H×W images (H, W ≥ 11), float64 B, in -1 to 1 (equal).

    Wang et al. 2004, on pixel values in [0, 1] (the luminance term depends on where black lies): Gaussian window of σ = 1.5 and
    radius 5, population covariance, per channel, averaged over the channels and over the positions where the window lies inside
    the image. The same as scikit-image with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``. Raises ValueError
    for images smaller than the window.
    """
    B, C, H, W = x.shape
    if min(H, W) < 2 * WINDOW_RADIUS + 1:
        raise ValueError(f"SSIM needs images of at least {2 * WINDOW_RADIUS + 1} pixels a side, not {H}×{W}")
    x, y = (x.double() + 1) / 2, (y.double() + 1) / 2
    moments = _blur(torch.cat([x, y, x * x, y * y, x * y]))
    mean_x, mean_y, square_x, square_y, product = moments.reshape(5, B, C, *moments.shape[2:])
    variance_x, variance_y, covariance = square_x - mean_x**2, square_y - mean_y**2, product - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    similarity: Tensor = luminance * structure
    return similarity.mean(dim=(1, 2, 3))


def feature_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of two B×F feature vectors, float64 B, in -1 to 1; 0 where one of them is constant.

    The paper's match score (section 5).

    >>> feature_correlation(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[9.0, 8.0, 7.0]])).round(decimals=6)
    tensor([-1.], dtype=torch.float64)
    """
    a, b = a.double(), b.double()
    return F.cosine_similarity(a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True), dim=1, eps=1e-12)


def is_class(logits: Tensor, classes: Tensor) -> Tensor:
    """Whether the largest of B×K logits is the wanted class (int64 B), float64 B of 0 and 1."""
    return (logits.argmax(dim=1) == classes).double()


def _blur(x: Tensor) -> Tensor:
    """Each channel under the Gaussian window, without padding: N×C×H×W to N×C×(H-10)×(W-10)."""
    N, C, H, W = x.shape
    offsets = torch.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1, dtype=x.dtype, device=x.device)
    window = torch.exp(-(offsets**2) / (2 * WINDOW_SIGMA**2))
    window = window / window.sum()
    flat = x.reshape(N * C, 1, H, W)
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return flat.reshape(N, C, *flat.shape[2:])
