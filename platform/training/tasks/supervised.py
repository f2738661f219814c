"""Training with labels: T (identity), Q (quality) and the independent judge of attributes.

The three differ in what a batch holds and in the loss; everything else is this one task.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from legan.platform.data.dataset import MOST_PEOPLE
from legan.platform.device import autocast, place
from legan.platform.model import save_network
from legan.platform.pixels import normalise, to_tensor
from legan.platform.settings import TrainingSettings
from legan.platform.training.batches import Rows, mirror, rows_of_step
from legan.platform.training.parallel import Ranks, adam, set_rates, step_generator, update
from legan.platform.training.task import Batch, Goal, Image

LOOKED_AT = 400
"""Images, at most, that a network is judged by while it trains."""
REMEDY = "train it longer (--from), or with another adam.learning_rate"


class Labelled(NamedTuple):
    """Images with labels: ``images[row]`` is uint8 H×W×3, ``labels`` are tensors of N rows each."""

    images: Any
    labels: Mapping[str, Tensor]
    train: Rows


def unlearnt(network: str, what: str, answers: Tensor, labels: Tensor) -> list[str]:
    """That a network names no more of its training images rightly than by always giving the commonest answer, where it is so.

    ``answers`` and ``labels`` are int64 N. More has to be more than two standard errors of a share of N images.
    """
    right, guessing = float((answers == labels).float().mean()), float(labels.bincount().max()) / len(labels)
    if right > guessing + 2 * math.sqrt(guessing * (1 - guessing) / len(labels)):
        return []
    return [
        f"{network} has learnt nothing of {what}: it names the right one for {right:.1%} of its training images, where always "
        f"the commonest would be right for {guessing:.1%}; {REMEDY}"
    ]


class SupervisedTask:
    """One network, one optimiser, one loss; see Task."""

    exports: Literal["best", "last"] = "best"

    def __init__(
        self,
        settings: TrainingSettings,
        data: Labelled,
        network: nn.Module,
        ranks: Ranks,
        *,
        kind: str,
        numbers: Mapping[str, Any],
        loss: Callable[[nn.Module, Tensor, Mapping[str, Tensor]], dict[str, Tensor]],
        validation: Callable[[nn.Module], dict[str, float]],
        goal: Goal,
        mirror: Callable[[Mapping[str, Tensor], Tensor], Mapping[str, Tensor]] | None = None,
        clip: float | None = None,
        info: Mapping[str, Any] | None = None,
        people: Iterable[str] = (),
        remarks: Callable[[nn.Module], list[str]] = lambda network: [],
    ):
        self.settings, self.data, self.ranks, self.goal = settings, data, ranks, goal
        self.kind, self.numbers = kind, numbers
        self.info: Mapping[str, Any] = info or {}
        self.people = set(people)
        self.loss, self.validation, self.remarks_of, self.clip = loss, validation, remarks, clip
        self.mirror = mirror if settings.flip else None
        self.network = network
        place(network, ranks.device, settings.channels_last)
        self.networks: Mapping[str, nn.Module] = {kind: self.network}
        self.adam = adam(self.network, settings.adam)
        self.images_per_step = settings.batch_size
        self.total_steps = settings.total_steps(len(data.train), settings.batch_size)

    def batch(self, step: int) -> Batch:
        """This worker's images and labels, some of them mirrored."""
        B = self.settings.batch_size
        rows = rows_of_step(self.data.train, B, step, self.settings.seed)
        mirrored = torch.rand(B, generator=step_generator(self.settings.seed, step)) < 0.5
        mine = self.ranks.share(B)
        rows, mirrored = rows[mine], mirrored[mine]
        x = to_tensor(self.data.images[rows])
        labels: Mapping[str, Tensor] = {name: values[torch.from_numpy(rows)] for name, values in self.data.labels.items()}
        if self.mirror is not None:
            x = mirror(x, mirrored)
            labels = self.mirror(labels, mirrored)
        return {"x": x, **labels}

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One optimiser step."""
        set_rates(self.adam, self.settings.adam, self.settings, step, self.total_steps)
        device = self.ranks.device
        moved = {name: values.to(device, non_blocking=True) for name, values in batch.items()}
        x = normalise(moved.pop("x"), self.settings.channels_last)
        self.network.train()
        with autocast(device, self.settings.precision):
            terms = self.loss(self.network, x, moved)
        update(self.adam, self.network, terms["total"], self.ranks, self.clip)
        return {f"loss/{name}": term.detach() for name, term in terms.items()}

    def adopt(self, network: nn.Module) -> None:
        """Take the weights of a network of the same kind and size."""
        self.network.load_state_dict(network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """The optimiser."""
        return {"adam": self.adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        self.adam.load_state_dict(state["adam"])

    def validate(self) -> dict[str, float]:
        """The metrics of this kind of network."""
        self.network.eval()
        with torch.inference_mode():
            return self.validation(self.network)

    def doubts(self) -> list[str]:
        """Nothing before the end."""
        return []

    def remarks(self) -> list[str]:
        """What the network has not learnt."""
        self.network.eval()
        with torch.inference_mode():
            return self.remarks_of(self.network)

    def samples(self) -> dict[str, Image]:
        """Nothing to see."""
        return {}

    def export(self, folder: Path, provenance: Mapping[str, str]) -> None:
        """A network folder."""
        people = {"people": sorted(self.people)[:MOST_PEOPLE]} if self.people else {}
        save_network(folder, self.kind, self.numbers, self.network, **{**provenance, **self.info, **people})


def in_batches(network: Callable[[Tensor], Any], images: Any, rows: Rows, device: torch.device, size: int = 128) -> list[Any]:
    """``network`` applied to the given rows, batch by batch."""
    return [network(normalise(to_tensor(images[rows[i : i + size]]).to(device))) for i in range(0, len(rows), size)]
