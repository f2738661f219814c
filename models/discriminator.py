"""LEGAN's discriminator (paper, section 4.1 and Table 10).

Shapes: B batch, S image size, h = w = S / 2^layers, A attributes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.layers import LEAKY_SLOPE, HalvingConv, expect_images, full_precision, strided_trunk

CLASSIFIERS = ("average", "valid")


class Judgement(NamedTuple):
    """What the discriminator returns: the realness map D_src, B×1×h×w, and the class logits D_cls, B×A."""

    source: Tensor
    logits: Tensor


class Discriminator(nn.Module):
    """D: is the image real, patch by patch, and which attributes does it show?

    ``layers`` convolutions of stride 2, the first with ``width`` filters; 6 and 64 in the paper. ``classifier`` is the head
    of D_cls: ``average`` is Table 10's 1×1 convolution, its logits averaged over the map; ``valid`` is StarGAN's
    convolution as large as the map. Neither head has a bias, as in StarGAN. At the paper's size 44 774 336 parameters.

    ValueError for an unknown classifier, or an image size that is not a multiple of 2^layers.

    >>> judgement = Discriminator(attributes=5, image_size=32, width=4, layers=3)(torch.zeros(2, 3, 32, 32))
    >>> judgement.source.shape, judgement.logits.shape
    (torch.Size([2, 1, 4, 4]), torch.Size([2, 5]))
    """

    def __init__(self, attributes: int, image_size: int = 128, width: int = 64, layers: int = 6, classifier: str = "average"):
        super().__init__()
        if classifier not in CLASSIFIERS:
            raise ValueError(f"unknown classifier head {classifier!r}; there are: {', '.join(CLASSIFIERS)}.")
        self.attributes, self.image_size, self.width = attributes, image_size, width
        self.layers, self.classifier = layers, classifier
        self.trunk = strided_trunk(image_size, width, layers)
        channels = width * 2 ** (layers - 1)
        kernel = 1 if classifier == "average" else image_size // 2**layers
        self.src = nn.Conv2d(channels, 1, kernel_size=3, padding=1, bias=False)  # conv6
        self.cls = nn.Conv2d(channels, attributes, kernel_size=kernel, bias=False)  # conv7

    def forward(self, x: Tensor) -> Judgement:
        """Judge images x, B×3×S×S in [-1, 1]; ValueError for another shape. Float32 also under autocast."""
        expect_images(x, self.image_size)
        h = self.trunk(x)
        return Judgement(full_precision(self.src(h)), full_precision(self.cls(h)).mean((2, 3)))

    def source_gradient(self, x: Tensor) -> Tensor:
        """∇ΣD_src(x) with respect to x, B×3×S×S, as a function of D's weights: the gradient in Eq. 2's penalty.

        LeakyReLU makes D_src piecewise linear in x. So the gradient is the transposed convolutions in reverse order, with the
        slopes of x's forward pass between them; that pass needs no graph. Differentiating this takes half the time of
        differentiating autograd's backward pass, which carries the slopes' zero derivatives through all layers.
        No gradient flows to x. Float32 or wider, also under autocast. ValueError for another shape of x.
        """
        expect_images(x, self.image_size)
        slopes: list[Tensor] = []
        convs = [layer for layer in self.trunk if isinstance(layer, HalvingConv)]
        with torch.autocast(x.device.type, enabled=False):
            with torch.no_grad():
                h = x
                for conv in convs:
                    h = conv(h)
                    slopes.append(torch.where(h > 0, 1.0, LEAKY_SLOPE).to(h.dtype))
                    h = h * slopes[-1]
            g = F.conv_transpose2d(torch.ones_like(h[:, :1]), self.src.weight, padding=1)
            for conv, slope in zip(reversed(convs), reversed(slopes), strict=True):
                g = conv.transpose(g * slope)
        return g
