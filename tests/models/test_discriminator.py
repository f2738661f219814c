import pytest
import torch
from torch import Tensor, nn

from legan.models.discriminator import Discriminator
from legan.models.losses import gradient_penalty, interpolate, norm_penalty

# Table 10: name, filter, stride, channels in (the row above's filters), filters, output height for 128×128.
TABLE_10 = [
    ("trunk.conv0", 4, 2, 3, 64, 64),
    ("trunk.conv1", 4, 2, 64, 128, 32),
    ("trunk.conv2", 4, 2, 128, 256, 16),
    ("trunk.conv3", 4, 2, 256, 512, 8),
    ("trunk.conv4", 4, 2, 512, 1024, 4),
    ("trunk.conv5", 4, 2, 1024, 2048, 2),
    ("src", 3, 1, 2048, 1, 2),
    ("cls", 1, 1, 2048, 26, 2),
]


def small(**changes: object) -> Discriminator:
    torch.manual_seed(0)
    numbers: dict[str, object] = {"attributes": 7, "image_size": 32, "width": 4, "layers": 4}
    return Discriminator(**(numbers | changes))  # type: ignore[arg-type]


def images(batch: int = 2, size: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_layers_are_table_10s_rows() -> None:
    D = Discriminator(26)
    shapes: dict[str, torch.Size] = {}
    convolutions = {name: module for name, module in D.named_modules() if isinstance(module, nn.Conv2d)}
    for name, module in convolutions.items():
        module.register_forward_hook(lambda module, inputs, output, name=name: shapes.update({name: output.shape}))
    with torch.no_grad():
        source, logits = D(torch.zeros(1, 3, 128, 128))
    assert list(convolutions) == [name for name, *_ in TABLE_10]
    for name, kernel, stride, c_in, filters, size in TABLE_10:
        conv = convolutions[name]
        assert conv.kernel_size == (kernel, kernel), name
        assert conv.stride == (stride, stride), name
        assert conv.dilation == (1, 1), name
        assert (conv.in_channels, conv.out_channels) == (c_in, filters), name
        assert shapes[name] == (1, filters, size, size), name
    assert source.shape == (1, 1, 2, 2)
    assert logits.shape == (1, 26)


def test_parameters_are_table_10s() -> None:
    counted = sum(parameter.numel() for parameter in Discriminator(26).parameters())
    weights = sum(kernel**2 * c_in * filters for _, kernel, _, c_in, filters, _ in TABLE_10)
    biases = sum(filters for name, *_, filters, _ in TABLE_10 if name.startswith("trunk"))
    assert counted == weights + biases == 44_774_336


def test_leaky_relu_follows_every_trunk_convolution_and_nothing_else() -> None:
    trunk = Discriminator(26).trunk
    assert len(trunk) == 12
    for layer in trunk[1::2]:
        assert isinstance(layer, nn.LeakyReLU)
        assert layer.negative_slope == 0.01


def test_average_head_averages_the_logits_over_the_map() -> None:
    D, x = small(), images()
    expected = D.cls(D.trunk(x)).mean((2, 3))
    torch.testing.assert_close(D(x).logits, expected)


def test_valid_head_covers_the_map_as_stargans() -> None:
    D = small(classifier="valid", layers=3)
    assert D.cls.kernel_size == (4, 4)
    assert D(images()).logits.shape == (2, 7)


@pytest.mark.parametrize(("size", "layers", "patches"), [(32, 4, 2), (64, 5, 2), (48, 4, 3), (64, 3, 8)])
def test_other_image_sizes(size: int, layers: int, patches: int) -> None:
    D = small(image_size=size, layers=layers)
    assert D(images(size=size)).source.shape == (2, 1, patches, patches)


@pytest.mark.parametrize("autocast", [False, True])
def test_answers_are_float32_and_the_same_in_channels_last(autocast: bool) -> None:
    D, x = small(), images()
    exact = D(x)
    D.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        fast = D(x.contiguous(memory_format=torch.channels_last))
    for own, expected in zip(fast, exact, strict=True):
        assert own.dtype == torch.float32
        torch.testing.assert_close(own, expected, rtol=0.05 if autocast else 1e-4, atol=0.02 if autocast else 1e-6)


def test_first_and_second_derivatives() -> None:
    D = small(image_size=8, width=2, layers=2).double()
    x = images(batch=1, size=8).double().requires_grad_()

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        source, logits = D(x)
        return source, logits

    assert torch.autograd.gradcheck(both, x)
    assert torch.autograd.gradgradcheck(both, x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "width", "layers"), [(32, 4, 4), (16, 300, 3)])  # the second with matrix products
def test_source_gradient_is_autograds(size: int, width: int, layers: int, layout: torch.memory_format) -> None:
    D = small(image_size=size, width=width, layers=layers).double().to(memory_format=layout)
    x = images(size=size).double().contiguous(memory_format=layout).requires_grad_()
    (expected,) = torch.autograd.grad(D(x).source.sum(), x)
    torch.testing.assert_close(D.source_gradient(x), expected)


@pytest.mark.parametrize("autocast", [False, True])
def test_penalty_through_source_gradient_trains_d_as_double_backward_does(autocast: bool) -> None:
    D = small()
    x_real, x_fake, alpha = images(3), images(3, seed=1), torch.tensor([0.1, 0.5, 0.9])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        slow = gradient_penalty(lambda x: D(x).source, x_real, x_fake, alpha)
        fast = norm_penalty(D.source_gradient(interpolate(x_real, x_fake, alpha)))
    torch.testing.assert_close(fast, slow)
    weights = [*(parameter for name, parameter in D.trunk.named_parameters() if name.endswith("weight")), D.src.weight]
    expected, own = torch.autograd.grad(slow, weights), torch.autograd.grad(fast, weights)
    for a, b in zip(own, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_penalty_has_no_gradient_for_biases_to_lose() -> None:
    """The closed form leaves biases out of the graph; autograd's own gradient for them is zero."""
    D = small()
    gradient_penalty(lambda x: D(x).source, images(), images(seed=1), torch.rand(2)).backward()
    for name, parameter in D.trunk.named_parameters():
        if name.endswith("bias"):
            assert parameter.grad is None or not parameter.grad.any()


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 1, 32, 32), (3, 32, 32)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    D = small()
    for call in (D, D.source_gradient):
        with pytest.raises(ValueError, match=r"reads images of shape B×3×32×32, not .*; resize the images or build"):
            call(torch.zeros(shape))


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="image size 100 cannot be halved by 6 layers; it has to be a multiple of 64"):
        Discriminator(26, image_size=100)
    with pytest.raises(ValueError, match="unknown classifier head 'max'; there are: average, valid"):
        small(classifier="max")
