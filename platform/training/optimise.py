"""How weights are updated, the same for everything that is trained."""

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adam

from legan.platform.settings import AdamSettings, TrainingSettings
from legan.platform.training.parallel import Ranks, average_gradients


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


def set_learning_rate(optimiser: Adam, settings: AdamSettings, step: int, total: int) -> None:
    """The learning rate of this step, from its number alone: constant, then falling linearly to 0 at the end."""
    start = settings.decay_from * total
    factor = 1.0 if step <= start else (total - step) / (total - start)
    for group in optimiser.param_groups:
        group["lr"] = settings.learning_rate * factor


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


def total_steps(settings: TrainingSettings, images: int, per_step: int) -> int:
    """Steps of the whole training, from ``steps`` or from ``epochs`` (rounded up)."""
    if settings.steps is not None:
        return settings.steps
    if settings.epochs is None:
        raise ValueError("either steps or epochs has to be set")
    return max(1, -(-int(settings.epochs * images) // per_step))
