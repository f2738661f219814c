"""Training of LEGAN: five critic steps and one generator step on five minibatches (sections 4 and 5).

StarGAN, with Lqual or without, is the same training of another G with other weights.

One step of this task is one step of G. G does not change between the critic steps, so their fakes come from one pass
over the first four minibatches, and the fifth's from the pass that G itself is then trained with.

Shapes: n critic steps, b this worker's images of one minibatch, A attributes.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from legan.models import stargan
from legan.models.attributes import sample_targets
from legan.models.discriminator import Discriminator
from legan.models.generator import Generator, Translation
from legan.platform.data.dataset import Dataset
from legan.platform.device import autocast, place
from legan.platform.pixels import normalise, to_tensor
from legan.platform.settings import CriticSettings
from legan.platform.training.batches import mirror, shift
from legan.platform.training.optimise import adam, apply_gradients, set_gradients, set_learning_rate
from legan.platform.training.parallel import Ranks
from legan.platform.training.recording import Recorder
from legan.platform.training.task import Batch
from legan.platform.training.tasks.objective import Judges, d_objective, g_objective
from legan.platform.training.tasks.translator import TranslatorTask


class LeganTask(TranslatorTask):
    """G, D, their optimisers and the training split; see Task. ``info`` goes into the model folder."""

    def __init__(
        self,
        settings: CriticSettings,
        data: Dataset,
        judges: Judges,
        ranks: Ranks,
        G: Generator | stargan.StarGanGenerator,
        D: Discriminator,
        info: Mapping[str, Any] | None = None,
    ):
        super().__init__(settings, data, ranks, G, settings.batch_size * settings.critic_steps, judges.quality, info)
        self.settings, self.judges, self.G, self.D = settings, judges, G, D
        for network in (G, D):
            place(network, ranks.device, settings.channels_last)
        self.networks: Mapping[str, nn.Module] = {"generator": self.G, "discriminator": self.D}
        self.g_adam, self.d_adam = adam(self.G, settings.adam), adam(self.D, settings.adam)
        self.recorder = Recorder(ranks.device)
        compiled = settings.compile and ranks.device.type == "cuda"
        self.forward = torch.compile(self.G, dynamic=False) if compiled else self.G

    def batch(self, step: int) -> Batch:
        """Images, labels, targets and random draws of ``step``, n·b each; ``hull`` and ``own`` for the last minibatch only."""
        n, B = self.settings.critic_steps, self.settings.batch_size
        rows, expression, lighting, mirrored, generator = self.draw(step)
        targets = sample_targets(self.schema, expression, lighting, generator, self.settings.targets)
        alpha = torch.rand(n * B, generator=generator)
        mine = torch.arange(n * B).view(n, B)[:, self.ranks.share(B)].reshape(-1)
        last = mine.view(n, -1)[-1]
        x = to_tensor(self.data.images[rows[mine.numpy()]])
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
        for optimiser in (self.g_adam, self.d_adam):
            set_learning_rate(optimiser, settings.adam, step, self.total_steps)
        device = self.ranks.device
        x_all = normalise(batch["x"].to(device, non_blocking=True), settings.channels_last)
        f_org_all, f_trg_all, alpha_all, hull, own = (
            batch[name].to(device, non_blocking=True) for name in ("f_org", "f_trg", "alpha", "hull", "own")
        )
        x, f_org, alpha = (values.chunk(n) for values in (x_all, f_org_all, alpha_all))
        run = self.recorder.run
        d_terms = []
        with self.recorder.step():
            translated, fakes = run("translate", self._translate, x_all, f_trg_all)
            for i in range(n):
                terms = run("critic", self._critic_gradients, x[i], f_org[i], fakes[i], alpha[i])
                apply_gradients([self.d_adam], self.D, self.ranks)
                d_terms.append(torch.stack(list(terms.values())))
            backward = partial(self._generator_gradients, translated)
            g_terms = run("generator", backward, x[-1], f_org[-1], f_trg_all.chunk(n)[-1], hull, own)
            apply_gradients([self.g_adam], self.G, self.ranks)
        means = torch.stack(d_terms).mean(0)
        names = [f"loss/{name}" for name in (*terms, *g_terms)]
        return dict(zip(names, torch.cat([means, torch.stack(list(g_terms.values()))]).unbind(), strict=True))

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

    def _critic_gradients(self, x: Tensor, f_org: Tensor, fake: Tensor, alpha: Tensor) -> dict[str, Tensor]:
        with self._autocast():
            total, terms = d_objective(self.D, x, f_org, fake, alpha, self.settings.loss, len(self.schema.expressions))
        set_gradients(self.D, total)
        return {name: term.detach() for name, term in terms.items()}

    def _generator_gradients(
        self, translated: Translation, x: Tensor, f_org: Tensor, f_trg: Tensor, hull: Tensor, own: Tensor
    ) -> dict[str, Tensor]:
        loss, E = self.settings.loss, len(self.schema.expressions)
        self.D.requires_grad_(False)
        with self._autocast():
            total, terms = g_objective(self.forward, self.D, self.judges, x, f_org, f_trg, hull, own, translated, loss, E)
        set_gradients(self.G, total)
        self.D.requires_grad_(True)
        return {name: term.detach() for name, term in terms.items()}

    def _autocast(self) -> torch.autocast:
        # One region per update: a region keeps the bf16 copies of the weights it has seen, so they would go stale.
        return autocast(self.ranks.device, self.settings.precision)

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers."""
        return {"g_adam": self.g_adam.state_dict(), "d_adam": self.d_adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        self.g_adam.load_state_dict(state["g_adam"])
        self.d_adam.load_state_dict(state["d_adam"])
