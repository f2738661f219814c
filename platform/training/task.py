"""What the training loop asks of everything that is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from torch import Tensor, nn

Batch = Mapping[str, Tensor]
Image = np.ndarray[Any, np.dtype[np.uint8]]


class Goal(NamedTuple):
    """The validation metric that says which checkpoint is best.

    After ``patience`` validations in a row without a better one, the training ends; None: it does all its steps.
    """

    metric: str
    mode: Literal["min", "max"]
    patience: int | None = None


class Task(Protocol):
    """Networks, optimisers and data of one training.

    Only ``step`` changes the state. ``batch`` depends on nothing but the step's number, so that it can be called ahead
    of time from another thread.
    """

    networks: Mapping[str, nn.Module]
    """What a checkpoint holds weights of."""
    total_steps: int
    images_per_step: int
    """Images that one step sees, over all workers."""
    goal: Goal
    exports: Literal["best", "last"]
    """Which checkpoint becomes the model."""
    info: Mapping[str, Any]
    """What the model says of itself beside its run, as plain values for JSON."""
    people: set[str]
    """Whom it learns from, as far as that is known (``Dataset.people``)."""

    def batch(self, step: int) -> Batch:
        """This worker's share of the data and random draws of ``step``, on the CPU."""

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Step number ``step``, from 0, of all optimisers; named loss terms as scalars on the device, not yet synchronised."""

    def state_dict(self) -> dict[str, Any]:
        """All state but the weights."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``."""

    def adopt(self, network: nn.Module) -> None:
        """Begin with the weights of what a training of this kind has exported, where it has the same size."""

    def validate(self) -> dict[str, float]:
        """Metrics on the validation split, ``val/…``; empty where nobody is held out."""

    def doubts(self) -> list[str]:
        """What is plainly wrong with the weights as they are; asked at the validations of the second half of the training."""

    def remarks(self) -> list[str]:
        """What a person should know of the weights that are the model."""

    def samples(self) -> dict[str, Image]:
        """Pictures of the same held-out faces each time, by name; empty where there is nothing to see."""

    def export(self, folder: Path, provenance: Mapping[str, str]) -> None:
        """Write what others use of the current weights as a folder."""
