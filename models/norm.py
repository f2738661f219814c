"""Instance norm without running statistics, fast in both memory formats (paper, section 11).

Shapes: B batch, C channels, H×W height and width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_EPS = 1e-5
# On maps smaller than this, PyTorch's channels-last group norm walks the channels one at a time (measured: 20 ms
# for 0.4 ms of work), and on larger ones it is the fastest there is.
_SMALL_MAP = 1024


def memory_format(x: Tensor) -> torch.memory_format:
    """The layout of a B×C×H×W tensor; contiguous where both would describe it."""
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        return torch.channels_last
    return torch.contiguous_format


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Affine instance normalisation over each map of x, B×C×H×W, biased variance, ε = 1e-5; the same dtype back.

    Mathematically ``nn.InstanceNorm2d(affine=True)``, which on a CPU copies channels-last tensors to and fro; group norm
    with C groups is the same, but its channels-last backward pass is slow, so that pass is written out here.
    """
    with torch.autocast(x.device.type, enabled=False):
        # Low-precision maps with float32 weights are the more exact pair; only the CPU's kernels take it.
        dtype = torch.promote_types(x.dtype, torch.float32) if x.device.type == "cpu" else x.dtype
        weight, bias = weight.to(dtype), bias.to(dtype)
        if x.device.type == "cpu" and memory_format(x) is torch.channels_last:
            normed: Tensor = _ChannelsLastInstanceNorm.apply(x, weight, bias)
            return normed
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
