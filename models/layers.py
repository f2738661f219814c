"""Layers that the networks share: the two 4×4 convolutions, residual block, the three upsamplers, D's and Q's trunk.

Shapes: B batch, C channels, H×W height and width. Every layer keeps the memory format (contiguous or channels-last)
of its input, works in float32 and bfloat16, and under autocast.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.norm import InstanceNorm, memory_format

LEAKY_SLOPE = 0.01  # paper, sections 7 and 11
_STEEPEST = 0.98
# From these sizes on a product of matrices beats PyTorch's convolution (see HalvingConv).
_FEW_POSITIONS = 16
_LARGE_WEIGHT = 2**20


def full_precision(x: Tensor) -> Tensor:
    """Where autocast ends: float32 for what the losses read, unchanged outside autocast."""
    return x.float() if torch.is_autocast_enabled(x.device.type) else x


def squashed(change: Tensor, base: Tensor | None) -> Tensor:
    """tanh(change), or tanh(change + artanh(base)), where a ``base`` in [-1, 1] is to be changed instead of made anew.

    Bases are cut to ±0.98 first, beyond which tanh passes hardly any gradient; a change of 0 leaves all others as they are.
    B×3×H×W each; float32 also under autocast.

    >>> squashed(torch.zeros(2), torch.tensor([0.5, -1.0]))
    tensor([ 0.5000, -0.9800])
    """
    change = full_precision(change)
    if base is None:
        return torch.tanh(change)
    return torch.tanh(change + torch.atanh(base.to(change.dtype).clamp(-_STEEPEST, _STEEPEST)))


class SameConv(nn.Conv2d):
    """4×4 convolution of stride 1 that keeps H×W: zero padding of 1 before and 2 after. No bias."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, kernel_size=4, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W to B×C'×H×W."""
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class HalvingConv(nn.Conv2d):
    """4×4 convolution of stride 2 with zero padding of 1: H×W to H/2×W/2.

    On a CPU it is written as one matrix product where the weights are large and the map it makes is small: 4× faster
    than PyTorch's for Table 10's conv5 forward and backward, 6× in the gradient penalty's double backward.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True):
        super().__init__(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W to B×C'×H/2×W/2."""
        B, C, H, W = x.shape
        h, w = H // 2, W // 2
        if not self._as_product(h * w):
            return super().forward(x)
        patches = F.pad(x, (1, 1, 1, 1)).unfold(2, 4, 2).unfold(3, 4, 2)  # B×C×h×w×4×4
        order = (0, 2, 3, 4, 5, 1) if self._channels_last() else (0, 2, 3, 1, 4, 5)
        out = F.linear(patches.permute(order).reshape(B * h * w, 16 * C), self._matrix(), self.bias)
        return out.view(B, h, w, -1).permute(0, 3, 1, 2).contiguous(memory_format=memory_format(x))

    def transpose(self, g: Tensor) -> Tensor:
        """The gradient of ``(forward(x) * g).sum()`` with respect to x: B×C'×h×w to B×C×2h×2w."""
        B, _, h, w = g.shape
        if not self._as_product(h * w):
            return F.conv_transpose2d(g, self.weight, stride=2, padding=1)
        patches = F.linear(g.permute(0, 2, 3, 1).reshape(B, h * w, -1), self._matrix().t())  # B×hw×16C
        if self._channels_last():
            patches = patches.view(B, h * w, 16, -1).transpose(2, 3).reshape(B, h * w, -1)
        x = F.fold(patches.transpose(1, 2), (2 * h, 2 * w), kernel_size=4, stride=2, padding=1)
        return x.contiguous(memory_format=memory_format(g))

    def _as_product(self, positions: int) -> bool:
        return self.weight.device.type == "cpu" and positions <= _FEW_POSITIONS and self.weight.numel() >= _LARGE_WEIGHT

    def _channels_last(self) -> bool:
        return memory_format(self.weight) is torch.channels_last

    def _matrix(self) -> Tensor:
        """The weights, C'×16C, in the order in which they lie in memory, so that nothing is copied."""
        weight = self.weight.permute(0, 2, 3, 1) if self._channels_last() else self.weight
        return weight.reshape(self.out_channels, -1)


class DepthToSpace(nn.Module):
    """B×4C×H×W to B×C×2H×2W: channel (2i + j)·C + c becomes pixel (2h + i, 2w + j) of channel c.

    ``nn.PixelShuffle(2)`` reads its input channels in the order 4c + 2i + j. The convolution before it learns its own
    channels, so the order is only a name; this one moves whole runs of channels, 4× faster in channels-last.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shuffle; the layout of x is kept."""
        B, C, H, W = x.shape
        if memory_format(x) is torch.channels_last:
            cells = x.permute(0, 2, 3, 1).view(B, H, W, 2, 2, C // 4).transpose(2, 3)
            return cells.reshape(B, 2 * H, 2 * W, C // 4).permute(0, 3, 1, 2)
        cells = x.view(B, 2, 2, C // 4, H, W).permute(0, 3, 4, 1, 5, 2)
        return cells.reshape(B, C // 4, 2 * H, 2 * W).contiguous()


@torch.no_grad()
def equal_shuffles(network: nn.Module) -> None:
    """Give each convolution before a ``DepthToSpace`` of ``network`` the same weights for the four pixels of a cell.

    The maps start as enlarged by nearest neighbour, without a grid (ICNR, Aitken et al. 2017, arXiv:1707.02937).
    """
    for rows in network.modules():
        if isinstance(rows, nn.Sequential) and any(isinstance(row, DepthToSpace) for row in rows):
            (conv,) = (row for row in rows if isinstance(row, nn.Conv2d))
            conv.weight.copy_(conv.weight[: conv.out_channels // 4].repeat(4, 1, 1, 1))


class ResidualBlock(nn.Module):
    """RB of Tables 7–9: two 3×3 convolutions with instance norm, ReLU between them, input added."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm0 = InstanceNorm(channels, relu=True)
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm1 = InstanceNorm(channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W to the same shape."""
        out: Tensor = self.norm1(self.conv1(self.norm0(self.conv0(x))))
        return out.add_(x)


def norm_relu(*layers: nn.Module, channels: int) -> nn.Sequential:
    """The layers, then instance norm and ReLU: a 'conv' or 'PS' row of Tables 7–9 that is not the last."""
    named = [("conv" if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) else "resize", layer) for layer in layers]
    return nn.Sequential(OrderedDict([*named, ("norm", InstanceNorm(channels, relu=True))]))


def pixel_shuffle(channels: int) -> nn.Sequential:
    """PS of Tables 7–9: 3×3 convolution to 4·C channels, shuffled into twice the height and width."""
    conv = nn.Conv2d(channels, 4 * channels, kernel_size=3, padding=1, bias=False)
    return norm_relu(conv, DepthToSpace(), channels=channels)


def bilinear(channels: int) -> nn.Sequential:
    """Table 12: bilinear interpolation to twice the height and width, then a 3×3 convolution."""
    resize = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return norm_relu(resize, nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False), channels=channels)


def transposed(channels: int) -> nn.Sequential:
    """Table 12: 4×4 transposed convolution of stride 2."""
    conv = nn.ConvTranspose2d(channels, channels, kernel_size=4, stride=2, padding=1, bias=False)
    return norm_relu(conv, channels=channels)


UPSAMPLERS: Mapping[str, Callable[[int], nn.Sequential]] = MappingProxyType(
    {"pixel_shuffle": pixel_shuffle, "bilinear": bilinear, "transposed": transposed}
)


def strided_trunk(image_size: int, width: int, layers: int) -> nn.Sequential:
    """conv0 … of Tables 6 and 10: 4×4 convolutions of stride 2, width·2^i channels, LeakyReLU(0.01), no norm.

    He's initial weights: without a norm, PyTorch's own shrink the activations from layer to layer until hardly anything is left
    to learn from, and D stays where it is for hundreds of steps.

    B×3×S×S to B×(width·2^(layers−1))×S/2^layers×S/2^layers. ValueError when S cannot be halved ``layers`` times.
    """
    if layers < 1 or image_size % 2**layers:
        raise ValueError(
            f"image size {image_size} cannot be halved by {layers} layers; it has to be a multiple of {2 ** max(layers, 1)} "
            "with at least one layer."
        )
    channels = [3, *(width * 2**i for i in range(layers))]
    rows: list[tuple[str, nn.Module]] = []
    for i, (c_in, c_out) in enumerate(pairwise(channels)):
        conv = HalvingConv(c_in, c_out)
        nn.init.kaiming_normal_(conv.weight, a=LEAKY_SLOPE)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        rows.append((f"conv{i}", conv))
        rows.append((f"leaky{i}", nn.LeakyReLU(LEAKY_SLOPE, inplace=True)))
    return nn.Sequential(OrderedDict(rows))


def expect_images(x: Tensor, image_size: int) -> None:
    """ValueError unless x is B×3×S×S with S = ``image_size``."""
    if x.ndim != 4 or x.shape[1:] != (3, image_size, image_size):
        raise ValueError(
            f"this network reads images of shape B×3×{image_size}×{image_size}, not {'×'.join(map(str, x.shape))}; "
            "resize the images or build the network for their size."
        )
