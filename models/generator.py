"""LEGAN's generator (paper, section 4.1 and Tables 7–9).

Shapes: B batch, H×W image, E expressions, L lightings, A = E + L attributes.
"""

from bisect import bisect_left
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from legan.models.layers import UPSAMPLERS, ResidualBlock, SameConv, norm_relu, squashed
from legan.models.norm import memory_format


class Translation(NamedTuple):
    """What the generator returns; all B×3×H×W in [-1, 1]. Masks are None in the single-hourglass ablation."""

    image: Tensor
    expression_mask: Tensor | None
    lighting_mask: Tensor | None


class Hourglass(nn.Module):
    """One of Tables 7–9: in_channels planes in, an image or mask of three channels out.

    ``width`` is conv0's number of filters and ``blocks`` the number of residual blocks; 64 and 6 in the paper.
    """

    def __init__(self, in_channels: int, *, width: int = 64, blocks: int = 6, upsampling: str = "pixel_shuffle"):
        super().__init__()
        if upsampling not in UPSAMPLERS:
            raise ValueError(f"unknown upsampling {upsampling!r}; there are: {', '.join(UPSAMPLERS)}.")
        upsample = UPSAMPLERS[upsampling]
        C0, C1, C2 = width, 2 * width, 4 * width
        self.conv0 = norm_relu(nn.Conv2d(in_channels, C0, kernel_size=7, padding=3, bias=False), channels=C0)
        self.conv1 = norm_relu(nn.Conv2d(C0, C1, kernel_size=4, stride=2, padding=1, bias=False), channels=C1)
        self.conv2 = norm_relu(nn.Conv2d(C1, C2, kernel_size=4, stride=2, padding=1, bias=False), channels=C2)
        self.rb = nn.Sequential(*(ResidualBlock(C2) for _ in range(blocks)))
        self.ps0 = upsample(C2)
        self.conv3 = norm_relu(SameConv(C2, C1), channels=C1)
        self.ps1 = upsample(C1)
        self.conv4 = norm_relu(SameConv(C1, C0), channels=C0)
        self.conv5 = nn.Conv2d(C0, 3, kernel_size=7, padding=3, bias=False)

    def forward(self, x: Tensor, base: Tensor | None = None) -> Tensor:
        """B×in_channels×H×W to B×3×H×W in [-1, 1]; ValueError unless H and W are multiples of 4.

        Where there is a ``base``, B×3×H×W, it is changed (see ``squashed``).
        """
        expect_quarters(x)
        h = self.conv2(self.conv1(self.conv0(x)))
        h = self.rb(h)
        h = self.conv3(self.ps0(h))
        h = self.conv4(self.ps1(h))
        return squashed(self.conv5(h), base)


class Generator(nn.Module):
    """G: an image and target labels to the image under them, by way of an expression mask Me and a lighting mask Ml.

    ``disentangled=False`` is Table 11's "wo/ disentangling": one hourglass that reads the image and all labels.
    With ``residual=True``, which the paper has not, each hourglass changes what it reads: the masks begin as the image, and the
    output as the mean of both masks.
    At the paper's width and with 6 + 20 classes it has 34 185 152 parameters.

    >>> G = Generator(expressions=2, lightings=3, width=4, blocks=1)
    >>> f = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.0]])  # the second expression under the first lighting
    >>> translated = G(torch.zeros(1, 3, 32, 32), f)
    >>> translated.image.shape, translated.lighting_mask.shape
    (torch.Size([1, 3, 32, 32]), torch.Size([1, 3, 32, 32]))
    """

    def __init__(
        self,
        expressions: int,
        lightings: int,
        width: int = 64,
        blocks: int = 6,
        upsampling: str = "pixel_shuffle",
        disentangled: bool = True,
        residual: bool = False,
    ):
        super().__init__()
        self.expressions, self.lightings, self.disentangled = expressions, lightings, disentangled
        self.width, self.blocks, self.upsampling, self.residual = width, blocks, upsampling, residual

        def hourglass(in_channels: int) -> Hourglass:
            return Hourglass(in_channels, width=width, blocks=blocks, upsampling=upsampling)

        if disentangled:
            self.expression = hourglass(3 + expressions)  # Table 7
            self.lighting = hourglass(3 + lightings)  # Table 8
            self.target = hourglass(6)  # Table 9
        else:
            self.target = hourglass(3 + expressions + lightings)

    def forward(self, x: Tensor, f: Tensor) -> Translation:
        """Translate images x, B×3×H×W in [-1, 1], to labels f, B×A = [expression one-hot | lighting one-hot].

        The output keeps x's memory format; it is float32 also under autocast.
        """
        expect_labels(x, f, self.expressions + self.lightings)
        base = x if self.residual else None
        if not self.disentangled:
            return Translation(self.target(with_labels(x, f), base), None, None)
        c_e, c_l = torch.split(f, [self.expressions, self.lightings], dim=1)
        mask_e = self.expression(with_labels(x, c_e), base)
        mask_l = self.lighting(with_labels(x, c_l), base)
        image = self.target(torch.cat([mask_e, mask_l], dim=1), (mask_e + mask_l) / 2 if self.residual else None)
        return Translation(image, mask_e, mask_l)


def matched_width(expressions: int, lightings: int, width: int, blocks: int, upsampling: str = "pixel_shuffle") -> int:
    """The width at which one hourglass (``disentangled=False``) has most nearly as many parameters as three of ``width``.

    >>> matched_width(expressions=6, lightings=20, width=64, blocks=6)  # 34 292 784 parameters, where three have 34 185 152
    111
    """

    @cache
    def size(width: int, disentangled: bool = False) -> int:
        with torch.device("meta"):
            G = Generator(expressions, lightings, width, blocks, upsampling, disentangled)
        return sum(each.numel() for each in G.parameters())

    three = size(width, disentangled=True)
    larger = width + bisect_left(range(width, 2 * width), three, key=size)
    return min(larger - 1, larger, key=lambda one: abs(size(one) - three))


def with_labels(x: Tensor, c: Tensor) -> Tensor:
    """Each label, B×K, spread over a plane and put behind the image's channels: B×(3+K)×H×W in x's layout."""
    planes = c.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, planes], dim=1).contiguous(memory_format=memory_format(x))


def expect_labels(x: Tensor, f: Tensor, attributes: int) -> None:
    """ValueError unless f holds one label vector of this length for each image of x."""
    if f.shape != (x.shape[0], attributes):
        raise ValueError(f"labels have to be {x.shape[0]}×{attributes} for these images, not {'×'.join(map(str, f.shape))}.")


def expect_quarters(x: Tensor) -> None:
    """ValueError unless x, B×C×H×W, can be halved twice."""
    if x.shape[2] % 4 or x.shape[3] % 4:
        raise ValueError(f"the generator halves images twice, so {x.shape[2]}×{x.shape[3]} has to be a multiple of 4.")
