"""Recolouring (paper, sections 5 and 18): a generator that colours a grey face (Table 14), and its discriminator, CASIA-Net.

Shapes: B batch, C channels, S image size. Images are float B×3×S×S in [-1, 1]; a grey one has three equal channels.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.layers import DepthToSpace, expect_images, full_precision
from legan.models.norm import memory_format

SKIPS = ("add", "concatenate", "none")
HALVINGS = 5
LUMA = (0.299, 0.587, 0.114)
"""The weights of BT.601, as LightCNN's."""
CASIA_NET = (1, 2, 2, 4, 3, 6, 4, 8, 5, 10)
"""Filters of its ten convolutions, in 32."""


def greyed(x: Tensor) -> Tensor:
    """The luma of RGB images by BT.601, in three equal channels; B×3×S×S each, in x's memory format.

    >>> greyed(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)).flatten()
    tensor([-0.4020, -0.4020, -0.4020])
    """
    grey = (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return grey.expand_as(x).contiguous(memory_format=memory_format(x))


class PlainBlock(nn.Module):
    """RB of Table 14: two 3×3 convolutions, ReLU between them, input added. It begins as the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv0 = convolution(channels, channels)
        self.conv1 = convolution(channels, channels)
        nn.init.zeros_(self.conv1.weight)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W to the same shape."""
        change: Tensor = self.conv1(F.relu(self.conv0(x)))
        return x + change


class ColorizationGenerator(nn.Module):
    """Table 14: a grey image to the same image in colour.

    ``width`` is conv1's number of filters, 64 in the paper, of which all others are multiples. ``skips`` is what becomes of the
    encoder's map where the decoder's has the same size: it is added, concatenated, or left alone.
    Where maps are added, every row reads what the row before it prints; conv0's 128 planes then meet PS5's 64 and are left out.
    There is no norm: brightness, which an instance norm takes away, has to come out as it went in.
    At the paper's size it has 79 859 587 parameters, 73 509 379 of them where nothing is concatenated.

    ValueError for an unknown kind of skips, or an image size that is no multiple of 32.

    >>> ColorizationGenerator(image_size=32, width=4)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
    """

    def __init__(self, image_size: int = 128, width: int = 64, skips: str = "concatenate"):
        super().__init__()
        if skips not in SKIPS:
            raise ValueError(f"unknown skips {skips!r}; there are: {', '.join(SKIPS)}.")
        if image_size < 2**HALVINGS or image_size % 2**HALVINGS:
            raise ValueError(f"Table 14 halves images five times, so the image size {image_size} has to be a multiple of 32.")
        self.image_size, self.width, self.skips = image_size, width, skips
        down = [2 * width, *(width * 2**i for i in range(HALVINGS))]
        up = [8 * width, 4 * width, 2 * width, width, width]

        self.encoder = nn.ModuleDict({"conv0": convolution(3, down[0], dilation=2)})
        for i, (c_in, c_out) in enumerate(pairwise(down), 1):
            self.encoder[f"conv{i}"] = convolution(c_in, c_out, stride=2)
            self.encoder[f"rb{i}"] = PlainBlock(c_out)

        self.bottom = (down[-1], image_size // 2**HALVINGS, image_size // 2**HALVINGS)
        flat = down[-1] * self.bottom[1] * self.bottom[2]
        self.fc1, self.fc2 = nn.Linear(flat, 8 * width), nn.Linear(8 * width, flat)

        self.decoder = nn.ModuleDict()
        c_in = down[-1]
        for i, (c_out, c_skip) in enumerate(zip(up, reversed(down[:-1]), strict=True), 1):
            self.decoder[f"conv{i + 2}"] = convolution(c_in, 4 * c_out)
            self.decoder[f"ps{i}"] = DepthToSpace()
            c_in = c_out + (c_skip if skips == "concatenate" else 0)
        self.decoder["conv8"] = convolution(c_in, 3, kernel=5)

    def forward(self, x: Tensor) -> Tensor:
        """Colour the grey images x; ValueError for another shape. Float32 also under autocast, in x's memory format."""
        expect_images(x, self.image_size)
        encoder, decoder = self.encoder, self.decoder
        maps = [F.relu(encoder["conv0"](x))]
        for i in range(1, HALVINGS + 1):
            maps.append(encoder[f"rb{i}"](F.relu(encoder[f"conv{i}"](maps[-1]))))

        h = F.relu(self.fc2(F.relu(self.fc1(maps.pop().flatten(1)))))
        h = h.view(-1, *self.bottom).contiguous(memory_format=memory_format(x))
        for i, skip in enumerate(reversed(maps), 1):
            h = F.relu(decoder[f"ps{i}"](decoder[f"conv{i + 2}"](h)))
            h = self._joined(h, skip)
        return torch.tanh(full_precision(decoder["conv8"](h)))

    def _joined(self, h: Tensor, skip: Tensor) -> Tensor:
        if self.skips == "concatenate":
            return torch.cat([h, skip], dim=1)
        return h + skip if self.skips == "add" and h.shape == skip.shape else h


class CasiaNet(nn.Module):
    """CASIA-Net (Yi et al. 2014, arXiv:1411.7923) as D: is this colour image of this grey one real?

    Ten 3×3 convolutions with ReLU, of which the first has ``width`` filters, 32 as published, and max pooling between the pairs;
    no ReLU after the tenth, whose map is averaged; one logit an image. It reads both images, as pix2pix's does: six planes.
    As published, with these six planes, it has 1 754 529 parameters.

    >>> CasiaNet(width=4)(torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2])
    """

    def __init__(self, width: int = 32):
        super().__init__()
        self.width = width
        filters = [6, *(width * times for times in CASIA_NET)]
        self.convs = nn.ModuleDict(
            {f"conv{i // 2 + 1}{i % 2 + 1}": convolution(c_in, c_out) for i, (c_in, c_out) in enumerate(pairwise(filters))}
        )
        self.fc = nn.Linear(filters[-1], 1)

    def forward(self, grey: Tensor, x: Tensor) -> Tensor:
        """A logit for each colour image x of a grey one, B. Float32 also under autocast."""
        h = torch.cat([grey, x.to(grey.dtype)], dim=1)
        for name, conv in self.convs.items():
            h = conv(h)
            if name != "conv52":
                h = F.relu(h)
            if name.endswith("2") and name != "conv52":
                h = F.max_pool2d(h, 2)
        return full_precision(self.fc(h.mean((2, 3)))).squeeze(1)


def convolution(in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution that keeps H×W, or halves both, with He's initial weights: there is no norm to keep the activations' size."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
