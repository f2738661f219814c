"""The terms of LEGAN's objective (paper, Eq. 2–7) and of its rivals', as pure functions of what the networks return.

Shapes: B batch, h×w the discriminator's map, A attributes, K features. Each function returns a scalar. The weights of
Eq. 7, the split into D's and G's objective and the schedule belong to whoever trains.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

CLASSIFICATION_KINDS = ("bce", "bce_sum", "softmax")


def adversarial_loss_d(real_source: Tensor, fake_source: Tensor) -> Tensor:
    """What D minimises of Eq. 2, without the penalty: E[D(fake)] − E[D(real)]; maps are B×1×h×w.

    The paper's sentence on who minimises and who maximises is the wrong way round; this is WGAN.
    """
    return fake_source.mean() - real_source.mean()


def adversarial_loss_g(fake_source: Tensor) -> Tensor:
    """What G minimises of Eq. 2: −E[D(fake)]; the map is B×1×h×w."""
    return -fake_source.mean()


def interpolate(x_real: Tensor, x_fake: Tensor, alpha: Tensor) -> Tensor:
    """Î of Eq. 2: α·real + (1 − α)·fake, one weight per sample; images B×3×H×W, ``alpha`` B in [0, 1]; float32, no graph."""
    dtype = torch.promote_types(x_real.dtype, torch.float32)
    weight = alpha.to(dtype).view(-1, 1, 1, 1)
    return torch.lerp(x_fake.detach().to(dtype), x_real.detach().to(dtype), weight)


def norm_penalty(gradient: Tensor) -> Tensor:
    """E[(‖∇‖₂ − 1)²] over a batch of gradients, B×3×H×W, one norm per sample."""
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=(1, 2, 3))
    return (norm - 1).square().mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], x_real: Tensor, x_fake: Tensor, alpha: Tensor) -> Tensor:
    """Last term of Eq. 2 without its weight: E[(‖∇D(Î)‖₂ − 1)²] for any critic.

    ``critic`` maps images B×3×H×W to realness maps, whose patches are summed per sample. Always in float32, also under
    autocast; can be differentiated with respect to the critic. For LEGAN's own D,
    ``norm_penalty(D.source_gradient(interpolate(x_real, x_fake, alpha)))`` is the same number in half the time.
    """
    with torch.autocast(x_real.device.type, enabled=False):
        x_hat = interpolate(x_real, x_fake, alpha).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
        return norm_penalty(gradient)


def classification_loss(logits: Tensor, f: Tensor, expressions: int, kind: str = "bce") -> Tensor:
    """Either half of Eq. 3: how far D's logits, B×A, are from labels f, B×A = [expression one-hot | lighting one-hot].

    ``bce`` is binary cross-entropy, the mean over all B·A logits; ``bce_sum``, StarGAN's, its sum over the logits and mean
    over the batch; ``softmax`` is the cross-entropy of the first ``expressions`` classes plus that of the other ones, each the
    mean over the batch. ValueError for another kind.
    """
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(logits, f)
    if kind == "bce_sum":
        return F.binary_cross_entropy_with_logits(logits, f, reduction="sum") / logits.shape[0]
    if kind == "softmax":
        of_expression = F.cross_entropy(logits[:, :expressions], f[:, :expressions])
        return of_expression + F.cross_entropy(logits[:, expressions:], f[:, expressions:])
    raise ValueError(f"unknown kind of classification loss {kind!r}; there are: {', '.join(CLASSIFICATION_KINDS)}.")


def identity_loss(features_source: Tensor, features_fake: Tensor) -> Tensor:
    """Eq. 4: E[1 − cosine] of the identity network's features, B×K, of input and output; between 0 and 2.

    >>> identity_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
    tensor(1.)
    """
    return (1 - F.cosine_similarity(features_source, features_fake, dim=1)).mean()


def reconstruction_loss(x: Tensor, x_rec: Tensor) -> Tensor:
    """Eq. 5: ‖x − G(G(x, f_b), f_a)‖₁ as the mean over images, channels and pixels."""
    return (x - x_rec).abs().mean()


def quality_loss(q: float, quality_fake: Tensor, quality_source: Tensor, quality_rec: Tensor) -> Tensor:
    """Eq. 6: E|q − Q(fake)| + E|Q(source) − Q(reconstruction)|; ratings of masked images, B each.

    The source's rating is a target: no gradient flows to it.

    >>> fake, source, reconstruction = torch.tensor([6.0]), torch.tensor([5.0]), torch.tensor([4.5])
    >>> quality_loss(8.0, fake, source, reconstruction)
    tensor(2.5000)
    """
    return (q - quality_fake).abs().mean() + (quality_source.detach() - quality_rec).abs().mean()


def total_variation(x: Tensor) -> Tensor:
    """L_tv of Eq. 7: absolute differences of neighbours, down and across, summed per image, batch mean."""
    down = (x[:, :, 1:] - x[:, :, :-1]).abs().sum()
    across = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().sum()
    return (down + across) / x.shape[0]


def logistic_loss(logits: Tensor, real: bool) -> Tensor:
    """StarGAN-v2's adversarial loss: binary cross-entropy of D's logits, B, against real or fake for all."""
    return F.softplus(-logits if real else logits).mean()


def r1_penalty(logits: Tensor, x_real: Tensor) -> Tensor:
    """StarGAN-v2's R1: half the mean of ‖∇D(x)‖₂² over real images x, B×3×H×W, of which ``logits``, B, are D's answers.

    Can be differentiated once more. ``x_real`` has to require a gradient.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), x_real, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean() / 2


def diversity(x_fake: Tensor, x_other: Tensor) -> Tensor:
    """StarGAN-v2's diversity of one image under two styles, which G enlarges: mean L1. No gradient flows to the second."""
    return (x_fake - x_other.detach()).abs().mean()


def style_loss(style: Tensor, style_of_fake: Tensor) -> Tensor:
    """StarGAN-v2's style reconstruction: mean L1 between the style asked for and the one found in the output, B×s each."""
    return (style - style_of_fake).abs().mean()
