"""How N workers train what one would: shares of a batch, averages over all of them, and updates on averaged gradients.

Every random draw of a step is made for the whole batch from the step's number, and each worker takes its share; so
N workers compute exactly the gradients of one, and a resumed run repeats exactly what a killed one would have done. Moving
averages of weights are here too, as they follow each update.
"""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.optim import Adam

from legan.platform.errors import LeganError
from legan.platform.settings import AdamSettings, TrainingSettings

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """This worker among all workers."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this worker is the one that writes."""
        return self.rank == 0

    def share(self, size: int) -> slice:
        """This worker's part of ``size`` items; ``size`` is a multiple of the number of workers."""
        each = size // self.world
        return slice(self.rank * each, (self.rank + 1) * each)


def average_gradients(parameters: Iterable[nn.Parameter], ranks: Ranks) -> None:
    """Replace each gradient by its mean over all workers, in one all-reduce of one flat buffer."""
    if ranks.world == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= ranks.world
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()


def average(values: Tensor, ranks: Ranks) -> Tensor:
    """Mean of ``values`` over all workers."""
    if ranks.world > 1:
        dist.all_reduce(values)
        values = values / ranks.world
    return values


def everyones(value: Value, ranks: Ranks) -> list[Value]:
    """``value`` of each worker, by rank; any that pickle takes."""
    values = [value] * ranks.world
    if ranks.world > 1:
        dist.all_gather_object(values, value)
    return values


@contextmanager
def all_or_none(ranks: Ranks) -> Iterator[None]:
    """What each worker does before they go on together: the LeganError of one is raised by all, who would wait for it in vain."""
    failed: LeganError | None = None
    try:
        yield
    except LeganError as error:
        failed = error
    said = everyones(str(failed) if failed else None, ranks)
    if failed is not None:
        raise failed
    for rank, message in enumerate(said):
        if message is not None:
            raise LeganError(f"worker {rank}: {message}")


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of all random draws of one step, the same on every worker."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)


class EagerAdam(Adam):
    """PyTorch's Adam without its guards against being compiled, which import the compiler into every process that trains."""

    add_param_group = inspect.unwrap(Adam.add_param_group)
    load_state_dict = inspect.unwrap(Adam.load_state_dict)
    state_dict = inspect.unwrap(Adam.state_dict)
    zero_grad = inspect.unwrap(Adam.zero_grad)
    step = torch.no_grad()(inspect.unwrap(Adam.step))


def adam(network: nn.Module, settings: AdamSettings) -> Adam:
    """Adam over a network's parameters, all updated in one fused call."""
    return EagerAdam(
        network.parameters(),
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )


def set_rates(optimiser: Adam, rates: AdamSettings, settings: TrainingSettings, step: int, total: int) -> None:
    """Adam's numbers at step number ``step`` of ``total``; a checkpoint of another run may have brought that one's."""
    for group in optimiser.param_groups:
        group["lr"] = rates.rate(*settings.course(step, total))
        group["betas"] = rates.beta1, rates.beta2
        group["weight_decay"] = rates.weight_decay


def update(optimiser: Adam, network: nn.Module, total: Tensor, ranks: Ranks, clip: float | None = None) -> None:
    """One optimiser step on the gradient of ``total``, averaged over all workers and clipped to the norm ``clip``."""
    update_together([optimiser], network, total, ranks, clip)


def update_together(
    optimisers: Sequence[Adam], network: nn.Module, total: Tensor, ranks: Ranks, clip: float | None = None
) -> None:
    """As ``update``, for a network whose parts have optimisers of their own."""
    set_gradients(network, total)
    apply_gradients(optimisers, network, ranks, clip)


def set_gradients(network: nn.Module, total: Tensor) -> None:
    """The gradient of ``total``, alone, in the network's parameters."""
    network.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]


def apply_gradients(optimisers: Sequence[Adam], network: nn.Module, ranks: Ranks, clip: float | None = None) -> None:
    """One step of the optimisers on the network's gradients, averaged over all workers and clipped to the norm ``clip``."""
    average_gradients(network.parameters(), ranks)
    if clip is not None:
        nn.utils.clip_grad_norm_(network.parameters(), clip)
    for optimiser in optimisers:
        optimiser.step()


@torch.no_grad()
def moving_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Each weight of ``average`` becomes decay·itself + (1 - decay)·the network's."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)


def young_decay(decay: float, step: int) -> float:
    """The decay at step number ``step``, from 0: smaller at first, so that the initial weights are soon forgotten.

    It is (1 + step)/(10 + step) until that reaches ``decay``.

    >>> young_decay(0.999, 0), young_decay(0.999, 10**6)
    (0.1, 0.999)
    """
    return min(decay, (1 + step) / (10 + step))
