"""What two images, or an image and its labels, have in common: pure functions, one value per image.

Shapes: B batch, C channels, H×W pixels, F features. Images are float in [-1, 1], in any floating type: everything is computed
in float64 (SSIM in float32), so that bf16 outputs are scored like any others. A mean over a data set is the mean of these values.
"""

import torch
from torch import Tensor

WINDOW_RADIUS = 5


def l1_distance(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of two B×C×H×W images, float64 B, in 0 (equal) to 2 (black against white).

    >>> l1_distance(torch.ones(1, 3, 16, 16), -torch.ones(1, 3, 16, 16))
    tensor([2.], dtype=torch.float64)
    """
    return (x.double() - y.double()).abs().mean(dim=(1, 2, 3))


def structural_similarity(x: Tensor, y: Tensor) -> Tensor:
    """SSIM of two B×C×H×W images (H, W ≥ 11), float64 B, in -1 to 1 (equal).

    Wang et al. 2004 by torchmetrics, on pixel values in [0, 1] (the luminance term depends on where black lies): Gaussian window
    of σ = 1.5 and radius 5, population covariance, per channel. Its image of similarities is cropped to the positions where the
    window lies inside, and averaged; torchmetrics' own mean counts a reflected border too. The same as scikit-image with
    ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``, up to 1e-5. ValueError for images smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # here: it takes seconds to import

    H, W = x.shape[2:]
    if min(H, W) < 2 * WINDOW_RADIUS + 1:
        raise ValueError(f"SSIM needs images of at least {2 * WINDOW_RADIUS + 1} pixels a side, not {H}×{W}")
    x, y = (x.float() + 1) / 2, (y.float() + 1) / 2  # in float64 its convolutions take ten times as long
    similarity = structural_similarity_index_measure(x, y, reduction="none", data_range=1.0, return_full_image=True)[1]
    inside: Tensor = similarity[:, :, WINDOW_RADIUS : H - WINDOW_RADIUS, WINDOW_RADIUS : W - WINDOW_RADIUS]
    return inside.double().mean(dim=(1, 2, 3))


def feature_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of two B×F feature vectors, float64 B, in -1 to 1; 0 where one of them is constant.

    The paper's match score (section 5).

    >>> feature_correlation(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[9.0, 8.0, 7.0]])).round(decimals=6)
    tensor([-1.], dtype=torch.float64)
    """
    a, b = a.double(), b.double()
    return torch.cosine_similarity(a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True), dim=1, eps=1e-12)


def is_class(logits: Tensor, classes: Tensor) -> Tensor:
    """Whether the largest of B×K logits is the wanted class (int64 B), float64 B of 0 and 1."""
    return (logits.argmax(dim=1) == classes).double()
