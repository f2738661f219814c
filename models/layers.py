"""Layers that the networks share: 'same' 4×4 convolution, instance norm, residual block, the three upsamplers.

Shapes: B batch, C channels, H×W height and width. Every layer keeps the memory format (contiguous or channels-last)
of its input, works in float32 and bfloat16, and under autocast.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LEAKY_SLOPE = 0.01  # paper, sections 7 and 11
_EPS = 1e-5
# On maps smaller than this, PyTorch's channels-last group norm walks the channels one at a time (measured: 20 ms
# for 0.4 ms of work), and on larger ones it is the fastest there is.
_SMALL_MAP = 1024


def memory_format(x: Tensor) -> torch.memory_format:
    """The layout of a B×C×H×W tensor; contiguous where both would describe it."""
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        return torch.channels_last
    return torch.contiguous_format


def full_precision(x: Tensor) -> Tensor:
    """Where autocast ends: float32 for what the losses read, unchanged outside autocast."""
    return x.float() if torch.is_autocast_enabled(x.device.type) else x


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Affine instance normalisation over each map of x, B×C×H×W, biased variance, ε = 1e-5; the same dtype back.

    Mathematically ``nn.InstanceNorm2d(affine=True)``, which on a CPU copies channels-last tensors to and fro; group norm
    with C groups is the same, but its channels-last backward pass is slow, so that pass is written out here.
    """
    with torch.autocast(x.device.type, enabled=False):
        if x.device.type == "cpu" and memory_format(x) is torch.channels_last:
            normed: Tensor = _ChannelsLastInstanceNorm.apply(x, weight, bias)
            return normed
        if x.device.type != "cpu":  # the CPU takes float32 weights with bfloat16 maps, CUDA does not
            weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        normed = F.group_norm(x, x.shape[1], weight, bias, _EPS)
        return normed.contiguous(memory_format=memory_format(x))


class InstanceNorm(nn.Module):
    """Affine instance norm without running statistics (paper, section 11); parameters as in ``nn.InstanceNorm2d``."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W to the same shape."""
        return instance_norm(x, self.weight, self.bias)


class SameConv(nn.Conv2d):
    """4×4 convolution of stride 1 that keeps H×W: zero padding of 1 before and 2 after. No bias."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, kernel_size=4, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W to B×C'×H×W."""
        return super().forward(F.pad(x, (0, 1, 0, 1)))


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
        return cells.reshape(B, C // 4, 2 * H, 2 * W)


class ResidualBlock(nn.Module):
    """RB of Tables 7–9: two 3×3 convolutions with instance norm, ReLU between them, input added."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm0 = InstanceNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm1 = InstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W to the same shape."""
        hidden = F.relu(self.norm0(self.conv0(x)), inplace=True)
        out: Tensor = self.norm1(self.conv1(hidden))
        return out.add_(x)


def norm_relu(*layers: nn.Module, channels: int) -> nn.Sequential:
    """The layers, then instance norm and ReLU: a 'conv' or 'PS' row of Tables 7–9 that is not the last."""
    named = [("conv" if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) else "resize", layer) for layer in layers]
    return nn.Sequential(OrderedDict([*named, ("norm", InstanceNorm(channels)), ("relu", nn.ReLU(inplace=True))]))


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
        rows.append((f"conv{i}", nn.Conv2d(c_in, c_out, kernel_size=4, stride=2, padding=1)))
        rows.append((f"leaky{i}", nn.LeakyReLU(LEAKY_SLOPE, inplace=True)))
    return nn.Sequential(OrderedDict(rows))


def expect_images(x: Tensor, image_size: int) -> None:
    """ValueError unless x is B×3×S×S with S = ``image_size``."""
    if x.ndim != 4 or x.shape[1:] != (3, image_size, image_size):
        raise ValueError(
            f"this network reads images of shape B×3×{image_size}×{image_size}, not {'×'.join(map(str, x.shape))}; "
            "resize the images or build the network for their size."
        )


class _ChannelsLastInstanceNorm(torch.autograd.Function):
    """Instance norm of a channels-last CPU tensor: the fastest kernel for each size, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        B, C, H, W = x.shape
        if H * W >= _SMALL_MAP:
            y, mean, rstd = torch.native_group_norm(x, weight, bias, B, C, H * W, C, _EPS)
        else:
            x_acc = x.to(weight.dtype)
            mean = x_acc.mean((2, 3))
            centred = x_acc - _planes(mean)
            rstd = torch.rsqrt(centred.square().mean((2, 3)) + _EPS)
            y = torch.addcmul(bias[:, None, None], centred, _planes(weight * rstd)).to(x.dtype)
        ctx.save_for_backward(x, weight, mean, rstd)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, mean, rstd = ctx.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        if x.shape[2] * x.shape[3] >= _SMALL_MAP:
            return _large_backward(dy, x, weight, mean, rstd)
        return _small_backward(dy, x, weight, mean, rstd)


def _planes(per_channel: Tensor) -> Tensor:
    return per_channel[:, :, None, None]


def _large_backward(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Instance norm is batch norm of one sample, and batch norm's channels-last backward kernel is a fast one."""
    dx = torch.empty_like(x)
    d_weight, d_bias = torch.empty_like(mean), torch.empty_like(mean)
    for i in range(x.shape[0]):
        dx[i : i + 1], d_weight[i], d_bias[i] = torch.ops.aten.native_batch_norm_backward(
            dy[i : i + 1], x[i : i + 1], weight, None, None, mean[i].view(-1), rstd[i].view(-1), True, _EPS, [True, True, True]
        )
    return dx, d_weight.sum(0), d_bias.sum(0)


def _small_backward(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dx = (weight / s)·(dy − mean(dy) − x̂·mean(dy·x̂)), means over H×W, s the standard deviation, x̂ the normed x."""
    count = x.shape[2] * x.shape[3]
    dy_acc, x_acc = dy.to(weight.dtype), x.to(weight.dtype)
    d_bias = dy_acc.sum((2, 3))
    d_weight = ((dy_acc * x_acc).sum((2, 3)) - mean * d_bias) * rstd
    scale = weight * rstd
    slope = -scale * rstd * d_weight / count
    shift = -scale * d_bias / count - slope * mean
    dx = torch.addcmul(torch.addcmul(_planes(shift), dy_acc, _planes(scale)), x_acc, _planes(slope))
    return dx.to(x.dtype), d_weight.sum(0), d_bias.sum(0)
