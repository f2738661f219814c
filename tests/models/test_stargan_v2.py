import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.stargan_v2 import (
    AdaptiveNorm,
    DomainLinear,
    MappingNetwork,
    PreActivationBlock,
    StarGanV2Discriminator,
    StarGanV2Generator,
    StyledBlock,
    StyledGenerator,
    StyleEncoder,
)

S, E, L = 32, 2, 3
SIZES = {"image_size": S, "width": 8, "max_width": 12}

# G at 128×128: block, channels in, channels out, output height.
G_ROWS = [
    ("encode.0", 128, 256, 64), ("encode.1", 256, 512, 32), ("encode.2", 512, 512, 16),
    ("encode.3", 512, 512, 16), ("encode.4", 512, 512, 16),
    ("decode.0", 512, 512, 16), ("decode.1", 512, 512, 16),
    ("decode.2", 512, 512, 32), ("decode.3", 512, 256, 64), ("decode.4", 256, 128, 128),
]  # fmt: skip
# The trunk of the style encoder and of D at 128×128.
TRUNK_ROWS = [("1", 128, 256, 64), ("2", 256, 512, 32), ("3", 512, 512, 16), ("4", 512, 512, 8), ("5", 512, 512, 4)]


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def shapes_of(network: nn.Module, *inputs: Tensor) -> dict[str, torch.Size]:
    shapes: dict[str, torch.Size] = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda module, inputs, output, name=name: shapes.update({name: output.shape}))
    with torch.no_grad():
        network(*inputs)
    return shapes


def conv(c_in: int, c_out: int, kernel: int = 3) -> int:
    return kernel**2 * c_in * c_out + c_out


def shortcut(c_in: int, c_out: int) -> int:
    return c_in * c_out if c_in != c_out else 0


def trunk_parameters(rows: list[tuple[str, int, int, int]]) -> int:
    blocks = sum(conv(c_in, c_in) + conv(c_in, c_out) + shortcut(c_in, c_out) for _, c_in, c_out, _ in rows)
    return conv(3, rows[0][1]) + blocks + conv(rows[-1][2], rows[-1][2], 4)


def images(batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, S, S, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_generators_blocks_are_the_published_ones() -> None:
    G = StarGanV2Generator()
    shapes = shapes_of(G, torch.zeros(1, 3, 128, 128), torch.zeros(1, 64))
    blocks = [n for n, m in G.named_modules() if isinstance(m, PreActivationBlock | StyledBlock)]
    assert blocks == [name for name, *_ in G_ROWS]
    for name, c_in, c_out, size in G_ROWS:
        block = G.get_submodule(name)
        inner = c_in if name.startswith("encode") else c_out
        for layer, channels in (("conv0", (c_in, inner)), ("conv1", (inner, c_out))):
            module = block.get_submodule(layer)
            assert isinstance(module, nn.Conv2d)
            assert (module.in_channels, module.out_channels) == channels, name
            assert (module.kernel_size, module.stride, module.padding) == ((3, 3), (1, 1), (1, 1)), name
        assert isinstance(block.get_submodule("shortcut"), nn.Identity) == (c_in == c_out), name
        assert shapes[name] == (1, c_out, size, size), name
    assert shapes["from_rgb"] == (1, 128, 128, 128)
    assert shapes[""] == (1, 3, 128, 128)


@pytest.mark.parametrize("network", [StyleEncoder, StarGanV2Discriminator])
def test_trunks_are_the_published_ones(network: type[nn.Module]) -> None:
    shapes = shapes_of(network(5), torch.zeros(1, 3, 128, 128), torch.zeros(1, dtype=torch.int64))
    for name, _, c_out, size in TRUNK_ROWS:
        assert shapes[f"trunk.{name}"] == (1, c_out, size, size), name
    assert shapes["trunk"] == (1, 512, 1, 1)


def test_parameters_counted_by_hand() -> None:
    norms = {"encode": lambda i, o: 4 * i, "decode": lambda i, o: 65 * (2 * i + 2 * o)}  # affine; AdaIN from styles of 64
    by_hand = conv(3, 128) + 2 * 128 + conv(128, 3, 1)
    for name, c_in, c_out, _ in G_ROWS:
        kind = name.partition(".")[0]
        inner = c_in if kind == "encode" else c_out
        by_hand += norms[kind](c_in, c_out) + conv(c_in, inner) + conv(inner, c_out) + shortcut(c_in, c_out)
    assert count(StarGanV2Generator()) == by_hand == 33_632_003
    domains = 7
    assert count(StyleEncoder(domains)) == trunk_parameters(TRUNK_ROWS) + domains * (512 * 64 + 64)
    assert count(StarGanV2Discriminator(domains)) == trunk_parameters(TRUNK_ROWS) + domains * (512 + 1)
    shared, own = 17 * 512 + 3 * 513 * 512, 3 * 513 * 512 + 513 * 64
    assert count(MappingNetwork(domains)) == shared + domains * own


def test_parameters_at_256_are_those_the_public_program_prints() -> None:
    """For 256×256 and 2 domains, without the high-pass skips."""
    printed = [
        count(n)
        for n in (StarGanV2Generator(256, 64), MappingNetwork(2), StyleEncoder(2, 256, 64), StarGanV2Discriminator(2, 256, 64))
    ]
    assert printed == [33_892_995, 2_438_272, 20_916_928, 20_852_290]


def test_a_halving_block_is_the_published_order() -> None:
    torch.manual_seed(0)
    block = PreActivationBlock(4, 6, norm=True).double()
    for norm in (block.norm0, block.norm1):
        nn.init.uniform_(norm.weight, 0.5, 1.5)  # type: ignore[arg-type]
        nn.init.uniform_(norm.bias)  # type: ignore[arg-type]
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    h = F.leaky_relu(F.instance_norm(x, weight=block.norm0.weight, bias=block.norm0.bias), 0.2)  # type: ignore[arg-type]
    h = F.avg_pool2d(F.conv2d(h, block.conv0.weight, block.conv0.bias, padding=1), 2)
    h = F.leaky_relu(F.instance_norm(h, weight=block.norm1.weight, bias=block.norm1.bias), 0.2)  # type: ignore[arg-type]
    h = F.conv2d(h, block.conv1.weight, block.conv1.bias, padding=1)
    assert isinstance(block.shortcut, nn.Conv2d)
    assert block.shortcut.bias is None
    skip = F.avg_pool2d(F.conv2d(x, block.shortcut.weight), 2)
    torch.testing.assert_close(block(x), (h + skip) / math.sqrt(2))


def test_a_styled_block_is_the_published_order() -> None:
    torch.manual_seed(0)
    block = StyledBlock(4, 6, style=3).double()
    x, s = torch.randn(2, 4, 8, 8, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)

    def adain(h: Tensor, norm: AdaptiveNorm) -> Tensor:
        gamma, beta = F.linear(s, norm.fc.weight, norm.fc.bias).chunk(2, 1)
        return (1 + gamma)[:, :, None, None] * F.instance_norm(h) + beta[:, :, None, None]

    def double(h: Tensor) -> Tensor:
        return h.repeat_interleave(2, 2).repeat_interleave(2, 3)

    h = double(F.leaky_relu(adain(x, block.norm0), 0.2))
    h = F.conv2d(h, block.conv0.weight, block.conv0.bias, padding=1)
    h = F.conv2d(F.leaky_relu(adain(h, block.norm1), 0.2), block.conv1.weight, block.conv1.bias, padding=1)
    assert isinstance(block.shortcut, nn.Conv2d)
    torch.testing.assert_close(block(x, s), (h + F.conv2d(double(x), block.shortcut.weight)) / math.sqrt(2))


def test_each_row_goes_through_its_own_domains_layers() -> None:
    torch.manual_seed(0)
    F_ = MappingNetwork(3, latent=4, hidden=5, style=2)
    for head in F_.heads:
        nn.init.normal_(head.bias)  # type: ignore[arg-type]
    z, y = torch.randn(4, 4), torch.tensor([2, 0, 2, 1])
    for i in range(4):
        h = z[i]
        for layer in F_.shared:
            h = F.relu(F.linear(h, layer.weight, layer.bias))  # type: ignore[arg-type]
        for k, head in enumerate(F_.heads):
            h = F.linear(h, head.weight[y[i]], head.bias[y[i]])  # type: ignore[index]
            h = F.relu(h) if k < 3 else h
        torch.testing.assert_close(F_(z, y)[i], h)


def test_heads_answer_for_the_domain_that_is_asked() -> None:
    torch.manual_seed(0)
    D, encoder, x = StarGanV2Discriminator(4, **SIZES), StyleEncoder(4, **SIZES, style=5), images()
    y = torch.tensor([3, 1])
    trunk = D.trunk(x).flatten(1)
    expected = torch.stack([trunk[i] @ D.head.weight[y[i], :, 0, 0] + D.head.bias[y[i]] for i in range(2)])
    torch.testing.assert_close(D(x, y), expected)
    trunk = encoder.trunk(x).flatten(1)
    styles = torch.stack([encoder.head.weight[y[i]] @ trunk[i] + encoder.head.bias[y[i]] for i in range(2)])
    torch.testing.assert_close(encoder(x, y), styles)


def test_weights_start_as_he_says_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    G, domain = StarGanV2Generator(S, width=64), DomainLinear(4, 64, 64)
    conv0 = G.encode[0].conv0
    assert isinstance(conv0, nn.Conv2d)
    assert float(conv0.weight.detach().std()) == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.02)
    assert float(domain.weight.detach().std()) == pytest.approx(math.sqrt(2 / 64), rel=0.03)
    assert not any(module.bias.any() for module in G.modules() if isinstance(module, nn.Conv2d) and module.bias is not None)
    assert not domain.bias.any()


def translator() -> StyledGenerator:
    torch.manual_seed(0)
    return StyledGenerator(E, L, **SIZES, style=4, latent=3, hidden=6)


def labels(expression: int, lighting: int, batch: int = 2) -> Tensor:
    f = torch.zeros(batch, E + L)
    f[:, expression] = f[:, E + lighting] = 1
    return f


def test_the_translator_gives_each_pair_its_domains_style_at_the_kept_latent() -> None:
    T, x = translator(), images()
    f = torch.cat([labels(1, 2, 1), labels(0, 1, 1)])
    y = torch.tensor([1 * L + 2, 0 * L + 1])
    with torch.no_grad():
        expected = T.generator(x, T.mapping(T.z.expand(2, -1), y)).clamp(-1, 1)
        out = T(x, f)
    torch.testing.assert_close(out.image, expected)
    assert out.expression_mask is None
    assert out.lighting_mask is None
    assert out.image.abs().max() <= 1


def test_the_image_depends_on_every_domain_and_is_the_same_every_time() -> None:
    T, x = translator(), images(1)
    with torch.no_grad():
        outputs = [T(x, labels(e, light, 1)).image for e in range(E) for light in range(L)]
        torch.manual_seed(99)
        assert torch.equal(T(x, labels(0, 0, 1)).image, outputs[0])
    for i, a in enumerate(outputs):
        assert all((a - b).abs().max() > 1e-3 for b in outputs[i + 1 :])


def test_the_latent_is_kept_with_the_weights() -> None:
    T, other = translator(), translator()
    T.z.normal_()
    other.load_state_dict(T.state_dict())
    assert torch.equal(T.z, other.z)


def test_channels_last_and_bf16_change_little() -> None:
    T, x, f = translator(), images(), labels(1, 1)
    with torch.no_grad():
        exact = T(x, f).image
        T.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(T(x, f).image, exact, rtol=1e-4, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = T(x, f).image
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().mean() < 0.05


def test_wrong_shapes_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="image sizes 32, 64, 128 and so on, not 48"):
        StarGanV2Generator(48)
    with pytest.raises(ValueError, match="reads images of shape B×3×32×32, not 1×3×64×64"):
        translator()(torch.zeros(1, 3, 64, 64), labels(0, 0, 1))
    with pytest.raises(ValueError, match="labels have to be 1×5"):
        translator()(torch.zeros(1, 3, 32, 32), torch.zeros(1, 4))
