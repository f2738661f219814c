"""Instance norm without running statistics, fast in both memory formats (paper, section 11).

Shapes: B batch, C channels, H×W height and width.
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_EPS = 1e-5
# On maps smaller than this, PyTorch's channels-last group norm walks the channels one at a time (measured: 20 ms
# for 0.4 ms of work), and on larger ones it is the fastest there is.
_SMALL_MAP = 1024
# ReLU on this many numbers at a time meets them in the cache, where norm has just left them.
_CACHED = 2**20


def memory_format(x: Tensor) -> torch.memory_format:
    """The layout of a B×C×H×W tensor; contiguous where both would describe it."""
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        return torch.channels_last
    return torch.contiguous_format


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor, relu: bool = False, fused: bool = False) -> Tensor:
    """Affine instance normalisation over each map of x, B×C×H×W, biased variance, ε = 1e-5; then ReLU, if asked for.

    Mathematically ``nn.InstanceNorm2d(affine=True)``, which on a CPU copies channels-last tensors to and fro; group norm
    with C groups is the same, but its channels-last backward pass is slow, so that pass is written out here.
    ``fused`` has it compiled for channels-last tensors of a CPU (see ``fuse``); it is the same otherwise.
    The result has x's dtype and memory format. Can be differentiated once.
    """
    with torch.autocast(x.device.type, enabled=False):
        # Low-precision maps with float32 weights are the more exact pair; only the CPU's kernels take it.
        dtype = torch.promote_types(x.dtype, torch.float32) if x.device.type == "cpu" else x.dtype
        weight, bias = weight.to(dtype), bias.to(dtype)
        if x.device.type == "cpu" and memory_format(x) is torch.channels_last:
            normed: Tensor = _ChannelsLastInstanceNorm.apply(x, weight, bias, relu, fused)
            return normed
        normed = F.group_norm(x, x.shape[1], weight, bias, _EPS)
        if relu:
            normed = F.relu(normed, inplace=True)
        return normed.contiguous(memory_format=memory_format(x))


class InstanceNorm(nn.Module):
    """Affine instance norm without running statistics, and ReLU (paper, section 11); parameters as in ``nn.InstanceNorm2d``."""

    def __init__(self, channels: int, *, relu: bool):
        super().__init__()
        self.relu, self.fused = relu, False
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W to the same shape."""
        return instance_norm(x, self.weight, self.bias, self.relu, self.fused)

    def extra_repr(self) -> str:
        """Channels and activation."""
        return f"{self.weight.numel()}, relu={self.relu}"


def fuse(network: nn.Module) -> None:
    """Have PyTorch's compiler make one kernel of each pass of ``network``'s instance norms, on a CPU and in channels-last.

    It takes seconds, at the first batch. Raises RuntimeError with the reason where this machine cannot compile.
    """
    # It warns of a CUDA that a processor has no use for.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    with torch.no_grad():
        x, weight = torch.ones(2, 2, 8, 8).contiguous(memory_format=torch.channels_last), torch.ones(2)
        try:
            _fused(_small_forward)(x, weight, weight, True)
        except (RuntimeError, OSError) as error:  # the compiler's own errors are RuntimeErrors
            reason = str(error).strip() or type(error).__name__
            raise RuntimeError(reason.splitlines()[0]) from error
    for module in network.modules():
        if isinstance(module, InstanceNorm):
            module.fused = True


@cache
def _fused(kernel: Callable[..., Any]) -> Callable[..., Any]:
    # Two small functions need no processes that compile side by side.
    compiled = torch.compile(kernel, dynamic=True, options={"compile_threads": 1})

    def run(*arguments: Any) -> Any:
        # The compiler asks every tensor for its gradient, of which those inside a graph warn.
        return compiled(*(value.detach() if isinstance(value, Tensor) else value for value in arguments))

    return run


class _ChannelsLastInstanceNorm(torch.autograd.Function):
    """Instance norm of a channels-last CPU tensor: the fastest kernel for each size, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, relu: bool, fused: bool) -> Tensor:
        ctx.relu, ctx.fused = relu, fused
        forward = _kernel(x, fused, _small_forward, _large_forward)
        y: Tensor
        y, mean, rstd = forward(x, weight, bias, relu)
        ctx.save_for_backward(x, y if relu else None, weight, mean, rstd)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, y, weight, mean, rstd = ctx.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        backward = _kernel(x, ctx.fused, _small_backward, _large_backward)
        return *backward(dy, x, y, weight, mean, rstd), None, None


def _kernel(x: Tensor, fused: bool, small: Callable[..., Any], large: Callable[..., Any]) -> Callable[..., Any]:
    """What norms x: the compiled function for small maps is the fastest for maps of all sizes."""
    if fused:
        return _fused(small)
    return large if x.shape[2] * x.shape[3] >= _SMALL_MAP else small


def _large_forward(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and mean and 1/standard deviation of each map, B×C."""
    B, C, H, W = x.shape
    if not relu:
        return torch.native_group_norm(x, weight, bias, B, C, H * W, C, _EPS)
    y = torch.empty_like(x)
    mean, rstd = (torch.empty(B, C, dtype=weight.dtype) for _ in range(2))
    step = max(1, _CACHED // (C * H * W))
    for i in range(0, B, step):
        some = slice(i, min(i + step, B))
        normed, mean[some], rstd[some] = torch.native_group_norm(x[some], weight, bias, some.stop - i, C, H * W, C, _EPS)
        torch.clamp_min(normed, 0, out=y[some])
    return y, mean, rstd


def _small_forward(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> tuple[Tensor, Tensor, Tensor]:
    """As ``_large_forward``."""
    x_acc = x.to(weight.dtype)
    mean = x_acc.mean((2, 3))
    centred = x_acc - _planes(mean)
    rstd = torch.rsqrt(centred.square().mean((2, 3)) + _EPS)
    y = torch.addcmul(bias[:, None, None], centred, _planes(weight * rstd))
    return (y.relu_() if relu else y).to(x.dtype), mean, rstd


def _large_backward(
    dy: Tensor, x: Tensor, y: Tensor | None, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Instance norm is batch norm of one sample, and batch norm's channels-last backward kernel is a fast one."""
    dx = torch.empty_like(x)
    d_weight, d_bias = torch.empty_like(mean), torch.empty_like(mean)
    for i in range(x.shape[0]):
        one = slice(i, i + 1)
        d_normed = dy[one] if y is None else torch.ops.aten.threshold_backward(dy[one], y[one], 0)
        dx[one], d_weight[i], d_bias[i] = torch.ops.aten.native_batch_norm_backward(
            d_normed, x[one], weight, None, None, mean[i], rstd[i], True, _EPS, [True, True, True]
        )
    return dx, d_weight.sum(0), d_bias.sum(0)


def _small_backward(
    dy: Tensor, x: Tensor, y: Tensor | None, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dx = (weight / s)·(dy − mean(dy) − x̂·mean(dy·x̂)), means over H×W, s the standard deviation, x̂ the normed x."""
    count = x.shape[2] * x.shape[3]
    if y is not None:
        dy = torch.ops.aten.threshold_backward(dy, y, 0)
    dy_acc, x_acc = dy.to(weight.dtype), x.to(weight.dtype)
    d_bias = dy_acc.sum((2, 3))
    d_weight = ((dy_acc * x_acc).sum((2, 3)) - mean * d_bias) * rstd
    scale = weight * rstd
    slope = -scale * rstd * d_weight / count
    shift = -scale * d_bias / count - slope * mean
    dx = torch.addcmul(torch.addcmul(_planes(shift), dy_acc, _planes(scale)), x_acc, _planes(slope))
    return dx.to(x.dtype), d_weight.sum(0), d_bias.sum(0)


def _planes(per_channel: Tensor) -> Tensor:
    return per_channel[:, :, None, None]
