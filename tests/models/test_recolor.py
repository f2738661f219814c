from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn

from legan.models.norm import memory_format
from legan.models.recolor import CASIA_NET, SKIPS, CasiaNet, ColorizationGenerator, PlainBlock, greyed

# Table 14: name, filter, stride, dilation, filters, output height for 128×128; of fc rows the features alone.
TABLE_14 = [
    ("encoder.conv0", 3, 1, 2, 128, 128),
    ("encoder.conv1", 3, 2, 1, 64, 64),
    ("encoder.rb1", 3, 1, 1, 64, 64),
    ("encoder.conv2", 3, 2, 1, 128, 32),
    ("encoder.rb2", 3, 1, 1, 128, 32),
    ("encoder.conv3", 3, 2, 1, 256, 16),
    ("encoder.rb3", 3, 1, 1, 256, 16),
    ("encoder.conv4", 3, 2, 1, 512, 8),
    ("encoder.rb4", 3, 1, 1, 512, 8),
    ("encoder.conv5", 3, 2, 1, 1024, 4),
    ("encoder.rb5", 3, 1, 1, 1024, 4),
    ("fc1", None, None, None, 512, None),
    ("fc2", None, None, None, 16_384, None),
    ("decoder.conv3", 3, 1, 1, 4 * 512, 4),
    ("decoder.ps1", None, None, None, 512, 8),
    ("decoder.conv4", 3, 1, 1, 4 * 256, 8),
    ("decoder.ps2", None, None, None, 256, 16),
    ("decoder.conv5", 3, 1, 1, 4 * 128, 16),
    ("decoder.ps3", None, None, None, 128, 32),
    ("decoder.conv6", 3, 1, 1, 4 * 64, 32),
    ("decoder.ps4", None, None, None, 64, 64),
    ("decoder.conv7", 3, 1, 1, 4 * 64, 64),
    ("decoder.ps5", None, None, None, 64, 128),
    ("decoder.conv8", 5, 1, 1, 3, 128),
]
ENCODER, DECODER = (128, 64, 128, 256, 512, 1024), (512, 256, 128, 64, 64)


def small(**changes: object) -> ColorizationGenerator:
    torch.manual_seed(0)
    numbers: dict[str, object] = {"image_size": 32, "width": 4}
    return ColorizationGenerator(**(numbers | changes))  # type: ignore[arg-type]


def images(count: int = 2, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module", params=SKIPS)
def of_the_paper(request: pytest.FixtureRequest) -> ColorizationGenerator:
    return ColorizationGenerator(skips=request.param)


def test_layers_are_table_14s_rows(of_the_paper: ColorizationGenerator) -> None:
    G = of_the_paper
    rows = {name for name, *_ in TABLE_14}
    layers = {name: module for name, module in G.named_modules() if name in rows}
    order: list[str] = []
    shapes: dict[str, torch.Size] = {}

    def hook(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def write(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            order.append(name)
            shapes[name] = output.shape

        return write

    for name, module in layers.items():
        module.register_forward_hook(hook(name))
    with torch.no_grad():
        assert G(torch.zeros(1, 3, 128, 128)).shape == (1, 3, 128, 128)
    assert order == [name for name, *_ in TABLE_14]
    for name, kernel, stride, dilation, filters, size in TABLE_14:
        assert shapes[name] == ((1, filters) if size is None else (1, filters, size, size)), name
        for conv in (module for module in layers[name].modules() if isinstance(module, nn.Conv2d)):
            assert conv.kernel_size == (kernel, kernel), name
            assert conv.stride == (stride, stride), name
            assert conv.dilation == (dilation, dilation), name


def test_parameters_are_table_14s(of_the_paper: ColorizationGenerator) -> None:
    def conv(c_in: int, c_out: int, kernel: int = 3) -> int:
        return kernel**2 * c_in * c_out + c_out

    encoder = conv(3, 128) + sum(conv(a, b) + 2 * conv(b, b) for a, b in pairwise(ENCODER))
    fully = (16_384 * 512 + 512) + (512 * 16_384 + 16_384)
    concatenated = of_the_paper.skips == "concatenate"
    beside = ENCODER[4::-1] if concatenated else (0,) * 5
    inputs = [1024, *(own + skip for own, skip in zip(DECODER, beside, strict=True))]
    decoder = sum(conv(c_in, 4 * c_out) for c_in, c_out in zip(inputs, DECODER, strict=False)) + conv(inputs[-1], 3, 5)
    counted = sum(parameter.numel() for parameter in of_the_paper.parameters())
    assert counted == encoder + fully + decoder == (79_859_587 if concatenated else 73_509_379)


def test_maps_are_added_where_table_14_prints_equal_widths() -> None:
    """RB1 to RB4 and PS4 to PS1; conv0 has 128 filters and PS5 64."""
    equal = [(a, b) for a, b in zip(ENCODER[:5], reversed(DECODER), strict=True) if a == b]
    assert len(equal) == 4
    added, none = small(skips="add"), small(skips="none")
    added.load_state_dict(none.state_dict())
    x = greyed(images())
    assert not torch.equal(added(x), none(x))
    with torch.no_grad():
        for i in range(1, 5):
            for part in (f"conv{i}", f"rb{i}"):
                for parameter in added.encoder[part].parameters():
                    parameter.zero_()
    none.load_state_dict(added.state_dict())
    torch.testing.assert_close(added(x), none(x))  # nothing is added any more, so that conv0's map has no way around


@pytest.mark.parametrize("skips", ["add", "concatenate"])
def test_a_skip_brings_what_the_bottom_does_not_know(skips: str) -> None:
    G, x = small(skips=skips), greyed(images())
    with torch.no_grad():
        G.fc2.weight.zero_()
        first, second = G(x)
    assert (first - second).abs().mean() > 1e-3
    blind = small(skips="none")
    with torch.no_grad():
        blind.fc2.weight.zero_()
        first, second = blind(x)
    assert torch.equal(first, second)


@pytest.mark.parametrize("skips", SKIPS)
def test_every_parameter_learns(skips: str) -> None:
    G, x = small(skips=skips, image_size=64), greyed(images(size=64))
    for module in G.modules():  # which begin at zero, so that the convolution before them gets no gradient yet
        if isinstance(module, PlainBlock):
            nn.init.normal_(module.conv1.weight, std=0.1)
    (G(x) - images(size=64)).square().mean().backward()
    for name, parameter in G.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("size", [32, 64, 96])
def test_other_sizes_keep_the_rows(size: int) -> None:
    G = small(image_size=size)
    assert G(torch.zeros(2, 3, size, size)).shape == (2, 3, size, size)
    assert (G.fc1.out_features, G.fc2.out_features) == (32, 64 * (size // 32) ** 2)
    assert CasiaNet(width=4)(torch.zeros(2, 3, size, size), torch.zeros(2, 3, size, size)).shape == (2,)


@pytest.mark.parametrize("autocast", [False, True])
def test_channels_last_is_kept_and_changes_nothing(autocast: bool) -> None:
    G, D, x = small(), CasiaNet(width=4), greyed(images())
    with torch.no_grad():
        exact = G(x)
        logits = D(x, exact)
        for network in (G, D):
            network.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            fast = G(x)
            fast_logits = D(x, fast)
    assert (fast.dtype, fast_logits.dtype) == (torch.float32, torch.float32)
    assert memory_format(fast) is torch.channels_last
    within = 0.05 if autocast else 1e-4
    torch.testing.assert_close(fast, exact, rtol=within, atol=within)
    torch.testing.assert_close(fast_logits, logits, rtol=within, atol=within)


def test_casia_net_has_its_ten_convolutions() -> None:
    D = CasiaNet()
    shapes: dict[str, tuple[int, ...]] = {}
    for name, conv in D.convs.items():
        conv.register_forward_hook(lambda module, inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])}))
    D(torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 128, 128))
    filters = (32, 64, 64, 128, 96, 192, 128, 256, 160, 320)
    assert filters == tuple(32 * times for times in CASIA_NET)
    sizes = (128, 128, 64, 64, 32, 32, 16, 16, 8, 8)
    names = [f"conv{i}{j}" for i in range(1, 6) for j in (1, 2)]
    assert shapes == {name: (c, size, size) for name, c, size in zip(names, filters, sizes, strict=True)}
    counted = sum(parameter.numel() for parameter in D.parameters())
    assert counted == sum(9 * a * b + b for a, b in pairwise((6, *filters))) + 321 == 1_754_529


def test_casia_net_looks_at_both_images_and_its_features_may_be_negative() -> None:
    torch.manual_seed(0)
    D, x = CasiaNet(width=4), images()
    grey = greyed(x)
    assert not torch.equal(D(grey, x), D(grey, x.flip(2)))
    assert not torch.equal(D(grey, x), D(grey.flip(2), x))
    seen: list[torch.Tensor] = []
    D.fc.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    D(grey, x)
    assert seen[0].min() < 0


def test_grey_is_pillows_luma() -> None:
    from PIL import Image

    rgb = torch.randint(0, 256, (1, 8, 8, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    grey = greyed(rgb.permute(0, 3, 1, 2).float() / 127.5 - 1)
    pillow = torch.tensor(list(Image.fromarray(rgb[0].numpy()).convert("L").getdata())).view(8, 8)
    assert torch.equal(grey[:, :1], grey[:, 1:2])
    assert ((grey[0, 0] + 1) * 127.5 - pillow).abs().max() < 1.01


def test_wrong_sizes_and_skips_are_refused() -> None:
    with pytest.raises(ValueError, match="the image size 48 has to be a multiple of 32"):
        ColorizationGenerator(image_size=48)
    with pytest.raises(ValueError, match="unknown skips 'dense'; there are: add, concatenate, none"):
        ColorizationGenerator(skips="dense")
    with pytest.raises(ValueError, match="reads images of shape B×3×32×32, not 1×3×64×64"):
        small()(torch.zeros(1, 3, 64, 64))
