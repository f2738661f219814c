"""The quality model Q (paper, section 3 and Table 6) and the losses it is trained with (Eq. 1, section 9).

Ratings run from 0 (unnatural) to 10 (hyper-realistic). Shapes: B batch, S image size; µ and σ are B, in rating units:
mean and standard deviation of an image's raters.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn

from legan.models.layers import expect_images, full_precision, strided_trunk


class QualityModel(nn.Module):
    """Q: the naturalness of a face image, in rating units.

    The trunk of Table 6 (``layers`` convolutions, the first with ``width`` filters, then LeakyReLU), and two linear layers
    with nothing between. The last bias starts at ``mean_rating``, so that an untrained Q answers about that.

    ValueError for an image size that is not a multiple of 2^layers.

    >>> import torch
    >>> QualityModel(image_size=32, width=4, layers=3, hidden=8)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2])
    """

    def __init__(self, image_size: int = 128, width: int = 64, layers: int = 6, hidden: int = 256, mean_rating: float = 5.0):
        super().__init__()
        self.image_size, self.width, self.layers, self.hidden, self.mean_rating = image_size, width, layers, hidden, mean_rating
        self.trunk = strided_trunk(image_size, width, layers)
        self.fc0 = nn.Linear(width * 2 ** (layers - 1) * (image_size // 2**layers) ** 2, hidden)
        self.fc1 = nn.Linear(hidden, 1)
        nn.init.constant_(self.fc1.bias, mean_rating)

    def forward(self, x: Tensor) -> Tensor:
        """Rate images x, B×3×S×S in [-1, 1], black outside the face's hull; B ratings. ValueError for another shape."""
        expect_images(x, self.image_size)
        hidden = self.fc0(self.trunk(x).flatten(1))
        return full_precision(self.fc1(hidden)).squeeze(1)


def margin_loss(mu: Tensor, sigma: Tensor, prediction: Tensor) -> Tensor:
    """Eq. 1: mean of (σ − d²)² with d = µ − prediction. Its minima are at d² = σ, not at d = σ.

    >>> import torch
    >>> margin_loss(torch.tensor([7.0]), torch.tensor([4.0]), torch.tensor([5.0]))  # d = 2, d² = σ
    tensor(0.)
    """
    return (sigma - (mu - prediction).square()).square().mean()


def hinge_margin_loss(mu: Tensor, sigma: Tensor, prediction: Tensor) -> Tensor:
    """Section 9's alternative: mean of max(0, d² − σ); anything inside the margin is free."""
    return ((mu - prediction).square() - sigma).clamp_min(0).mean()


def absolute_margin_loss(mu: Tensor, sigma: Tensor, prediction: Tensor) -> Tensor:
    """Mean of |σ − |d||: the margin in rating units, as section 3's text describes it."""
    return (sigma - (mu - prediction).abs()).abs().mean()


def squared_loss(mu: Tensor, sigma: Tensor, prediction: Tensor) -> Tensor:
    """Plain regression on µ: mean of d². σ is not used."""
    del sigma
    return (mu - prediction).square().mean()


QUALITY_LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = MappingProxyType(
    {"margin": margin_loss, "hinge": hinge_margin_loss, "absolute": absolute_margin_loss, "squared": squared_loss}
)
