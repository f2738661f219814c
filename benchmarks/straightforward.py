"""LEGAN's training step as one writes it from the paper: what our step is compared with, in figures and in tests.

Five separate critic updates, each with its own generator pass; D called for real and for fake images one after the other;
fp32, default memory format; D's weights collect gradients in G's step too.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from legan.models import losses
from legan.models.discriminator import Discriminator
from legan.models.generator import Generator
from legan.platform.settings import LossSettings

BLACK = -1.0


def straightforward_step(
    G: Generator,
    D: Discriminator,
    T: nn.Module,
    Q: nn.Module,
    g_adam: torch.optim.Optimizer,
    d_adam: torch.optim.Optimizer,
    batch: Mapping[str, Tensor],
    loss: LossSettings,
    critic_steps: int,
) -> tuple[Tensor, Tensor]:
    """One generator step after ``critic_steps`` critic steps; the last totals of D and G. See LeganTask.batch for ``batch``."""
    x_all = batch["x"].to(next(G.parameters()).dtype).contiguous() / 127.5 - 1
    minibatches = zip(
        *(values.chunk(critic_steps) for values in (x_all, batch["f_org"], batch["f_trg"], batch["alpha"])), strict=True
    )
    for x, f_org, f_trg, alpha in minibatches:
        with torch.no_grad():
            x_fake = G(x, f_trg).image
        source_real, logits_real = D(x)
        source_fake, _ = D(x_fake)
        d_total = (
            losses.adversarial_loss_d(source_real, source_fake)
            + loss.lambda_gp * losses.gradient_penalty(lambda image: D(image).source, x, x_fake, alpha)
            + loss.lambda_1 * losses.classification_loss(logits_real, f_org, G.expressions, loss.classification)
        )
        d_adam.zero_grad()
        d_total.backward()
        d_adam.step()

    hull = batch["hull"]
    x_fake = G(x, f_trg).image
    x_rec = G(x_fake, f_org).image
    source_fake, logits_fake = D(x_fake)
    g_total = (
        losses.adversarial_loss_g(source_fake)
        + loss.lambda_1 * losses.classification_loss(logits_fake, f_trg, G.expressions, loss.classification)
        + loss.lambda_2 * losses.reconstruction_loss(x, x_rec)
        + loss.lambda_3 * losses.identity_loss(T.features(x), T.features(x_fake))
        + loss.lambda_4
        * losses.quality_loss(
            loss.q,
            Q(torch.where(hull, x_fake, BLACK)),
            Q(torch.where(hull, x, BLACK)),
            Q(torch.where(hull, x_rec, BLACK)),
        )
        + loss.lambda_5 * (losses.total_variation(x_fake) + losses.total_variation(x_rec))
    )
    g_adam.zero_grad()
    g_total.backward()
    g_adam.step()
    return d_total.detach(), g_total.detach()
