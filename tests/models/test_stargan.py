import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.discriminator import Discriminator
from legan.models.norm import InstanceNorm
from legan.models.stargan import StarGanGenerator

# StarGAN's generator for 128×128: name, kernel, stride, channels in, channels out, output height.
ROWS = [
    ("conv0.conv", 7, 1, 3 + 5, 64, 128),
    ("conv1.conv", 4, 2, 64, 128, 64),
    ("conv2.conv", 4, 2, 128, 256, 32),
    *((f"rb.{i}.conv{k}", 3, 1, 256, 256, 32) for i in range(6) for k in (0, 1)),
    ("up0.conv", 4, 2, 256, 128, 64),
    ("up1.conv", 4, 2, 128, 64, 128),
    ("conv3", 7, 1, 64, 3, 128),
]
E, L = 2, 3


def small() -> StarGanGenerator:
    torch.manual_seed(0)
    return StarGanGenerator(E, L, width=8, blocks=1)


def label(expression: int, lighting: int) -> Tensor:
    f = torch.zeros(1, E + L)
    f[0, expression] = f[0, E + lighting] = 1
    return f


def test_layers_are_the_published_ones() -> None:
    G = StarGanGenerator(E, L)
    convolutions = {n: m for n, m in G.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}
    shapes: dict[str, torch.Size] = {}
    for name, module in convolutions.items():
        module.register_forward_hook(lambda module, inputs, output, name=name: shapes.update({name: output.shape}))
    with torch.no_grad():
        out = G(torch.zeros(1, 3, 128, 128), label(0, 0))
    assert list(convolutions) == [name for name, *_ in ROWS]
    for name, kernel, stride, c_in, c_out, size in ROWS:
        conv = convolutions[name]
        assert (conv.kernel_size, conv.stride) == ((kernel, kernel), (stride, stride)), name
        assert (conv.in_channels, conv.out_channels) == (c_in, c_out), name
        assert isinstance(conv, nn.ConvTranspose2d) == name.startswith("up"), name
        assert conv.bias is None, name
        assert shapes[name] == (1, c_out, size, size), name
    assert out.image.shape == (1, 3, 128, 128)
    assert out.expression_mask is None
    assert out.lighting_mask is None


def test_parameters_are_the_published_ones() -> None:
    """StarGAN's own program prints 8 430 528 for G with 5 attributes and 44 786 624 for D with 8."""
    weights = sum(kernel**2 * c_in * c_out for _, kernel, _, c_in, c_out, _ in ROWS)
    norms = sum(2 * c_out for name, *_, c_out, _ in ROWS if name != "conv3")
    assert sum(p.numel() for p in StarGanGenerator(E, L).parameters()) == weights + norms == 8_430_528
    assert sum(p.numel() for p in Discriminator(8, classifier="valid").parameters()) == 44_786_624


def test_every_norm_but_a_residual_blocks_second_has_relu() -> None:
    norms = {name: module.relu for name, module in small().named_modules() if isinstance(module, InstanceNorm)}
    assert [name for name, relu in norms.items() if not relu] == ["rb.0.norm1"]
    assert len(norms) == 7


def test_forward_equals_the_literal_reading() -> None:
    G = small().double()
    for parameter in G.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.5, 1.5)
    x = torch.rand(2, 3, 16, 24, dtype=torch.float64) * 2 - 1
    f = torch.cat([label(0, 2), label(1, 0)]).double()

    def norm(h: Tensor, name: str) -> Tensor:
        layer = G.get_submodule(name)
        return F.instance_norm(h, weight=layer.weight, bias=layer.bias, eps=1e-5)  # type: ignore[arg-type]

    def weight(name: str) -> Tensor:
        return G.get_submodule(name).weight  # type: ignore[return-value]

    h = torch.cat([x, f[:, :, None, None].expand(-1, -1, 16, 24)], 1)
    h = F.relu(norm(F.conv2d(h, weight("conv0.conv"), padding=3), "conv0.norm"))
    h = F.relu(norm(F.conv2d(h, weight("conv1.conv"), stride=2, padding=1), "conv1.norm"))
    h = F.relu(norm(F.conv2d(h, weight("conv2.conv"), stride=2, padding=1), "conv2.norm"))
    inner = F.relu(norm(F.conv2d(h, weight("rb.0.conv0"), padding=1), "rb.0.norm0"))
    h = h + norm(F.conv2d(inner, weight("rb.0.conv1"), padding=1), "rb.0.norm1")
    h = F.relu(norm(F.conv_transpose2d(h, weight("up0.conv"), stride=2, padding=1), "up0.norm"))
    h = F.relu(norm(F.conv_transpose2d(h, weight("up1.conv"), stride=2, padding=1), "up1.norm"))
    torch.testing.assert_close(G(x, f).image, torch.tanh(F.conv2d(h, weight("conv3"), padding=3)))


@pytest.mark.parametrize("index", range(E + L))
def test_the_image_depends_on_every_label(index: int) -> None:
    G, x, f = small(), torch.rand(1, 3, 32, 32) * 2 - 1, label(0, 0)
    other = f.clone()
    other[0, index] = 1 - other[0, index]
    with torch.no_grad():
        assert (G(x, f).image - G(x, other).image).abs().max() > 1e-3


def test_channels_last_is_kept_and_changes_nothing() -> None:
    G, x, f = small(), torch.rand(1, 3, 32, 32) * 2 - 1, label(1, 1)
    with torch.no_grad():
        exact = G(x, f).image
        fast = G.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last), f).image
    torch.testing.assert_close(fast, exact, rtol=1e-4, atol=1e-4)
    assert fast.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("x", "f", "message"),
    [
        ((1, 3, 30, 32), (1, 5), "30×32 has to be a multiple of 4"),
        ((2, 3, 32, 32), (1, 5), "labels have to be 2×5 for these images, not 1×5"),
    ],
)
def test_wrong_shapes_are_refused(x: tuple[int, ...], f: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small()(torch.zeros(x), torch.zeros(f))


def test_a_residual_generator_without_changes_returns_its_input() -> None:
    G = StarGanGenerator(2, 3, width=4, blocks=1, residual=True)
    nn.init.zeros_(G.conv3.weight)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(G(x, torch.zeros(2, 5)).image, x.clamp(-0.98, 0.98), atol=2e-6, rtol=0)
