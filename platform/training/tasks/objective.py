"""The two sides of Eq. 7: D's and G's totals, each with its named terms.

Shapes: b this worker's images of one minibatch, A attributes. Images are float b×3×H×W in [-1, 1]. Under autocast the
networks answer in float32, so every loss is computed in it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from legan.models import losses
from legan.models.discriminator import Discriminator
from legan.models.generator import Translation
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.quality import QualityModel
from legan.platform.settings import LossSettings

OUTSIDE_HULL = -1.0  # black


class Judges(NamedTuple):
    """The frozen networks that G is trained against; None where their term is off."""

    identity: LightCNN | FacenetIdentity | None
    quality: QualityModel | None


def d_objective(
    D: Discriminator, x_real: Tensor, f_org: Tensor, x_fake: Tensor, alpha: Tensor, loss: LossSettings, expressions: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """What D minimises: E[D(fake)] - E[D(real)] + λgp·GP + λ1·Lcls(real) (Eq. 2, 3, 7).

    ``x_fake`` carries no gradient; ``alpha``, float b in [0, 1], places each interpolate of the gradient penalty.
    """
    b = x_real.shape[0]
    terms: dict[str, Tensor] = {}
    total = x_real.new_zeros(())
    # D has no normalisation over the batch, so real and fake images can share one pass.
    source, logits = D(torch.cat([x_real, x_fake]))
    if loss.lambda_adv > 0:
        terms["d_adv"] = losses.adversarial_loss_d(source[:b], source[b:])
        total = total + loss.lambda_adv * terms["d_adv"]
        if loss.lambda_gp > 0:
            terms["gp"] = losses.norm_penalty(D.source_gradient(losses.interpolate(x_real, x_fake, alpha)))
            total = total + loss.lambda_adv * loss.lambda_gp * terms["gp"]
    if loss.lambda_1 > 0:
        terms["d_cls"] = losses.classification_loss(logits[:b], f_org, expressions, loss.classification)
        total = total + loss.lambda_1 * terms["d_cls"]
    terms["d_total"] = total
    return total, terms


def g_objective(
    G: Callable[[Tensor, Tensor], Translation],
    D: Discriminator,
    judges: Judges,
    x_real: Tensor,
    f_org: Tensor,
    f_trg: Tensor,
    hull: Tensor,
    own: Tensor,
    translated: Translation,
    loss: LossSettings,
    expressions: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """What G minimises: -E[D(fake)] + λ1·Lcls(fake) + λ2·Lrec + λ3·Lid + λ4·Lqual + λ5·Ltv (Eq. 2-7).

    ``translated`` is G(x_real, f_trg) with its graph; ``hull``, bool b×1×H×W, is the source's face; ``own``, bool b, are the
    images that are reconstructed from themselves instead of from their translation (loss.self_rec).
    """
    x_fake = translated.image
    terms: dict[str, Tensor] = {}
    total = x_fake.new_zeros(())
    x_rec = None
    if loss.lambda_2 > 0 or loss.lambda_4 > 0 or loss.lambda_5 > 0:
        x_from = torch.where(own.view(-1, 1, 1, 1), x_real, x_fake) if loss.self_rec > 0 else x_fake
        x_rec = G(x_from, f_org).image
    if loss.lambda_adv > 0 or loss.lambda_1 > 0:
        source, logits = D(x_fake)
        if loss.lambda_adv > 0:
            terms["g_adv"] = losses.adversarial_loss_g(source)
            total = total + loss.lambda_adv * terms["g_adv"]
        if loss.lambda_1 > 0:
            terms["g_cls"] = losses.classification_loss(logits, f_trg, expressions, loss.classification)
            total = total + loss.lambda_1 * terms["g_cls"]
    if loss.lambda_2 > 0 and x_rec is not None:
        terms["rec"] = losses.reconstruction_loss(x_real, x_rec)
        total = total + loss.lambda_2 * terms["rec"]
    if loss.lambda_3 > 0 and judges.identity is not None:
        with torch.no_grad():
            features_source = judges.identity.features(x_real)
        terms["id"] = losses.identity_loss(features_source, judges.identity.features(x_fake))
        total = total + loss.lambda_3 * terms["id"]
    if loss.lambda_4 > 0 and judges.quality is not None and x_rec is not None:
        terms.update(_quality_terms(judges.quality, x_real, x_fake, x_rec, hull, loss.q))
        total = total + loss.lambda_4 * terms["qual"]
    if loss.lambda_5 > 0 and x_rec is not None:
        terms["tv"] = losses.total_variation(x_fake) + losses.total_variation(x_rec)
        total = total + loss.lambda_5 * terms["tv"]
    terms["g_total"] = total
    return total, terms


def _quality_terms(
    Q: QualityModel, x_real: Tensor, x_fake: Tensor, x_rec: Tensor, hull: Tensor, q: float
) -> Mapping[str, Tensor]:
    """Lqual (Eq. 6) on the images masked by the source's hull, and where Q stands."""
    with torch.no_grad():
        quality_source = Q(torch.where(hull, x_real, OUTSIDE_HULL))
    masked = torch.cat([torch.where(hull, x_fake, OUTSIDE_HULL), torch.where(hull, x_rec, OUTSIDE_HULL)])
    quality_fake, quality_rec = Q(masked).chunk(2)
    return {
        "qual": losses.quality_loss(q, quality_fake, quality_source, quality_rec),
        "quality_fake": quality_fake.detach().mean(),
        "quality_source": quality_source.mean(),
        "share_above_q": (quality_fake.detach() > q).float().mean(),
    }
