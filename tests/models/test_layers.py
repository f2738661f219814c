import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models import layers
from legan.models.layers import (
    UPSAMPLERS,
    DepthToSpace,
    HalvingConv,
    ResidualBlock,
    SameConv,
    equal_shuffles,
    pixel_shuffle,
    strided_trunk,
)  # fmt: skip
from legan.models.norm import InstanceNorm, memory_format

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def test_same_conv_pads_one_before_and_two_after() -> None:
    conv = SameConv(1, 1)
    conv.weight.data = torch.arange(16.0).view(1, 1, 4, 4)
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    # A correlation: the output at (y, x) holds the weight at (2 − y + 1, 2 − x + 1).
    expected = torch.zeros(5, 5)
    expected[0:4, 0:4] = torch.arange(16.0).view(4, 4).flip(0, 1)
    assert torch.equal(conv(x)[0, 0], expected)


def test_same_conv_is_pytorchs_same_padding() -> None:
    conv = SameConv(3, 4)
    x = torch.randn(2, 3, 8, 12)
    with pytest.warns(UserWarning, match="padding='same'"):
        expected = F.conv2d(x, conv.weight, padding="same")
    torch.testing.assert_close(conv(x), expected)


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), channels=st.integers(1, 5), height=st.integers(1, 7), width=st.integers(1, 7), last=st.booleans())
def test_depth_to_space_is_pixel_shuffle_under_other_channel_names(
    batch: int, channels: int, height: int, width: int, last: bool
) -> None:
    x = torch.randn(batch, 4 * channels, height, width)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    renamed = x.view(batch, 4, channels, height, width).transpose(1, 2).reshape(x.shape)
    y = DepthToSpace()(x)
    assert torch.equal(y, F.pixel_shuffle(renamed, 2))
    assert y.is_contiguous(memory_format=memory_format(x))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bias", [True, False])
def test_halving_conv_as_a_product_is_the_convolution(
    layout: torch.memory_format, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    conv = HalvingConv(3, 5, bias=bias).double().to(memory_format=layout)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    g = torch.randn(2, 5, 4, 4, dtype=torch.float64)

    def everything() -> list[Tensor]:
        """Output, transpose, first derivatives and the weights' second derivative."""
        y = conv(x)
        gradients = torch.autograd.grad(y, [x, *conv.parameters()], g, create_graph=True)
        (second,) = torch.autograd.grad(gradients[0].square().sum(), conv.weight)
        return [y, conv.transpose(g), *gradients, second]

    expected = everything()
    assert torch.equal(expected[0], F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1))
    monkeypatch.setattr(layers, "_LARGE_WEIGHT", 0)
    product = everything()
    assert memory_format(product[0]) is layout
    assert not torch.equal(product[1], torch.zeros_like(product[1]))
    for own, other in zip(product, expected, strict=True):
        torch.testing.assert_close(own, other)


def test_halving_conv_transpose_is_the_gradient() -> None:
    conv = HalvingConv(3, 4)
    x = torch.randn(2, 3, 6, 10, requires_grad=True)
    y = conv(x)
    g = torch.randn_like(y)
    torch.testing.assert_close(conv.transpose(g), torch.autograd.grad(y, x, g)[0])


def test_equal_shuffles_start_without_a_grid() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), pixel_shuffle(4), nn.Conv2d(4, 3, 1))
    before = copy.deepcopy(network)
    equal_shuffles(network)
    enlarged = network[:2](torch.randn(2, 3, 6, 6))
    cells = enlarged.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    torch.testing.assert_close(cells, cells[..., :1].expand_as(cells))
    assert torch.equal(network[1][0].weight[:4], before[1][0].weight[:4])
    assert torch.equal(network[2].weight, before[2].weight)


def test_residual_block_adds_its_input() -> None:
    block = ResidualBlock(3)
    x = torch.randn(2, 3, 8, 8)
    hidden = nn.InstanceNorm2d(3)(F.conv2d(x, block.conv0.weight, padding=1)).relu()
    expected = nn.InstanceNorm2d(3)(F.conv2d(hidden, block.conv1.weight, padding=1)) + x
    torch.testing.assert_close(block(x), expected)


def test_residual_block_leaves_its_input_alone() -> None:
    x = torch.randn(1, 2, 8, 8)
    before = x.clone()
    ResidualBlock(2)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", UPSAMPLERS)
def test_upsamplers_double_the_map_and_keep_channels_and_layout(name: str, layout: torch.memory_format) -> None:
    x = torch.randn(2, 6, 8, 4).contiguous(memory_format=layout)
    upsample = UPSAMPLERS[name](6)
    y = upsample(x)
    assert y.shape == (2, 6, 16, 8)
    assert memory_format(y) is layout
    assert y.min() == 0  # ReLU
    assert isinstance(upsample[-1], InstanceNorm)


@pytest.mark.parametrize(
    ("name", "kernel", "stride", "out_channels"), [("pixel_shuffle", 3, 1, 24), ("bilinear", 3, 1, 6), ("transposed", 4, 2, 6)]
)
def test_upsamplers_convolutions(name: str, kernel: int, stride: int, out_channels: int) -> None:
    conv = UPSAMPLERS[name](6).conv
    assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
    assert (conv.kernel_size, conv.stride) == ((kernel, kernel), (stride, stride))
    assert (conv.in_channels, conv.out_channels, conv.bias) == (6, out_channels, None)


def test_bilinear_resizes_before_it_convolves() -> None:
    upsample = UPSAMPLERS["bilinear"](2)
    x = torch.randn(1, 2, 4, 4)
    larger = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    expected = nn.InstanceNorm2d(2)(F.conv2d(larger, upsample.conv.weight, padding=1)).relu()
    torch.testing.assert_close(upsample(x), expected)


@pytest.mark.parametrize("name", UPSAMPLERS)
def test_upsamplers_work_under_autocast(name: str) -> None:
    upsample = UPSAMPLERS[name](4).to(memory_format=torch.channels_last)
    x = torch.randn(2, 4, 16, 16).contiguous(memory_format=torch.channels_last)
    exact = upsample(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = upsample(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), exact, atol=0.1, rtol=0.05)


def test_trunk_halves_and_doubles() -> None:
    trunk = strided_trunk(64, width=4, layers=5)
    assert trunk(torch.zeros(1, 3, 64, 64)).shape == (1, 64, 2, 2)


@pytest.mark.parametrize(("image_size", "count"), [(48, 5), (128, 8), (33, 1), (64, 0)])
def test_trunk_refuses_sizes_it_cannot_halve(image_size: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"image size {image_size} cannot be halved by {count} layers"):
        strided_trunk(image_size, width=4, layers=count)


def test_a_trunk_keeps_the_size_of_what_it_reads_until_the_last_layer() -> None:
    torch.manual_seed(0)
    trunk = strided_trunk(128, width=16, layers=6)
    x = torch.randn(4, 3, 128, 128)
    sizes = [float((x := layer(x)).detach().std()) for layer in trunk]
    assert all(0.5 < size < 2 for size in sizes), sizes
    assert all(not layer.bias.any() for layer in trunk if isinstance(layer, HalvingConv))
