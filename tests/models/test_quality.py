import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from legan.models.quality import (
    QUALITY_LOSSES,
    QualityModel,
    absolute_margin_loss,
    hinge_margin_loss,
    margin_loss,
    squared_loss,
)

# Table 6: name, filter, stride, channels in, filters, output height for 128×128.
TABLE_6 = [
    ("trunk.conv0", 4, 2, 3, 64, 64),
    ("trunk.conv1", 4, 2, 64, 128, 32),
    ("trunk.conv2", 4, 2, 128, 256, 16),
    ("trunk.conv3", 4, 2, 256, 512, 8),
    ("trunk.conv4", 4, 2, 512, 1024, 4),
    ("trunk.conv5", 4, 2, 1024, 2048, 2),
]


def small(**changes: object) -> QualityModel:
    torch.manual_seed(0)
    numbers: dict[str, object] = {"image_size": 32, "width": 4, "layers": 4, "hidden": 8}
    return QualityModel(**(numbers | changes))  # type: ignore[arg-type]


def test_layers_are_table_6s_rows() -> None:
    Q = QualityModel()
    shapes: dict[str, torch.Size] = {}
    layers = {name: module for name, module in Q.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    for name, module in layers.items():
        module.register_forward_hook(lambda module, inputs, output, name=name: shapes.update({name: output.shape}))
    with torch.no_grad():
        assert Q(torch.zeros(2, 3, 128, 128)).shape == (2,)
    assert list(layers) == [*(name for name, *_ in TABLE_6), "fc0", "fc1"]
    for name, kernel, stride, c_in, filters, size in TABLE_6:
        conv = layers[name]
        assert isinstance(conv, nn.Conv2d)
        assert conv.kernel_size == (kernel, kernel), name
        assert conv.stride == (stride, stride), name
        assert (conv.in_channels, conv.out_channels) == (c_in, filters), name
        assert shapes[name] == (2, filters, size, size), name
    assert (Q.fc0.in_features, shapes["fc0"], shapes["fc1"]) == (2048 * 2 * 2, (2, 256), (2, 1))


def test_parameters_are_table_6s() -> None:
    counted = sum(parameter.numel() for parameter in QualityModel().parameters())
    convolutions = sum(kernel**2 * c_in * filters + filters for _, kernel, _, c_in, filters, _ in TABLE_6)
    assert counted == convolutions + (8192 * 256 + 256) + (256 + 1) == 46_800_321


def test_nothing_stands_between_the_linear_layers() -> None:
    Q, x = small(), torch.rand(3, 3, 32, 32)
    features = Q.trunk(x).flatten(1)
    one_map = Q.fc1.weight @ Q.fc0.weight
    expected = features @ one_map.T + Q.fc1.weight @ Q.fc0.bias + Q.fc1.bias
    torch.testing.assert_close(Q(x), expected.squeeze(1))


def test_an_untrained_q_answers_about_the_mean_rating() -> None:
    ratings = small(mean_rating=6.8)(torch.rand(50, 3, 32, 32) * 2 - 1)
    assert (ratings - 6.8).abs().max() < 1


def test_answers_are_float32_and_the_same_in_channels_last() -> None:
    Q, x = small(), torch.rand(2, 3, 32, 32)
    exact = Q(x)
    Q.to(memory_format=torch.channels_last)
    torch.testing.assert_close(Q(x.contiguous(memory_format=torch.channels_last)), exact)
    with torch.autocast("cpu", torch.bfloat16):
        assert Q(x).dtype == torch.float32


def test_one_image_gives_one_rating_in_a_vector() -> None:
    assert small()(torch.zeros(1, 3, 32, 32)).shape == (1,)


def test_gradients_reach_the_image() -> None:
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    Q = small().requires_grad_(requires_grad=False)
    Q(x).sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).float().mean() > 0.9


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="image size 96 cannot be halved by 6 layers"):
        QualityModel(image_size=96)
    with pytest.raises(ValueError, match="reads images of shape B×3×32×32, not 1×3×16×16"):
        small()(torch.zeros(1, 3, 16, 16))


def test_losses_by_hand() -> None:
    mu, sigma = torch.tensor([7.0, 5.0]), torch.tensor([1.0, 2.0])
    prediction = torch.tensor([5.0, 5.5])  # d = 2 and −0.5, d² = 4 and 0.25
    assert margin_loss(mu, sigma, prediction).item() == ((1 - 4) ** 2 + (2 - 0.25) ** 2) / 2
    assert hinge_margin_loss(mu, sigma, prediction).item() == (4 - 1 + 0) / 2
    assert absolute_margin_loss(mu, sigma, prediction).item() == (abs(1 - 2) + abs(2 - 0.5)) / 2
    assert squared_loss(mu, sigma, prediction).item() == (4 + 0.25) / 2


def test_margin_loss_has_its_minima_at_d_squared_equal_to_sigma() -> None:
    mu, sigma = torch.tensor([6.0]), torch.tensor([2.25])
    predictions = torch.linspace(3, 9, 6001).tolist()
    values = torch.tensor([margin_loss(mu, sigma, torch.tensor([p])).item() for p in predictions])
    lowest = [predictions[i] for i in range(1, 6000) if values[i] < values[i - 1] and values[i] < values[i + 1]]
    assert lowest == pytest.approx([6 - 1.5, 6 + 1.5], abs=1e-6)  # not 6 ± 2.25
    assert values.min() == pytest.approx(0, abs=1e-8)


@given(st.floats(0, 10), st.floats(0, 3), st.floats(0, 10))
def test_hinge_is_free_inside_the_margin_and_all_losses_are_at_least_zero(mu: float, sigma: float, prediction: float) -> None:
    values = torch.tensor([[mu], [sigma], [prediction]], dtype=torch.float64)
    results = {name: loss(*values).item() for name, loss in QUALITY_LOSSES.items()}
    assert min(results.values()) >= 0
    inside = (mu - prediction) ** 2 <= sigma
    assert (results["hinge"] == 0) == inside
    assert results["absolute"] == pytest.approx(abs(sigma - abs(mu - prediction)))


def test_losses_are_found_by_name() -> None:
    assert dict(QUALITY_LOSSES) == {
        "margin": margin_loss,
        "hinge": hinge_margin_loss,
        "absolute": absolute_margin_loss,
        "squared": squared_loss,
    }
