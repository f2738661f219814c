"""Training of a recolourer (sections 5 and 18): pix2pix of Table 14's generator and CASIA-Net, which colours what was made grey.

A step is one of D and one of G on one minibatch. G does not change between, so both take one pass of it.

Shapes: b this worker's images of a minibatch, N held-out images, S image size. Images are float ×3×S×S in [-1, 1].
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models import losses
from legan.models.recolor import CasiaNet, ColorizationGenerator, greyed
from legan.models.response import response
from legan.platform.data.dataset import MOST_PEOPLE, Dataset, spread
from legan.platform.device import autocast, place
from legan.platform.evaluation.figures import labelled_grid
from legan.platform.evaluation.metrics import l1_distance, structural_similarity
from legan.platform.model import numbers_of, save_network
from legan.platform.pixels import normalise, to_images, to_tensor
from legan.platform.rival_settings import RecolorLossSettings, RecolorSettings
from legan.platform.training.batches import Rows, mirror, rows_of_step
from legan.platform.training.parallel import Ranks, adam, set_rates, step_generator, update
from legan.platform.training.task import Batch, Goal, Image
from legan.platform.training.tasks.stated import data_facts
from legan.platform.training.tasks.supervised import LOOKED_AT, in_batches

Terms = dict[str, Tensor]
FACES, BATCH = 6, 32
GREY = 0.1
"""Outputs with less of the originals' chroma are grey."""


def d_objective(D: CasiaNet, grey: Tensor, x: Tensor, x_fake: Tensor) -> tuple[Tensor, Terms]:
    """What D minimises: half the cross-entropy of real and of generated images of the same grey ones (pix2pix, section 3.3)."""
    real, fake = D(torch.cat([grey, grey]), torch.cat([x, x_fake])).chunk(2)
    terms = {"d_real": losses.logistic_loss(real, True), "d_fake": losses.logistic_loss(fake, False)}
    total = (terms["d_real"] + terms["d_fake"]) / 2
    return total, terms | {"d_total": total}


def g_objective(D: CasiaNet, grey: Tensor, x: Tensor, x_fake: Tensor, loss: RecolorLossSettings) -> tuple[Tensor, Terms]:
    """What G minimises: that D takes its images for real, and λ·L1 to the originals (pix2pix, Eq. 4)."""
    terms = {"l1": F.l1_loss(x_fake, x)}
    total = loss.lambda_l1 * terms["l1"]
    if loss.lambda_adv > 0:
        terms["g_adv"] = losses.logistic_loss(D(grey, x_fake), True)
        total = total + loss.lambda_adv * terms["g_adv"]
    return total, terms | {"g_total": total}


def recolor_task(settings: RecolorSettings, data: Dataset, ranks: Ranks) -> "RecolorTask":
    """The task with networks that are initialised from PyTorch's generator."""
    G = ColorizationGenerator(data.image_size, **settings.generator.model_dump())
    return RecolorTask(settings, data, ranks, G, CasiaNet(settings.discriminator.width))


class Coloured(NamedTuple):
    """Images made grey, coloured again, and as they were; N×3×S×S each, on the CPU."""

    grey: Tensor
    output: Tensor
    original: Tensor


class RecolorTask:
    """G, D, their optimisers and the training split; see Task. Only G is exported."""

    exports: Literal["best", "last"] = "last"
    goal = Goal("val/l1_to_target", "min")

    def __init__(self, settings: RecolorSettings, data: Dataset, ranks: Ranks, G: ColorizationGenerator, D: CasiaNet):
        self.settings, self.data, self.ranks, self.G, self.D = settings, data, ranks, G, D
        self.networks: Mapping[str, nn.Module] = {"generator": G, "discriminator": D}
        for network in self.networks.values():
            place(network, ranks.device, settings.channels_last)
        self.g_adam, self.d_adam = adam(G, settings.adam), adam(D, settings.adam)
        self.rows = data.rows("train")
        self.held_out = spread(data.real_rows("val"), LOOKED_AT)
        self.images_per_step = settings.batch_size
        self.total_steps = settings.total_steps(len(self.rows), settings.batch_size)
        self.info: Mapping[str, Any] = {"data_hash": data.content_hash, "data": data_facts(data)}
        self.people = set(data.people("train"))

    def batch(self, step: int) -> Batch:
        """This worker's images, some of them mirrored."""
        B, seed = self.settings.batch_size, self.settings.seed
        mine = self.ranks.share(B)
        rows = rows_of_step(self.rows, B, step, seed)[mine]
        mirrored = torch.rand(B, generator=step_generator(seed, step))[mine] < 0.5
        x = to_tensor(self.data.images[rows])
        return {"x": mirror(x, mirrored) if self.settings.flip else x}

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """A step of D, unless its loss has no weight, and one of G."""
        settings = self.settings
        for optimiser in (self.g_adam, self.d_adam):
            set_rates(optimiser, settings.adam, settings, step, self.total_steps)
        x = normalise(batch["x"].to(self.ranks.device, non_blocking=True), settings.channels_last)
        grey = greyed(x)
        with self._autocast():
            x_fake = self.G(grey)

        terms: Terms = {}
        if settings.loss.lambda_adv > 0:
            with self._autocast():
                total, terms = d_objective(self.D, grey, x, x_fake.detach())
            update(self.d_adam, self.D, total, self.ranks)

        self.D.requires_grad_(False)
        with self._autocast():
            total, g_terms = g_objective(self.D, grey, x, x_fake, settings.loss)
        update(self.g_adam, self.G, total, self.ranks)
        self.D.requires_grad_(True)
        return {f"loss/{name}": term.detach() for name, term in (terms | g_terms).items()}

    def _autocast(self) -> torch.autocast:
        # One region per update: a region keeps the bf16 copies of the weights it has seen, so they would go stale.
        return autocast(self.ranks.device, self.settings.precision)

    def adopt(self, network: nn.Module) -> None:
        """Take the weights of a G of the same size."""
        self.G.load_state_dict(network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers."""
        return {"g_adam": self.g_adam.state_dict(), "d_adam": self.d_adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        self.g_adam.load_state_dict(state["g_adam"])
        self.d_adam.load_state_dict(state["d_adam"])

    def validate(self) -> dict[str, float]:
        """How near the colours come to the originals' on held-out images, and whether brightness and chroma are as before."""
        if len(self.held_out) == 0:
            return {}
        _, output, original = self._coloured(self.held_out)
        return {
            "val/l1_to_target": float(l1_distance(output, original).mean()),
            "val/ssim_to_target": float(structural_similarity(output, original).mean()),
            "val/luma_error": float(l1_distance(greyed(output), greyed(original)).mean()),
            "val/chroma_share": chroma(output) / max(chroma(original), 1e-9),
        }

    def doubts(self) -> list[str]:
        """Whether outputs are grey, or the same for every face."""
        _, output, original = self._coloured(spread(self._shown(), 2 * BATCH))
        share, of_face = chroma(output) / max(chroma(original), 1e-9), output.unsqueeze(1)
        found = [f"its outputs are grey (their chroma is {share:.1%} of the originals')"] if share < GREY else []
        collapse = response(original, of_face, of_face).collapse
        return [f"G has collapsed: {each}" for each in [*found, *([collapse] if collapse is not None else [])]]

    def remarks(self) -> list[str]:
        """As ``doubts``."""
        return self.doubts()

    def samples(self) -> dict[str, Image]:
        """The same held-out images each time: grey, coloured, and as they were."""
        columns = [to_images(images) for images in self._coloured(spread(self._shown(), FACES))]
        cells = [list(row) for row in zip(*columns, strict=True)]
        return {"samples/recoloured": labelled_grid(cells, ["grey", "coloured", "original"], [""] * len(cells))}

    def export(self, folder: Path, provenance: Mapping[str, str]) -> None:
        """A network folder of G."""
        people = {"people": sorted(self.people)[:MOST_PEOPLE]} if self.people else {}
        save_network(folder, "colorization", numbers_of(self.G), self.G, **{**provenance, **self.info, **people})

    def _shown(self) -> Rows:
        """Images to look at: never of test people."""
        return self.held_out if len(self.held_out) else self.rows

    def _coloured(self, rows: Rows) -> Coloured:
        def three(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            grey = greyed(x)
            return grey.cpu(), self.G(grey).cpu(), x.cpu()

        with torch.inference_mode():
            pieces = in_batches(three, self.data.images, rows, self.ranks.device, BATCH)
        return Coloured(*(torch.cat(images) for images in zip(*pieces, strict=True)))


def chroma(x: Tensor) -> float:
    """How far pixels are from grey: root mean square of their channels' distances from luma, 0 and up.

    >>> round(chroma(torch.full((1, 3, 2, 2), 0.5)), 6)
    0.0
    """
    return float((x.double() - greyed(x.double())).square().mean().sqrt())
