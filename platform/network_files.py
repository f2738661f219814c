"""Files of a network's weights: safetensors, in single or in half precision."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from legan.platform.errors import CheckpointError, first_line


def save_weights(network: nn.Module, path: Path, *, half: bool = False) -> None:
    """Write a network's weights; ``half``: those that are fractions as float16, a half of the bytes."""
    weights = {name: plain(value) for name, value in network.state_dict().items()}
    if half:
        weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    save_file(weights, path)


def load_weights(network: nn.Module, path: Path, kind: str) -> None:
    """Give a network of this ``kind`` the weights of a file, in its own precision.

    Raises CheckpointError where the file cannot be read or belongs to another network.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"the weights {path} cannot be read ({first_line(error)}); restore or train them anew.") from error
    problem = _misfit(network.state_dict(), weights)
    if problem:
        raise CheckpointError(f"the weights {path} do not fit the {kind} that the folder describes: {problem}.")
    network.load_state_dict(weights)


def plain(value: Tensor) -> Tensor:
    """The values on the CPU, in row-major order."""
    return value.detach().cpu().contiguous()


def _misfit(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    for name in (*wanted, *given):
        if name not in given:
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} is not part of it"
        if wanted[name].shape != given[name].shape:
            return f"{name} has shape {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}"
    return None
