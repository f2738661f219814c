"""Folders of networks: a record in JSON, and weights in safetensors, in single or in half precision.

Nothing in such a folder is ever run. It is whole or not there.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from legan.platform.errors import CheckpointError, first_line
from legan.platform.files import room_in, whole_folder

FORMAT = 1


def write_folder(
    folder: Path,
    file: str,
    record: Mapping[str, Any],
    networks: Mapping[str, nn.Module],
    half: Collection[str] = (),
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a folder with its ``record``, networks and other ``texts`` by name, in place of an older one of the same kind.

    Raises CheckpointError where ``folder`` is something else: where it has no ``file``, which is the record's.
    """
    if folder.exists() and not (folder / file).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists and has no {file}, so it is not replaced; choose another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with room_in(folder.parent), whole_folder(folder) as draft:
        for name, network in networks.items():
            save_weights(network, draft / f"{name}.safetensors", half=name in half)
        for name, text in {file: json.dumps(record, indent=1, ensure_ascii=False) + "\n", **(texts or {})}.items():
            (draft / name).write_text(text, encoding="utf-8")


def read_record(folder: Path, file: str, what: str) -> dict[str, Any]:
    """The record of a ``what`` folder; CheckpointError where it is missing, damaged, or of another format."""
    path = folder / file
    if not path.is_file():
        raise CheckpointError(f"{folder} is no {what} folder (it has no {file}); give the folder that `legan train` wrote.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        form = record["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    if form != FORMAT:
        raise CheckpointError(f"{path} has format {form!r}, this version reads {FORMAT}; use the version of legan that wrote it.")
    return dict(record)


def damaged(path: Path, error: BaseException) -> CheckpointError:
    """What is said of a record that cannot be read."""
    return CheckpointError(f"{path} is damaged ({first_line(error)}); restore the folder or train anew.")


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
