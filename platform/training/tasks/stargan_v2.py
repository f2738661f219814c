"""Training of StarGAN-v2: D and then G, with G, F and E together, once with styles of latents and once of references.

One step is one iteration of its public code on one minibatch. D takes its first step on the image that G is then trained
with, for G does not change between.

Shapes: b this worker's images of one minibatch, K domains.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from legan.models import losses
from legan.models.expression import Predictor
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.stargan_v2 import (
    MappingNetwork,
    StarGanV2Discriminator,
    StarGanV2Generator,
    StyledGenerator,
    StyleEncoder,
    domain_of,
)
from legan.platform.data.dataset import Dataset
from legan.platform.device import autocast, place
from legan.platform.pixels import normalise
from legan.platform.rival_settings import StarGanV2LossSettings, StarGanV2Settings
from legan.platform.training.batches import Rows, mirror, shift
from legan.platform.training.parallel import Ranks, adam, moving_average, set_rates, update, update_together
from legan.platform.training.task import Batch
from legan.platform.training.tasks.translator import TranslatorTask

Terms = dict[str, Tensor]


def d_objective(
    D: StarGanV2Discriminator, x_real: Tensor, y_org: Tensor, x_fake: Tensor, y_trg: Tensor, loss: StarGanV2LossSettings
) -> tuple[Tensor, Terms]:
    """What D minimises: both halves of the logistic loss, and R1 on real images in float32. ``x_fake`` carries no gradient."""
    with torch.autocast(x_real.device.type, enabled=False):
        x_real = x_real.detach().requires_grad_(loss.lambda_r1 > 0)
        logits = D(x_real, y_org)
        terms = {"d_real": losses.logistic_loss(logits, True)}
        if loss.lambda_r1 > 0:
            terms["r1"] = losses.r1_penalty(logits, x_real)
    terms["d_fake"] = losses.logistic_loss(D(x_fake, y_trg), False)
    total = terms["d_real"] + terms["d_fake"]
    if loss.lambda_r1 > 0:
        total = total + loss.lambda_r1 * terms["r1"]
    return total, terms | {"d_total": total}


def g_objective(
    G: StarGanV2Generator,
    E: StyleEncoder,
    D: StarGanV2Discriminator,
    x_real: Tensor,
    y_org: Tensor,
    y_trg: Tensor,
    s_trg: Tensor,
    s_other: Tensor,
    x_fake: Tensor,
    loss: StarGanV2LossSettings,
    lambda_ds: float,
) -> tuple[Tensor, Terms]:
    """What G, and with latents F and E too, minimise: adversarial + λsty·style - λds·diversity + λcyc·cycle.

    ``x_fake`` is G(x_real, s_trg) with its graph, ``s_other`` another style of the same domain.
    """
    terms = {"g_adv": losses.logistic_loss(D(x_fake, y_trg), True)}
    total = terms["g_adv"]
    if loss.lambda_sty > 0:
        terms["style"] = losses.style_loss(s_trg, E(x_fake, y_trg))
        total = total + loss.lambda_sty * terms["style"]
    if lambda_ds > 0:
        with torch.no_grad():
            x_other = G(x_real, s_other)
        terms["diversity"] = losses.diversity(x_fake, x_other)
        total = total - lambda_ds * terms["diversity"]
    if loss.lambda_cyc > 0:
        terms["rec"] = losses.reconstruction_loss(x_real, G(x_fake, E(x_real, y_org)))
        total = total + loss.lambda_cyc * terms["rec"]
    return total, terms | {"g_total": total}


class Networks(NamedTuple):
    """All that StarGAN-v2 trains, and the moving average that translates."""

    G: StarGanV2Generator
    F: MappingNetwork
    E: StyleEncoder
    D: StarGanV2Discriminator
    average: StyledGenerator


def build_networks(settings: StarGanV2Settings, expressions: int, lightings: int, image_size: int) -> Networks:
    """The networks that ``settings`` describe, the average equal to G and F."""
    sizes, domains = settings.network, expressions * lightings
    average = StyledGenerator(
        expressions, lightings, image_size, sizes.width, sizes.max_width, sizes.style, sizes.latent, sizes.hidden
    )
    return Networks(
        G=copy.deepcopy(average.generator),
        F=copy.deepcopy(average.mapping),
        E=StyleEncoder(domains, image_size, sizes.width, sizes.max_width, sizes.style),
        D=StarGanV2Discriminator(domains, image_size, sizes.width, sizes.max_width),
        average=average.requires_grad_(False),
    )


class StarGanV2Task(TranslatorTask):
    """G, F, E, D, their optimisers, the moving average and the training split; see Task.

    ``predictor`` and ``matcher`` go into the model folder.
    """

    def __init__(
        self,
        settings: StarGanV2Settings,
        data: Dataset,
        ranks: Ranks,
        networks: Networks,
        predictor: Predictor | None = None,
        matcher: LightCNN | FacenetIdentity | None = None,
    ):
        images = settings.batch_size
        super().__init__(settings, data, ranks, networks.average, images, predictor=predictor, matcher=matcher)
        self.settings = settings
        self.G, self.F, self.E, self.D, self.average = networks
        self.networks: Mapping[str, nn.Module] = {
            "generator": self.G, "mapping": self.F, "style_encoder": self.E, "discriminator": self.D, "average": self.average,
        }  # fmt: skip
        for network in self.networks.values():
            place(network, ranks.device, settings.channels_last)

        mapping = settings.adam.model_copy(update={"learning_rate": settings.mapping_learning_rate})
        self.rates = {
            "generator": settings.adam,
            "mapping": mapping,
            "style_encoder": settings.adam,
            "discriminator": settings.adam,
        }
        self.adams = {name: adam(self.networks[name], rate) for name, rate in self.rates.items()}
        self.together = nn.ModuleList([self.G, self.F, self.E])
        self.pool = _Pool(self.rows, self.expression, self.lighting, len(self.schema.lightings), self.flips)

    def batch(self, step: int) -> Batch:
        """Images, domains, target domains, two latents and two reference images of the target domain each.

        The references of all first come before the second ones; target domains are drawn uniformly from those that occur.
        """
        B, latent = self.images_per_step, self.settings.network.latent
        rows, expression, lighting, mirrored, generator = self.draw(step)
        y_trg = self.pool.domains[torch.randint(len(self.pool.domains), (B,), generator=generator)]
        z = torch.randn(2, B, latent, generator=generator)
        u = torch.rand(2, B, generator=generator, dtype=torch.float64)
        chosen = self.draw_variants(3 * B, generator).reshape(3, B)

        mine = self.ranks.share(B)
        ref_rows, ref_mirrored = self.pool.draw(y_trg[mine], u[:, mine])
        x = self.images(rows[mine], chosen[0, mine])
        ref = self.images(ref_rows.reshape(-1).numpy(), chosen[1:, mine].reshape(-1))
        if self.flips is not None:
            x, ref = mirror(x, mirrored[mine]), mirror(ref, ref_mirrored.reshape(-1))
        if self.settings.shift:
            limit = self.settings.shift
            by = torch.randint(-limit, limit + 1, (3, B, 2), generator=generator)[:, mine]
            x, ref = shift(x, by[0]), shift(ref, by[1:].reshape(-1, 2))
        y_org = domain_of(expression, lighting, len(self.schema.lightings))[mine]
        return {"x": x, "y_org": y_org, "y_trg": y_trg[mine], "z": z[:, mine].reshape(-1, latent), "ref": ref}

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One iteration; each term is the mean of its two values, with latents and with references."""
        settings, device = self.settings, self.ranks.device
        for name, optimiser in self.adams.items():
            set_rates(optimiser, self.rates[name], settings, step, self.total_steps)
        done, steps = settings.course(step, self.total_steps)
        lambda_ds = settings.loss.lambda_ds * (1 - done / steps)
        x, ref = (normalise(batch[name].to(device, non_blocking=True), settings.channels_last) for name in ("x", "ref"))
        y_org, y_trg, z = (batch[name].to(device, non_blocking=True) for name in ("y_org", "y_trg", "z"))
        y_twice = y_trg.repeat(2)

        # D, on an image with a style of a latent and on one with a style of a reference.
        with self._autocast():
            s_trg, s_other = self.F(z, y_twice).chunk(2)
            x_fake = self.G(x, s_trg)
        terms = [self._update_d(x, y_org, x_fake.detach(), y_trg)]
        with torch.no_grad(), self._autocast():
            x_ref_fake = self.G(x, self.E(ref.chunk(2)[0], y_trg))
        terms.append(self._update_d(x, y_org, x_ref_fake, y_trg))

        # G, F and E together, with styles of latents.
        self.D.requires_grad_(False)
        with self._autocast():
            total, latent_terms = g_objective(
                self.G, self.E, self.D, x, y_org, y_trg, s_trg, s_other, x_fake, settings.loss, lambda_ds
            )
        together = [self.adams[name] for name in ("generator", "mapping", "style_encoder")]
        update_together(together, self.together, total, self.ranks)

        # G alone, with styles of references.
        self.E.requires_grad_(False)
        with torch.no_grad(), self._autocast():
            s_ref, s_ref_other = self.E(ref, y_twice).chunk(2)
        with self._autocast():
            total, ref_terms = g_objective(
                self.G, self.E, self.D, x, y_org, y_trg, s_ref, s_ref_other, self.G(x, s_ref), settings.loss, lambda_ds
            )
        update(self.adams["generator"], self.G, total, self.ranks)
        self.E.requires_grad_(True)
        self.D.requires_grad_(True)

        for average, network in ((self.average.generator, self.G), (self.average.mapping, self.F)):
            moving_average(average, network, settings.average_decay)
        pairs = (
            *zip(terms[0].items(), terms[1].values(), strict=True),
            *zip(latent_terms.items(), ref_terms.values(), strict=True),
        )
        return {f"loss/{name}": torch.stack([first.detach(), second.detach()]).mean() for (name, first), second in pairs}

    def _update_d(self, x: Tensor, y_org: Tensor, x_fake: Tensor, y_trg: Tensor) -> Terms:
        with self._autocast():
            total, terms = d_objective(self.D, x, y_org, x_fake, y_trg, self.settings.loss)
        update(self.adams["discriminator"], self.D, total, self.ranks)
        return terms

    def _autocast(self) -> torch.autocast:
        # One region per update: a region keeps the bf16 copies of the weights it has seen, so they would go stale.
        return autocast(self.ranks.device, self.settings.precision)

    def adopt(self, network: nn.Module) -> None:
        """Take the weights of a finished average, for G and F too."""
        self.average.load_state_dict(network.state_dict())
        self.G.load_state_dict(self.average.generator.state_dict())
        self.F.load_state_dict(self.average.mapping.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """The optimisers; the moving average is one of ``networks``."""
        return {name: optimiser.state_dict() for name, optimiser in self.adams.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        for name, optimiser in self.adams.items():
            optimiser.load_state_dict(state[name])


class _Pool:
    """The training images of each domain, those included that get there by mirroring.

    ``domains`` are those that have any, int64.
    """

    def __init__(self, rows: Rows, expression: Tensor, lighting: Tensor, lightings: int, flips: Tensor | None):
        index = torch.from_numpy(rows)
        domain = domain_of(expression[index], lighting[index], lightings)
        mirrored = torch.zeros_like(index, dtype=torch.bool)
        if flips is not None:
            domain = torch.cat([domain, domain_of(expression[index], flips[lighting[index]], lightings)])
            index, mirrored = index.repeat(2), torch.cat([mirrored, ~mirrored])
        order = domain.argsort(stable=True)
        self.rows, self.mirrored = index[order], mirrored[order]
        self.domains, self.counts = torch.unique(domain, return_counts=True)
        self.starts = self.counts.cumsum(0) - self.counts

    def draw(self, y: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and whether to mirror them, for domains int64 B and for float64 n×B in [0, 1); n×B each."""
        place = torch.searchsorted(self.domains, y)
        chosen = self.starts[place] + (u * self.counts[place]).long()
        return self.rows[chosen], self.mirrored[chosen]
