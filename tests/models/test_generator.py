"""The generator against the rows of Tables 7–9, written out here as data."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from legan.models.generator import Generator, Hourglass, Translation, matched_width, with_labels
from legan.models.layers import UPSAMPLERS, DepthToSpace, ResidualBlock, SameConv
from legan.models.norm import InstanceNorm, memory_format


class Row(NamedTuple):
    """A row of a table: filter and stride as printed, number of filters, and the output's height for a 128×128 input."""

    name: str
    kernel: int
    stride: int
    filters: int
    size: int


DOWN = [Row("conv0", 7, 1, 64, 128), Row("conv1", 4, 2, 128, 64), Row("conv2", 4, 2, 256, 32)]
BLOCKS = [Row(f"RB{i}", 3, 1, 256, 32) for i in range(6)]
UP = [  # PS rows print no filter: a 3×3 convolution to four times the channels
    Row("PS0", 3, 1, 256, 64),
    Row("conv3", 4, 1, 128, 64),
    Row("PS1", 3, 1, 128, 128),
    Row("conv4", 4, 1, 64, 128),
    Row("conv5", 7, 1, 3, 128),
]
ROWS = [*DOWN, *BLOCKS, *UP]
INPUTS = {"expression": 9, "lighting": 23, "target": 6}  # Tables 7, 8 and 9
E, L = 6, 20


def convolutions(in_channels: int) -> Iterator[tuple[str, int, int, int, int, int]]:
    """Name in the module, kernel, stride, channels in, channels out and height of each convolution's output."""
    channels = in_channels
    size = 128
    for row in ROWS:
        if row.name.startswith("RB"):
            for i in (0, 1):
                yield f"rb.{row.name[2:]}.conv{i}", 3, 1, channels, row.filters, row.size
        elif row.name.startswith("PS"):
            yield f"{row.name.lower()}.conv", 3, 1, channels, 4 * row.filters, size
        else:
            yield row.name if row.name == "conv5" else f"{row.name}.conv", row.kernel, row.stride, channels, row.filters, row.size
        channels, size = row.filters, row.size


def parameters(in_channels: int) -> int:
    """Bias-free convolutions, and two numbers per channel of every instance norm, of which conv5 has none."""
    weights = sum(k * k * c_in * c_out for _, k, _, c_in, c_out, _ in convolutions(in_channels))
    norms = sum(2 * row.filters * (2 if row.name.startswith("RB") else 1) for row in ROWS if row.name != "conv5")
    return weights + norms


def labels(expression: int = 0, lighting: int = 0, batch: int = 1) -> Tensor:
    f = torch.zeros(batch, E + L)
    f[:, expression] = 1
    f[:, E + lighting] = 1
    return f


def small(**changes: object) -> Generator:
    torch.manual_seed(0)
    numbers: dict[str, object] = {"expressions": E, "lightings": L, "width": 8, "blocks": 1}
    return Generator(**(numbers | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def paper() -> Generator:
    torch.manual_seed(0)
    return Generator(E, L)


@pytest.fixture(scope="module")
def shapes(paper: Generator) -> dict[str, tuple[int, ...]]:
    """The output shape of every module for one 128×128 image."""
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> object:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                seen[name] = tuple(output.shape)

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in paper.named_modules()]  # type: ignore[arg-type]
    with torch.no_grad():
        paper(torch.zeros(1, 3, 128, 128), labels())
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("hourglass", INPUTS)
def test_convolutions_are_the_tables_rows(hourglass: str, paper: Generator, shapes: dict[str, tuple[int, ...]]) -> None:
    modules = dict(paper.get_submodule(hourglass).named_modules())
    found = {name for name, module in modules.items() if isinstance(module, nn.Conv2d)}
    expected = list(convolutions(INPUTS[hourglass]))
    assert found == {name for name, *_ in expected}
    for name, kernel, stride, c_in, c_out, size in expected:
        conv = modules[name]
        assert isinstance(conv, nn.Conv2d)
        assert conv.kernel_size == (kernel, kernel), name
        assert conv.stride == (stride, stride), name
        assert conv.dilation == (1, 1), name
        assert (conv.in_channels, conv.out_channels) == (c_in, c_out), name
        assert conv.bias is None, name
        assert conv.padding_mode == "zeros", name
        assert shapes[f"{hourglass}.{name}"] == (1, c_out, size, size), name


@pytest.mark.parametrize("hourglass", INPUTS)
def test_rows_put_out_the_tables_shapes(hourglass: str, shapes: dict[str, tuple[int, ...]]) -> None:
    for row in ROWS:
        name = f"rb.{row.name[2:]}" if row.name.startswith("RB") else row.name.lower()
        assert shapes[f"{hourglass}.{name}"] == (1, row.filters, row.size, row.size), row.name


def test_every_row_but_the_last_has_instance_norm_and_relu(paper: Generator) -> None:
    for name in INPUTS:
        hourglass = paper.get_submodule(name)
        assert isinstance(hourglass, Hourglass)
        for row in (hourglass.conv0, hourglass.conv1, hourglass.conv2, hourglass.conv3, hourglass.conv4):
            assert [type(layer) for layer in row[1:]] == [InstanceNorm]
        for row in (hourglass.ps0, hourglass.ps1):
            assert [type(layer) for layer in row] == [nn.Conv2d, DepthToSpace, InstanceNorm]
        assert all(isinstance(block, ResidualBlock) for block in hourglass.rb)
        without_relu = {
            name for name, module in hourglass.named_modules() if isinstance(module, InstanceNorm) and not module.relu
        }
        assert without_relu == {f"rb.{i}.norm1" for i in range(6)}
        assert isinstance(hourglass.conv3[0], SameConv)
        assert isinstance(hourglass.conv4[0], SameConv)
        assert type(hourglass.conv5) is nn.Conv2d


def test_the_paper_size_has_34_2_million_parameters(paper: Generator) -> None:
    counted = {name: sum(p.numel() for p in paper.get_submodule(name).parameters()) for name in INPUTS}
    assert counted == {name: parameters(c_in) for name, c_in in INPUTS.items()}
    assert counted == {"expression": 11_383_552, "lighting": 11_427_456, "target": 11_374_144}
    assert sum(p.numel() for p in paper.parameters()) == 34_185_152


def test_single_hourglass_has_a_third_of_the_parameters() -> None:
    single = Generator(E, L, disentangled=False)
    assert sum(p.numel() for p in single.parameters()) == parameters(3 + E + L) == 11_446_272


@pytest.mark.parametrize(
    ("width", "blocks", "upsampling"),
    [(64, 6, "pixel_shuffle"), (16, 3, "pixel_shuffle"), (8, 1, "transposed"), (4, 0, "bilinear")],
)
def test_a_matched_hourglass_is_as_large_as_three(width: int, blocks: int, upsampling: str) -> None:
    def size(width: int, disentangled: bool) -> int:
        with torch.device("meta"):
            G = Generator(E, L, width, blocks, upsampling, disentangled)
        return sum(p.numel() for p in G.parameters())

    three, one = size(width, True), matched_width(E, L, width, blocks, upsampling)
    off = {other: abs(size(other, False) - three) for other in (one - 1, one, one + 1)}
    assert min(off, key=off.__getitem__) == one
    assert off[one] / three < (0.01 if width == 64 else 0.07)


def test_counting_a_matched_hourglass_draws_nothing() -> None:
    before = torch.get_rng_state()
    matched_width(2, 3, 8, 1)
    assert torch.equal(before, torch.get_rng_state())


def test_multiplications_are_those_of_the_tables(paper: Generator) -> None:
    by_hand = sum(
        2 * k * k * c_in * c_out * size * size
        for in_channels in INPUTS.values()
        for _, k, _, c_in, c_out, size in convolutions(in_channels)
    )
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        paper(torch.zeros(1, 3, 128, 128), labels())
    assert counter.get_total_flops() == by_hand == 109_519_568_896


def literal_hourglass(ours: Hourglass, x: Tensor, width: int) -> Tensor:
    """The table written down with PyTorch's own layers and our weights."""

    def norm_relu(h: Tensor, norm: InstanceNorm) -> Tensor:
        return F.relu(F.instance_norm(h, weight=norm.weight, bias=norm.bias, eps=1e-5))

    def conv_row(h: Tensor, row: nn.Sequential, stride: int, padding: tuple[int, int]) -> Tensor:
        before, after = padding
        return norm_relu(F.conv2d(F.pad(h, (before, after, before, after)), row.conv.weight, stride=stride), row.norm)

    def ps_row(h: Tensor, row: nn.Sequential) -> Tensor:
        weight = row.conv.weight
        c = weight.shape[1]
        named_as_pixel_shuffle_does = weight.view(4, c, *weight.shape[1:]).transpose(0, 1).reshape(weight.shape)
        return norm_relu(F.pixel_shuffle(F.conv2d(h, named_as_pixel_shuffle_does, padding=1), 2), row.norm)

    h = conv_row(x, ours.conv0, 1, (3, 3))
    h = conv_row(h, ours.conv1, 2, (1, 1))
    h = conv_row(h, ours.conv2, 2, (1, 1))
    for block in ours.rb:
        inner = norm_relu(F.conv2d(h, block.conv0.weight, padding=1), block.norm0)
        inner = F.conv2d(inner, block.conv1.weight, padding=1)
        h = h + F.instance_norm(inner, weight=block.norm1.weight, bias=block.norm1.bias, eps=1e-5)
    h = conv_row(ps_row(h, ours.ps0), ours.conv3, 1, (1, 2))
    h = conv_row(ps_row(h, ours.ps1), ours.conv4, 1, (1, 2))
    assert h.shape == (x.shape[0], width, *x.shape[2:])
    return torch.tanh(F.conv2d(h, ours.conv5.weight, padding=3))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_forward_and_gradients_equal_the_literal_reading(layout: torch.memory_format) -> None:
    G = small(width=6, blocks=2).double().to(memory_format=layout)
    for parameter in G.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.5, 1.5)
    x = (torch.rand(2, 3, 40, 32, dtype=torch.float64) * 2 - 1).contiguous(memory_format=layout)
    f = torch.cat([labels(2, 7), labels(5, 19)]).double()
    planes = f[:, :, None, None].expand(-1, -1, 40, 32)
    mask_e = literal_hourglass(G.expression, torch.cat([x, planes[:, :E]], 1), 6)
    mask_l = literal_hourglass(G.lighting, torch.cat([x, planes[:, E:]], 1), 6)
    image = literal_hourglass(G.target, torch.cat([mask_e, mask_l], 1), 6)
    ours = G(x, f)
    torch.testing.assert_close(ours.image, image)
    torch.testing.assert_close(ours.expression_mask, mask_e)
    torch.testing.assert_close(ours.lighting_mask, mask_l)
    goal = torch.randn_like(image)
    expected = torch.autograd.grad((image * goal).sum(), list(G.parameters()))
    own = torch.autograd.grad((ours.image * goal).sum(), list(G.parameters()))
    for a, b in zip(own, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("disentangled", [True, False])
@pytest.mark.parametrize("label", range(E + L))
def test_the_image_depends_on_every_label(label: int, disentangled: bool) -> None:
    G = small(disentangled=disentangled)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    f = labels(expression=1 if label == 0 else 0, lighting=1 if label == E else 0)
    other = f.clone()
    other[0, label] = 1
    with torch.no_grad():
        difference = (G(x, f).image - G(x, other).image).abs()
    assert difference.max() > 1e-3


def test_masks_depend_on_their_own_attribute_only() -> None:
    G = small()
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        base, smiling, darker = G(x, labels(0, 0)), G(x, labels(1, 0)), G(x, labels(0, 1))
    assert torch.equal(base.expression_mask, darker.expression_mask)
    assert torch.equal(base.lighting_mask, smiling.lighting_mask)
    assert not torch.equal(base.expression_mask, smiling.expression_mask)
    assert not torch.equal(base.lighting_mask, darker.lighting_mask)


def test_the_image_is_made_from_the_masks_alone() -> None:
    G = small()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        out = G(x, labels(batch=2))
        again = G.target(torch.cat([out.expression_mask, out.lighting_mask], dim=1))
    assert torch.equal(out.image, again)


def test_a_residual_generator_without_changes_returns_its_input() -> None:
    """tanh(0 + artanh(x)) is x, and the mean of two such masks too; only what lies beyond ±0.98 is cut."""
    G = Generator(E, L, width=4, blocks=1, residual=True)
    for hourglass in (G.expression, G.lighting, G.target):
        nn.init.zeros_(hourglass.conv5.weight)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    for image in G(x, labels(batch=2)):
        torch.testing.assert_close(image, x.clamp(-0.98, 0.98), atol=2e-6, rtol=0)


def test_a_residual_hourglass_adds_its_change_before_tanh() -> None:
    plain = Hourglass(9, width=4, blocks=1).double()
    x = torch.rand(2, 9, 16, 16, dtype=torch.float64) * 1.8 - 0.9
    change, base = torch.atanh(plain(x)), x[:, :3]
    torch.testing.assert_close(plain(x, base), torch.tanh(change + torch.atanh(base)))


@pytest.mark.parametrize("upsampling", UPSAMPLERS)
def test_every_upsampling_trains(upsampling: str) -> None:
    G = small(upsampling=upsampling)
    out: Translation = G(torch.rand(2, 3, 32, 32) * 2 - 1, labels(batch=2))
    for image in out:
        assert image.shape == (2, 3, 32, 32)
        assert image.abs().max() <= 1
    out.image.square().mean().backward()
    for name, parameter in G.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_single_hourglass_gives_no_masks() -> None:
    G = small(disentangled=False)
    image, mask_e, mask_l = G(torch.zeros(1, 3, 32, 32), labels())
    assert image.shape == (1, 3, 32, 32)
    assert mask_e is None
    assert mask_l is None
    assert not hasattr(G, "expression")


@pytest.mark.parametrize("autocast", [False, True])
def test_channels_last_is_kept_and_changes_nothing(autocast: bool) -> None:
    G = small()
    x, f = torch.rand(2, 3, 32, 32) * 2 - 1, labels(3, 11, batch=2)
    with torch.no_grad():
        exact = G(x, f)
        G.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            fast = G(x.contiguous(memory_format=torch.channels_last), f)
    for own, expected in zip(fast, exact, strict=True):
        assert own.dtype == torch.float32
        assert memory_format(own) is torch.channels_last
        if autocast:
            assert (own - expected).abs().mean() < 0.05
        else:
            torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_labels_become_planes_behind_the_image(layout: torch.memory_format) -> None:
    x = torch.rand(2, 3, 4, 8).contiguous(memory_format=layout)
    planes = with_labels(x, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert memory_format(planes) is layout
    assert torch.equal(planes[:, :3], x)
    assert planes[:, 3:].flatten(2).unique(dim=2).tolist() == [[[0.0], [1.0]], [[1.0], [0.0]]]


def test_no_layer_inside_leaves_channels_last() -> None:
    G = small().to(memory_format=torch.channels_last)
    strayed: list[str] = []

    def check(name: str) -> object:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and not output.is_contiguous(memory_format=torch.channels_last):
                strayed.append(name)

        return hook

    for name, module in G.named_modules():
        module.register_forward_hook(check(name))  # type: ignore[arg-type]
    G(torch.rand(2, 3, 32, 32).contiguous(memory_format=torch.channels_last), labels(batch=2))
    assert strayed == []


@pytest.mark.parametrize(
    ("x", "f", "message"),
    [
        ((1, 3, 30, 32), (1, 26), "30×32 has to be a multiple of 4"),
        ((2, 3, 32, 32), (1, 26), "labels have to be 2×26 for these images, not 1×26"),
        ((1, 3, 32, 32), (1, 25), "labels have to be 1×26 for these images, not 1×25"),
    ],
)
def test_wrong_shapes_are_refused(x: tuple[int, ...], f: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small()(torch.zeros(x), torch.zeros(f))


def test_unknown_upsampling_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown upsampling 'nearest'; there are: pixel_shuffle, bilinear, transposed"):
        small(upsampling="nearest")
