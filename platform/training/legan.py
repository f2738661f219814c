"""Training of LEGAN: five critic steps and one generator step on five minibatches (sections 4 and 5).

One step of this task is one step of G. G does not change between the critic steps, so their fakes come from one pass
over the first four minibatches, and the fifth's from the pass that G itself is then trained with.

Shapes: n critic steps, b this worker's images of one minibatch, A attributes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from legan.models.attributes import AttributeSchema, sample_targets
from legan.models.discriminator import Discriminator
from legan.models.generator import Generator, Translation
from legan.platform.config import LeganSettings
from legan.platform.data.align import DEFAULT_ALIGNMENT, Alignment
from legan.platform.data.dataset import Dataset
from legan.platform.model import Model, weights_hash, write_model
from legan.platform.training.batches import normalise, rows_of_step, shift, to_tensor
from legan.platform.training.objective import Judges, d_objective, g_objective
from legan.platform.training.optimise import adam, autocast, place, set_learning_rate, total_steps, update
from legan.platform.training.parallel import Ranks, step_generator
from legan.platform.training.samples import goal_of, held_out_distance, held_out_pairs, sample_grids
from legan.platform.training.task import Batch, Image


class LeganTask:
    """G, D, their optimisers and the training split; see Task."""

    exports: Literal["best", "last"] = "last"

    def __init__(self, settings: LeganSettings, data: Dataset, judges: Judges, ranks: Ranks, G: Generator, D: Discriminator):
        self.settings, self.data, self.ranks = settings, data, ranks
        self.schema: AttributeSchema = data.schema
        self.G, self.D = G, D
        for network in (G, D):
            place(network, ranks.device, settings.channels_last)
        self.judges = judges
        self.networks: Mapping[str, nn.Module] = {"generator": self.G, "discriminator": self.D}
        self.g_adam, self.d_adam = adam(self.G, settings.adam), adam(self.D, settings.adam)
        self.rows = data.rows("train")
        self.images_per_step = settings.batch_size * settings.critic_steps
        self.total_steps = total_steps(settings, len(self.rows), self.images_per_step)
        self.pairs = held_out_pairs(data)
        self.goal = goal_of(self.pairs)
        self.flips = self.schema.flip_indices() if settings.flip else None
        self.expression = torch.from_numpy(data.expression)
        self.lighting = torch.from_numpy(data.lighting)

    def batch(self, step: int) -> Batch:
        """Images, labels, targets and random draws of ``step``, n·b each; hulls for the last minibatch only."""
        n, B = self.settings.critic_steps, self.settings.batch_size
        rows = rows_of_step(self.rows, n * B, step, self.settings.seed)
        generator = step_generator(self.settings.seed, step)
        index = torch.from_numpy(rows)
        expression, lighting = self.expression[index], self.lighting[index]
        mirrored = torch.rand(n * B, generator=generator) < 0.5
        if self.flips is not None:
            lighting = torch.where(mirrored, self.flips[lighting], lighting)
        targets = sample_targets(self.schema, expression, lighting, generator, self.settings.targets)
        alpha = torch.rand(n * B, generator=generator)
        mine = torch.arange(n * B).view(n, B)[:, self.ranks.share(B)].reshape(-1)
        last = mine.view(n, -1)[-1]
        x = to_tensor(self.data.images[rows[mine.numpy()]])
        hull = torch.from_numpy(self.data.hulls(rows[last.numpy()])).unsqueeze(1)
        if self.flips is not None:
            x = torch.where(mirrored[mine].view(-1, 1, 1, 1), x.flip(3), x)
            hull = torch.where(mirrored[last].view(-1, 1, 1, 1), hull.flip(3), hull)
        if self.settings.shift:
            limit = self.settings.shift
            by = torch.randint(-limit, limit + 1, (n * B, 2), generator=generator)
            x, hull = shift(x, by[mine]), shift(hull, by[last])
        return {
            "x": x,
            "f_org": self.schema.encode(expression, lighting)[mine],
            "f_trg": self.schema.encode(*targets)[mine],
            "alpha": alpha[mine],
            "hull": hull,
        }

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The critic steps, then the generator step; terms of D are means over the critic steps."""
        settings, n = self.settings, self.settings.critic_steps
        for optimiser in (self.g_adam, self.d_adam):
            set_learning_rate(optimiser, settings.adam, step, self.total_steps)
        device = self.ranks.device
        x_all = normalise(batch["x"].to(device, non_blocking=True), settings.channels_last)
        f_org_all, f_trg_all, alpha_all, hull = (
            batch[name].to(device, non_blocking=True) for name in ("f_org", "f_trg", "alpha", "hull")
        )
        x, f_org, f_trg, alpha = (values.chunk(n) for values in (x_all, f_org_all, f_trg_all, alpha_all))
        b, E = x[0].shape[0], len(self.schema.expressions)
        with self._autocast():
            translated: Translation = self.G(x[-1], f_trg[-1])
        fakes = [translated.image.detach()]
        if n > 1:
            with torch.no_grad(), self._autocast():
                fakes = [*self.G(x_all[: (n - 1) * b], f_trg_all[: (n - 1) * b]).image.chunk(n - 1), *fakes]
        critic_terms = []
        for i in range(n):
            with self._autocast():
                total, terms = d_objective(self.D, x[i], f_org[i], fakes[i], alpha[i], settings.loss, E)
            update(self.d_adam, self.D, total, self.ranks)
            critic_terms.append({name: term.detach() for name, term in terms.items()})
        self.D.requires_grad_(False)
        with self._autocast():
            total, g_terms = g_objective(
                self.G, self.D, self.judges, x[-1], f_org[-1], f_trg[-1], hull, translated, settings.loss, E
            )
        update(self.g_adam, self.G, total, self.ranks)
        self.D.requires_grad_(True)
        d_terms = {name: torch.stack([terms[name] for terms in critic_terms]).mean() for name in critic_terms[0]}
        return {f"loss/{name}": term.detach() for name, term in (d_terms | g_terms).items()}

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

    def validate(self) -> dict[str, float]:
        """Mean L1 distance to the true targets of held-out subjects, or of the cycle where there are no targets."""
        return held_out_distance(self.G, self.data, self.pairs, self.ranks.device)

    def samples(self) -> dict[str, Image]:
        """The same held-out faces under the same targets, and the masks Me and Ml."""
        return sample_grids(self.G, self.data, self.ranks.device)

    def export(self, folder: Path, provenance: Mapping[str, str]) -> None:
        """A model folder with G and, where there is one, Q; it remembers T's hash, so that no score is taken with T."""
        quality, identity = self.judges.quality, self.judges.identity
        info = dict(provenance) | ({"identity_weights": weights_hash(identity)} if identity is not None else {})
        write_model(
            folder,
            Model(
                generator=self.G,
                quality=quality,
                schema=self.schema,
                image_size=self.data.image_size,
                alignment=Alignment.from_dict(self.data.alignment) if self.data.alignment else DEFAULT_ALIGNMENT,
                info=info,
            ),
        )
