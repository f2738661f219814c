"""The white-balance editor of the paper's reference [5]: Afifi and Brown, Deep White-Balance Editing, CVPR 2020.

A U-Net with one encoder and three decoders, for the automatic setting, tungsten and shade. Its modules are named as in the
published weights, so that these fit.

Shapes: B batch, H and W image size, multiples of 16.
"""

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn

CHANNELS = 24
MULTIPLE = 16
"""Of how many pixels images are a multiple: four poolings halve them."""
DECODERS = ("awb", "tungsten", "shade")


class Edited(NamedTuple):
    """The images at three settings, B×3×H×W; 0 to 1, and somewhat beyond."""

    automatic: Tensor
    tungsten: Tensor
    shade: Tensor


class DeepWhiteBalanceEditor(nn.Module):
    """The published network has ``width`` 24 and 10,450,401 weights; only tests have less.

    >>> automatic, tungsten, shade = DeepWhiteBalanceEditor(width=2)(torch.zeros(1, 3, 32, 32))
    >>> automatic.shape
    torch.Size([1, 3, 32, 32])
    """

    def __init__(self, width: int = CHANNELS):
        super().__init__()
        c1, c2, c3, c4, c5 = (width * 2**i for i in range(5))
        self.encoder_inc = _named("double_conv", *_two(3, c1))
        self.encoder_down1 = _named("maxpool_conv", nn.MaxPool2d(2), _named("double_conv", *_two(c1, c2)))
        self.encoder_down2 = _named("maxpool_conv", nn.MaxPool2d(2), _named("double_conv", *_two(c2, c3)))
        self.encoder_down3 = _named("maxpool_conv", nn.MaxPool2d(2), _named("double_conv", *_two(c3, c4)))
        self.encoder_bridge_down = _named("maxpool_conv", nn.MaxPool2d(2), *_one(c4, c5))
        for name in DECODERS:
            up = nn.ConvTranspose2d(c5, c4, kernel_size=2, stride=2)
            self.add_module(f"{name}_decoder_bridge_up", _named("conv_up", *_one(c5, c5), up))
            for number, (wide, narrow) in enumerate(((c4, c3), (c3, c2), (c2, c1)), start=1):
                self.add_module(f"{name}_decoder_up{number}", _Up(wide, narrow))
            last = nn.Conv2d(c1, 3, kernel_size=1)
            self.add_module(f"{name}_decoder_out", _named("out_conv", _named("double_conv", *_two(2 * c1, c1)), last))

    def forward(self, x: Tensor) -> Edited:
        """``x`` is B×3×H×W, sRGB in 0 to 1; ValueError for another size."""
        if x.dim() != 4 or x.shape[1] != 3 or x.shape[2] % MULTIPLE or x.shape[3] % MULTIPLE:
            of = f"H and W multiples of {MULTIPLE}"
            raise ValueError(f"the white-balance editor needs B×3×H×W with {of}, not {tuple(x.shape)}.")
        x1 = self.encoder_inc(x)
        x2 = self.encoder_down1(x1)
        x3 = self.encoder_down2(x2)
        x4 = self.encoder_down3(x3)
        x5 = self.encoder_bridge_down(x4)
        return Edited(*(self._decoded(name, x1, x2, x3, x4, x5) for name in DECODERS))

    def _decoded(self, name: str, x1: Tensor, x2: Tensor, x3: Tensor, x4: Tensor, x5: Tensor) -> Tensor:
        y = self.get_submodule(f"{name}_decoder_bridge_up")(x5)
        for number, skip in ((1, x4), (2, x3), (3, x2)):
            y = self.get_submodule(f"{name}_decoder_up{number}")(torch.cat([skip, y], dim=1))
        edited: Tensor = self.get_submodule(f"{name}_decoder_out")(torch.cat([x1, y], dim=1))
        return edited


class _Up(nn.Module):
    """Two convolutions of the skip and what comes from below, then twice the size."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.conv = _named("double_conv", *_two(2 * channels, channels))
        self.up = nn.ConvTranspose2d(channels, out_channels, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.up(self.conv(x)))


def _named(name: str, *layers: nn.Module) -> nn.Sequential:
    """Layers in a row, under the published name."""
    return nn.Sequential(OrderedDict({name: nn.Sequential(*layers)}))


def _one(channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, out_channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)


def _two(channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return *_one(channels, out_channels), *_one(out_channels, out_channels)
