import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.expression import AttributeClassifier, ExpressionClassifier
from legan.models.layers import LEAKY_SLOPE


def small(**changes: object) -> AttributeClassifier:
    torch.manual_seed(0)
    numbers: dict[str, object] = {"expressions": 3, "lightings": 2, "image_size": 32, "width": 4}
    return AttributeClassifier(**(numbers | changes))  # type: ignore[arg-type]


def test_one_row_of_logits_per_kind() -> None:
    expression, lighting = AttributeClassifier(6, 20, image_size=128, width=8)(torch.zeros(2, 3, 128, 128))
    assert expression.shape == (2, 6)
    assert lighting.shape == (2, 20)


def test_leaky_relu_and_dropout_are_there() -> None:
    kinds = {type(module) for module in small().modules()}
    assert {nn.LeakyReLU, nn.Dropout, nn.BatchNorm2d} <= kinds
    assert nn.ReLU not in kinds


def test_dropout_acts_in_training_only() -> None:
    C, x = small(dropout=0.5), torch.rand(4, 3, 32, 32)
    C.eval()
    assert torch.equal(C(x)[0], C(x)[0])
    C.dropout.train()
    assert not torch.equal(C(x)[0], C(x)[0])


def faces(generator: torch.Generator, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Discs with a mouth of one of three heights, lit from the left or from the right."""
    expression = torch.randint(0, 3, (batch,), generator=generator)
    lighting = torch.randint(0, 2, (batch,), generator=generator)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    side = torch.where(lighting == 0, -1.0, 1.0)[:, None, None]
    height = (0.1 + 0.15 * expression)[:, None, None]
    mouth = ((y - 0.5).abs() < height) & (x.abs() < 0.5)
    image = (0.5 + 0.5 * side * x) * torch.where(mouth, 0.3, 1.0) * 2 - 1
    return image[:, None] + 0.1 * torch.randn(batch, 3, 32, 32, generator=generator), expression, lighting


def test_it_learns_expression_and_side_of_light() -> None:
    C = small()
    generator = torch.Generator().manual_seed(1)
    adam = torch.optim.Adam(C.parameters(), 3e-3)
    for _ in range(60):
        x, expression, lighting = faces(generator, 32)
        of_expression, of_lighting = C(x)
        adam.zero_grad()
        (F.cross_entropy(of_expression, expression) + F.cross_entropy(of_lighting, lighting)).backward()
        adam.step()
    C.eval()
    x, expression, lighting = faces(generator, 200)
    with torch.no_grad():
        of_expression, of_lighting = C(x)
    assert (of_expression.argmax(1) == expression).float().mean() > 0.9
    assert (of_lighting.argmax(1) == lighting).float().mean() > 0.95


def test_answers_are_float32_and_the_same_in_channels_last() -> None:
    C, x = small().eval(), torch.rand(2, 3, 32, 32)
    exact = C(x)
    C.to(memory_format=torch.channels_last)
    for own, expected in zip(C(x.contiguous(memory_format=torch.channels_last)), exact, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert {logits.dtype for logits in C(x)} == {torch.float32}


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="image size of 32, 48, 64 and so on, not 40"):
        small(image_size=40)
    with pytest.raises(ValueError, match="reads images of shape B×3×32×32, not 1×3×64×64"):
        small()(torch.zeros(1, 3, 64, 64))


def test_table_5s_classifier_is_three_convolutions_and_two_fully_connected_layers() -> None:
    torch.manual_seed(0)
    C, x = ExpressionClassifier(expressions=3, image_size=16, width=2, hidden=5).eval(), torch.rand(2, 3, 16, 16)
    weights = list(C.parameters())
    h = x
    for weight, bias in zip(weights[0:6:2], weights[1:6:2], strict=True):
        h = F.max_pool2d(F.leaky_relu(F.conv2d(h, weight, bias, padding=2), LEAKY_SLOPE), 2)
    h = F.leaky_relu(h.flatten(1) @ weights[6].T + weights[7], LEAKY_SLOPE)
    assert torch.allclose(C(x), h @ weights[8].T + weights[9], atol=1e-6)
    C.train()
    assert not torch.equal(C(x), C(x))


def test_table_5s_classifier_has_the_stated_size() -> None:
    with torch.device("meta"):
        C = ExpressionClassifier(expressions=4)
    assert sum(weight.numel() for weight in C.parameters()) == 13_728_724
    with pytest.raises(ValueError, match="16, 24, 32 and so on, not 20"):
        ExpressionClassifier(expressions=4, image_size=20)
