import math

import pytest
import torch
from torch import Tensor

from legan.models import losses


def test_adversarial_losses_by_hand() -> None:
    real = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)
    fake = torch.tensor([0.0, -2.0, 1.0, 0.0]).view(1, 1, 2, 2)
    assert losses.adversarial_loss_d(real, fake).item() == -0.25 - 2.5
    assert losses.adversarial_loss_g(fake).item() == 0.25


def test_d_and_g_pull_the_fakes_in_opposite_directions() -> None:
    fake = torch.zeros(2, 1, 2, 2, requires_grad=True)
    (of_d,) = torch.autograd.grad(losses.adversarial_loss_d(torch.zeros(2, 1, 2, 2), fake), fake)
    (of_g,) = torch.autograd.grad(losses.adversarial_loss_g(fake), fake)
    assert torch.equal(of_d, torch.full_like(fake, 1 / 8))
    assert torch.equal(of_g, -of_d)


def test_interpolate_has_one_weight_per_sample() -> None:
    real, fake = torch.ones(3, 3, 4, 4), torch.full((3, 3, 4, 4), -1.0)
    mixed = losses.interpolate(real, fake, torch.tensor([0.0, 0.25, 1.0]))
    assert mixed.flatten(1).unique(dim=1).tolist() == [[-1.0], [-0.5], [1.0]]


def test_interpolate_of_low_precision_images_is_float32() -> None:
    real = torch.ones(1, 3, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    mixed = losses.interpolate(real, real, torch.ones(1))
    assert mixed.dtype == torch.float32
    assert not mixed.requires_grad


def test_gradient_penalty_of_a_linear_critic_by_hand() -> None:
    """D(x) = Σ over two patches of w·x: its gradient is 2w everywhere, whatever the images."""
    w = torch.zeros(3, 4, 4)
    w[0, 0, 0], w[2, 3, 1] = 1.5, 2.0  # ‖w‖ = 2.5, ‖2w‖ = 5

    def critic(x: Tensor) -> Tensor:
        score = (x * w).sum((1, 2, 3))
        return torch.stack([score, score], dim=1).view(-1, 1, 1, 2)

    penalty = losses.gradient_penalty(critic, torch.rand(5, 3, 4, 4), torch.rand(5, 3, 4, 4), torch.rand(5))
    assert penalty.item() == pytest.approx((5 - 1) ** 2)


def test_gradient_penalty_takes_the_norm_per_sample_at_the_interpolate() -> None:
    """D(x) = ‖x‖²/2: its gradient is x itself."""
    real, fake, alpha = torch.full((2, 3, 2, 2), 1.0), torch.zeros(2, 3, 2, 2), torch.tensor([1.0, 0.5])
    penalty = losses.gradient_penalty(lambda x: x.square().sum((1, 2, 3)) / 2, real, fake, alpha)
    norms = [math.sqrt(12), 0.5 * math.sqrt(12)]
    assert penalty.item() == pytest.approx(sum((norm - 1) ** 2 for norm in norms) / 2)


def test_gradient_penalty_can_be_differentiated() -> None:
    """D(x) = k·Σx has the penalty (|k|·√12 − 1)², with derivative 2·(k·√12 − 1)·√12."""
    k = torch.tensor(0.7, requires_grad=True)
    penalty = losses.gradient_penalty(
        lambda x: k * x.sum((1, 2, 3)), torch.rand(2, 3, 2, 2), torch.rand(2, 3, 2, 2), torch.rand(2)
    )
    penalty.backward()
    assert k.grad is not None
    assert k.grad.item() == pytest.approx(2 * (0.7 * math.sqrt(12) - 1) * math.sqrt(12))


def test_gradient_penalty_is_float32_under_autocast() -> None:
    seen: list[torch.dtype] = []
    conv = torch.nn.Conv2d(3, 1, 3)

    def critic(x: Tensor) -> Tensor:
        y: Tensor = conv(x)
        seen.extend([x.dtype, y.dtype])
        return y

    x = torch.rand(1, 3, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        penalty = losses.gradient_penalty(critic, x, x, torch.rand(1))
    assert seen == [torch.float32, torch.float32]
    assert penalty.dtype == torch.float32


def test_a_critic_without_gradient_gives_no_nan() -> None:
    k = torch.tensor(0.0, requires_grad=True)
    penalty = losses.gradient_penalty(
        lambda x: k * x.sum((1, 2, 3)), torch.rand(2, 3, 2, 2), torch.rand(2, 3, 2, 2), torch.rand(2)
    )
    penalty.backward()
    assert penalty.item() == 1
    assert k.grad is not None
    assert k.grad.isfinite()


LOGITS = [[2.0, 0.0, -1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 3.0]]
LABELS = [[1.0, 0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0, 1.0]]  # three expressions, two lightings


def test_binary_cross_entropy_by_hand() -> None:
    def entropy(z: float, y: float) -> float:
        p = 1 / (1 + math.exp(-z))
        return -(y * math.log(p) + (1 - y) * math.log(1 - p))

    cells = [entropy(z, y) for row, goal in zip(LOGITS, LABELS, strict=True) for z, y in zip(row, goal, strict=True)]
    loss = losses.classification_loss(torch.tensor(LOGITS), torch.tensor(LABELS), 3)
    assert loss.item() == pytest.approx(sum(cells) / 10)
    stargans = losses.classification_loss(torch.tensor(LOGITS), torch.tensor(LABELS), 3, kind="bce_sum")
    assert stargans.item() == pytest.approx(sum(cells) / 2)


def test_two_softmaxes_by_hand() -> None:
    def entropy(logits: list[float], index: int) -> float:
        return math.log(sum(math.exp(z) for z in logits)) - logits[index]

    expression = (entropy([2, 0, -1], 0) + entropy([0, 0, 0], 1)) / 2
    lighting = (entropy([1, 0], 1) + entropy([0, 3], 1)) / 2
    loss = losses.classification_loss(torch.tensor(LOGITS), torch.tensor(LABELS), 3, kind="softmax")
    assert loss.item() == pytest.approx(expression + lighting)


def test_unknown_kind_of_classification_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of classification loss 'mse'; there are: bce, bce_sum, softmax"):
        losses.classification_loss(torch.tensor(LOGITS), torch.tensor(LABELS), 3, kind="mse")


def test_identity_loss_by_hand() -> None:
    source = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    fake = torch.tensor([[5.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # same, at right angles, opposite
    assert losses.identity_loss(source, fake).item() == pytest.approx((0 + 1 + 2) / 3)
    assert losses.identity_loss(source[:1], torch.tensor([[3.0, 4.0]])).item() == pytest.approx(1 - 0.6)


def test_reconstruction_loss_by_hand() -> None:
    x = torch.zeros(2, 3, 2, 2)
    x_rec = x.clone()
    x_rec[0, 1, 0, 1], x_rec[1, 2, 1, 1] = 0.6, -1.2
    assert losses.reconstruction_loss(x, x_rec).item() == pytest.approx(1.8 / 24)


def test_quality_loss_by_hand() -> None:
    fake, source, rec = torch.tensor([7.0, 9.5]), torch.tensor([6.0, 5.0]), torch.tensor([5.5, 7.0])
    assert losses.quality_loss(8.0, fake, source, rec).item() == (1 + 1.5) / 2 + (0.5 + 2) / 2


def test_the_sources_quality_is_a_target() -> None:
    fake, source, rec = (torch.tensor([value], requires_grad=True) for value in (7.0, 6.0, 5.0))
    losses.quality_loss(8.0, fake, source, rec).backward()
    assert source.grad is None
    assert fake.grad is not None
    assert rec.grad is not None
    assert (fake.grad.item(), rec.grad.item()) == (-1, -1)


def test_total_variation_by_hand() -> None:
    x = torch.zeros(2, 3, 3, 3)
    x[0, 0, 1, 1] = 0.5  # four neighbours
    x[1, 2, 0, 0] = -1.0  # a corner has two
    assert losses.total_variation(x).item() == (4 * 0.5 + 2 * 1.0) / 2


def test_total_variation_of_stripes() -> None:
    x = (torch.arange(6) % 2).float().expand(1, 3, 4, 6)
    assert losses.total_variation(x).item() == 3 * 4 * 5


def test_logistic_loss_by_hand() -> None:
    logits = torch.tensor([0.0, math.log(3.0)])  # real with probability 1/2 and 3/4
    assert losses.logistic_loss(logits, True).item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert losses.logistic_loss(logits, False).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_r1_by_hand_and_its_gradient() -> None:
    """D(x) = a·Σx² has the gradient 2ax, so R1 = ½·mean(4a²·Σx²), and dR1/da = mean(4a·Σx²)."""
    x = torch.tensor([1.0, 2.0, 3.0, 0.0, -1.0, 1.0], dtype=torch.float64).view(2, 3, 1, 1).requires_grad_()
    a = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    penalty = losses.r1_penalty(a * x.square().sum((1, 2, 3)), x)
    assert penalty.item() == pytest.approx(0.5 * 4 * 1.5**2 * (14 + 2) / 2)
    (slope,) = torch.autograd.grad(penalty, a)
    assert slope.item() == pytest.approx(4 * 1.5 * (14 + 2) / 2)


def test_style_and_diversity_by_hand() -> None:
    a, b = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[0.0, 4.0]], requires_grad=True)
    assert losses.style_loss(a, b).item() == 1.5
    spread = losses.diversity(a, b)
    assert spread.item() == 1.5
    spread.backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert a.grad.tolist() == [[0.5, -0.5]]
    assert b.grad is None
