"""Training of LEGAN: five critic steps and one generator step on five minibatches (sections 4 and 5).

StarGAN, with Lqual or without, is the same training of another G with other weights.

One step of this task is one step of G. G does not change between the critic steps, so their fakes come from one pass
over the first four minibatches, and the fifth's from the pass that G itself is then trained with.

Shapes: n critic steps, b this worker's images of one minibatch, A attributes. Images are float b×3×H×W in [-1, 1]. Under
autocast the networks answer in float32, so every loss is computed in it.
"""

import copy
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from legan.models import losses
from legan.models.attributes import sample_targets
from legan.models.discriminator import Discriminator
from legan.models.expression import Predictor
from legan.models.generator import Generator, Translation
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.norm import fuse
from legan.models.quality import QualityModel
from legan.models.stargan import StarGanGenerator
from legan.platform.data.dataset import Dataset
from legan.platform.device import GraphRecorder, autocast, place
from legan.platform.pixels import normalise
from legan.platform.settings import CriticSettings, LossSettings
from legan.platform.training.batches import mirror, shift
from legan.platform.training.parallel import (
    Ranks,
    adam,
    apply_gradients,
    moving_average,
    set_gradients,
    set_rates,
    young_decay,
)
from legan.platform.training.task import Batch
from legan.platform.training.tasks.translator import TranslatorTask

Terms = dict[str, Tensor]
OUTSIDE_HULL = -1.0  # black
AVERAGE = "average"
"""The name of G's moving average among a training's networks."""


class Critics(NamedTuple):
    """The frozen networks that G is trained against, T and Q; None where their term is off."""

    identity: LightCNN | FacenetIdentity | None
    quality: QualityModel | None


def d_objective(
    D: Discriminator, x_real: Tensor, f_org: Tensor, x_fake: Tensor, alpha: Tensor, loss: LossSettings, expressions: int
) -> tuple[Tensor, Terms]:
    """What D minimises: Ladv = E[D(fake)] - E[D(real)] + λgp·GP, and λ1·Lcls(real) (Eq. 2, 3, 7).

    ``x_fake`` carries no gradient; ``alpha``, float b in [0, 1], places each interpolate of the gradient penalty.
    """
    b = x_real.shape[0]
    lambdas = {"d_adv": loss.lambda_adv, "gp": loss.lambda_adv * loss.lambda_gp, "d_cls": loss.lambda_1}
    terms: Terms = {}

    # D has no normalisation over the batch, so real and fake images can share one pass.
    source, logits = D(torch.cat([x_real, x_fake]))
    if lambdas["d_adv"] > 0:
        terms["d_adv"] = losses.adversarial_loss_d(source[:b], source[b:])
    if lambdas["gp"] > 0:
        terms["gp"] = losses.norm_penalty(D.source_gradient(losses.interpolate(x_real, x_fake, alpha)))
    if lambdas["d_cls"] > 0:
        terms["d_cls"] = losses.classification_loss(logits[:b], f_org, expressions, loss.classification)

    total = weighted_sum(lambdas, terms)
    return total, terms | {"d_total": total}


def g_objective(
    G: Callable[[Tensor, Tensor], Translation],
    D: Discriminator,
    critics: Critics,
    x_real: Tensor,
    f_org: Tensor,
    f_trg: Tensor,
    hull: Tensor,
    own: Tensor,
    translated: Translation,
    loss: LossSettings,
    expressions: int,
) -> tuple[Tensor, Terms]:
    """What G minimises: Ladv = -E[D(fake)], and λ1·Lcls(fake) + λ2·Lrec + λ3·Lid + λ4·Lqual + λ5·Ltv (Eq. 2-7).

    ``translated`` is G(x_real, f_trg) with its graph; ``hull``, bool b×1×H×W, is the source's face; ``own``, bool b, are the
    images that are reconstructed from themselves instead of from their translation (loss.self_rec).
    """
    T, Q = critics
    lambdas = {
        "g_adv": loss.of_generator("lambda_adv"),
        "g_cls": loss.of_generator("lambda_1"),
        "rec": loss.lambda_2,
        "id": loss.lambda_3 if T is not None else 0,
        "qual": loss.lambda_4 if Q is not None else 0,
        "tv": loss.lambda_5,
    }
    terms: Terms = {}

    x_fake = x_rec = translated.image  # x_rec where a term looks at it
    if lambdas["rec"] > 0 or lambdas["qual"] > 0 or lambdas["tv"] > 0:
        x_from = torch.where(own.view(-1, 1, 1, 1), x_real, x_fake) if loss.self_rec > 0 else x_fake
        x_rec = G(x_from, f_org).image

    source, logits = D(x_fake)
    if lambdas["g_adv"] > 0:
        terms["g_adv"] = losses.adversarial_loss_g(source)
    if lambdas["g_cls"] > 0:
        terms["g_cls"] = losses.classification_loss(logits, f_trg, expressions, loss.classification)
    if lambdas["rec"] > 0:
        terms["rec"] = losses.reconstruction_loss(x_real, x_rec)
    if T is not None and lambdas["id"] > 0:
        terms["id"] = _identity_loss(T, x_real, x_fake)
    if Q is not None and lambdas["qual"] > 0:
        terms |= _quality_terms(Q, x_real, x_fake, x_rec, hull, loss.q)
    if lambdas["tv"] > 0:
        terms["tv"] = losses.total_variation(x_fake) + losses.total_variation(x_rec)

    total = weighted_sum(lambdas, terms)
    return total, terms | {"g_total": total}


def weighted_sum(lambdas: Mapping[str, float], terms: Mapping[str, Tensor]) -> Tensor:
    """Σ λ·L over the terms that have a weight above 0."""
    weighted = [weight * terms[name] for name, weight in lambdas.items() if weight > 0]
    return sum(weighted[1:], start=weighted[0])


def _identity_loss(T: LightCNN | FacenetIdentity, x_real: Tensor, x_fake: Tensor) -> Tensor:
    """Lid: how far T's features of the translation are from the source's."""
    with torch.no_grad():
        features_source = T.features(x_real)
    return losses.identity_loss(features_source, T.features(x_fake))


def _quality_terms(Q: QualityModel, x_real: Tensor, x_fake: Tensor, x_rec: Tensor, hull: Tensor, q: float) -> Terms:
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


def compiled(G: Generator | StarGanGenerator, device: torch.device) -> Callable[[Tensor, Tensor], Translation]:
    """G for training: on a GPU compiled whole, on a CPU with compiled norms; as it is, and said, where that cannot be done."""
    if device.type == "cuda":
        return cast("Callable[[Tensor, Tensor], Translation]", torch.compile(G, dynamic=False))
    try:
        fuse(G)
    except RuntimeError as error:
        remedy = "install a C++ compiler, or leave it out"
        print(f"note: compile has no part in this training, since nothing can be compiled here ({error}); {remedy}.", flush=True)
    return G


class LeganTask(TranslatorTask):
    """G, D, their optimisers and the training split; see Task.

    ``info``, ``predictor`` and ``matcher`` go into the model folder; by default D, where it learns classes, and T.
    """

    def __init__(
        self,
        settings: CriticSettings,
        data: Dataset,
        critics: Critics,
        ranks: Ranks,
        G: Generator | StarGanGenerator,
        D: Discriminator,
        info: Mapping[str, Any] | None = None,
        predictor: Predictor | None = None,
        matcher: LightCNN | FacenetIdentity | None = None,
    ):
        if predictor is None and settings.loss.lambda_1 > 0:
            predictor = D
        if matcher is None and isinstance(critics.identity, LightCNN):  # FaceNet's weights are not ours to pass on
            matcher = critics.identity
        average = copy.deepcopy(G).requires_grad_(False) if settings.average_decay else None
        per_step = settings.batch_size * settings.critic_steps
        super().__init__(settings, data, ranks, average or G, per_step, critics.quality, info, predictor, matcher)
        self.settings, self.critics, self.G, self.D, self.average = settings, critics, G, D, average
        self.networks: Mapping[str, nn.Module] = {"generator": self.G, "discriminator": self.D}
        if average is not None:
            self.networks = {**self.networks, AVERAGE: average}
        for network in self.networks.values():
            place(network, ranks.device, settings.channels_last)
        d_rate = settings.d_learning_rate or settings.adam.learning_rate
        self.d_rates = settings.adam.model_copy(update={"learning_rate": d_rate})
        self.g_adam, self.d_adam = adam(self.G, settings.adam), adam(self.D, self.d_rates)

        self.recorder = GraphRecorder(ranks.device)

    @cached_property
    def forward(self) -> Callable[[Tensor, Tensor], Translation]:
        """G, compiled if asked for; not before the first step, so that a plan waits for no compiler."""
        used = self.settings.compile and (self.ranks.device.type == "cuda" or self.settings.channels_last)
        return compiled(self.G, self.ranks.device) if used else self.G

    def batch(self, step: int) -> Batch:
        """Images, labels, targets and random draws of ``step``, n·b each; ``hull`` and ``own`` for the last minibatch only."""
        n, B = self.settings.critic_steps, self.settings.batch_size
        rows, expression, lighting, mirrored, generator = self.draw(step)
        targets = sample_targets(self.schema, expression, lighting, generator, self.settings.targets)
        alpha = torch.rand(n * B, generator=generator)
        chosen = self.draw_variants(n * B, generator)

        mine = torch.arange(n * B).view(n, B)[:, self.ranks.share(B)].reshape(-1)
        last = mine.view(n, -1)[-1]
        x = self.images(rows[mine.numpy()], chosen[mine.numpy()])
        hull = torch.from_numpy(self.data.hulls(rows[last.numpy()])).unsqueeze(1)
        if self.flips is not None:
            x, hull = mirror(x, mirrored[mine]), mirror(hull, mirrored[last])
        if self.settings.shift:
            limit = self.settings.shift
            by = torch.randint(-limit, limit + 1, (n * B, 2), generator=generator)
            x, hull = shift(x, by[mine]), shift(hull, by[last])

        own = torch.rand(B, generator=generator) < self.settings.loss.self_rec
        return {
            "x": x,
            "f_org": self.schema.encode(expression, lighting)[mine],
            "f_trg": self.schema.encode(*targets)[mine],
            "alpha": alpha[mine],
            "hull": hull,
            "own": own[self.ranks.share(B)],
        }

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The critic steps, then the generator step; terms of D are means over the critic steps."""
        settings, n = self.settings, self.settings.critic_steps
        for optimiser, rates in ((self.g_adam, settings.adam), (self.d_adam, self.d_rates)):
            set_rates(optimiser, rates, settings, step, self.total_steps)

        moved = {name: values.to(self.ranks.device, non_blocking=True) for name, values in batch.items()}
        x_all, f_trg_all = normalise(moved["x"], settings.channels_last), moved["f_trg"]
        x, f_org, f_trg, alpha = (values.chunk(n) for values in (x_all, moved["f_org"], f_trg_all, moved["alpha"]))

        run = self.recorder.run
        d_terms = []
        with self.recorder.step():
            translated, fakes = run("translate", self._translate, x_all, f_trg_all)
            for i in range(n):
                terms = run("critic", self._critic_gradients, x[i], f_org[i], fakes[i], alpha[i])
                apply_gradients([self.d_adam], self.D, self.ranks)
                d_terms.append(torch.stack(list(terms.values())))

            backward = partial(self._generator_gradients, translated)
            g_terms = run("generator", backward, x[-1], f_org[-1], f_trg[-1], moved["hull"], moved["own"])
            apply_gradients([self.g_adam], self.G, self.ranks)
        if self.average is not None:
            moving_average(self.average, self.G, young_decay(settings.average_decay, step))

        names = [f"loss/{name}" for name in (*terms, *g_terms)]
        values = torch.cat([torch.stack(d_terms).mean(0), torch.stack(list(g_terms.values()))])
        return dict(zip(names, values.unbind(), strict=True))

    def _translate(self, x_all: Tensor, f_trg_all: Tensor) -> tuple[Translation, list[Tensor]]:
        """The last minibatch's translation with its graph, and every minibatch's fakes without."""
        n = self.settings.critic_steps
        b = x_all.shape[0] // n
        with self._autocast():
            translated: Translation = self.forward(x_all[-b:], f_trg_all[-b:])
        fakes = [translated.image.detach()]
        if n > 1:
            with torch.no_grad(), self._autocast():
                fakes = [*self.forward(x_all[:-b], f_trg_all[:-b]).image.chunk(n - 1), *fakes]
        return translated, fakes

    def _critic_gradients(self, x: Tensor, f_org: Tensor, fake: Tensor, alpha: Tensor) -> Terms:
        with self._autocast():
            total, terms = d_objective(self.D, x, f_org, fake, alpha, self.settings.loss, len(self.schema.expressions))
        set_gradients(self.D, total)
        return {name: term.detach() for name, term in terms.items()}

    def _generator_gradients(
        self, translated: Translation, x: Tensor, f_org: Tensor, f_trg: Tensor, hull: Tensor, own: Tensor
    ) -> Terms:
        loss, E = self.settings.loss, len(self.schema.expressions)
        self.D.requires_grad_(False)
        with self._autocast():
            total, terms = g_objective(self.forward, self.D, self.critics, x, f_org, f_trg, hull, own, translated, loss, E)
        set_gradients(self.G, total)
        self.D.requires_grad_(True)
        return {name: term.detach() for name, term in terms.items()}

    def _autocast(self) -> torch.autocast:
        # One region per update: a region keeps the bf16 copies of the weights it has seen, so they would go stale.
        return autocast(self.ranks.device, self.settings.precision)

    def adopt(self, network: nn.Module) -> None:
        """Take the weights of a G of the same kind and size, for the average too."""
        for mine in (self.G, self.average):
            if mine is not None:
                mine.load_state_dict(network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers; the moving average is one of ``networks``."""
        return {"g_adam": self.g_adam.state_dict(), "d_adam": self.d_adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        self.g_adam.load_state_dict(state["g_adam"])
        self.d_adam.load_state_dict(state["d_adam"])
