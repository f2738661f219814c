"""Checkpoints: folders that exist whole or not at all.

``step-00000600/`` holds ``<network>.safetensors`` per network, ``state.pt`` (optimisers and the task's counters, loaded
with weights_only) and ``checkpoint.json`` (step, metrics, files). It is written under another name, flushed to the disk,
and renamed; whatever a killed writer left behind has the other name and is removed by the next one.
"""

import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from legan.models.identity import UNREADABLE
from legan.platform.errors import CheckpointError, first_line
from legan.platform.evaluation.metric_names import canonical
from legan.platform.files import flush, linked, room_in

UNFINISHED = ".unfinished-"
RECORD = "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    step: int
    metrics: Mapping[str, float]


def save_checkpoint(
    folder: Path, step: int, networks: Mapping[str, nn.Module], state: Mapping[str, Any], metrics: Mapping[str, float]
) -> Checkpoint:
    """Write ``folder/step-…`` and return it; an existing one of the same step is left as it is.

    CheckpointError when the disk is full.
    """
    final = folder / f"step-{step:08d}"
    if final.exists():
        return read_checkpoint(final)
    with room_in(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)
    draft = folder / f"{UNFINISHED}{final.name}"
    try:
        with room_in(folder):
            _write(draft, step, networks, state, metrics)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    draft.rename(final)
    flush(folder)
    return Checkpoint(final, step, dict(metrics))


def _write(
    folder: Path, step: int, networks: Mapping[str, nn.Module], state: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    folder.mkdir()
    for name, network in networks.items():
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / f"{name}.safetensors")
    torch.save(dict(state), folder / "state.pt")
    record = {"step": step, "metrics": dict(metrics), "networks": sorted(networks)}
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    for path in folder.iterdir():
        flush(path)
    flush(folder)


def load_checkpoint(checkpoint: Checkpoint, networks: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Load the weights into ``networks`` and return the task's state.

    Raises CheckpointError when a file is missing or damaged, or belongs to other networks.
    """
    try:
        weights = {name: load_file(checkpoint.path / f"{name}.safetensors") for name in networks}
        state: dict[str, Any] = torch.load(checkpoint.path / "state.pt", weights_only=True, map_location="cpu")
    except (*UNREADABLE, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {checkpoint.path} cannot be read ({first_line(error)}); remove it to go on from the one before."
        ) from error
    try:
        for name, network in networks.items():
            network.load_state_dict(weights[name])
    except RuntimeError as error:
        raise CheckpointError(
            f"checkpoint {checkpoint.path} does not fit these networks ({first_line(error)}); resume with the run's own settings."
        ) from error
    return state


def link_checkpoint(
    checkpoint: Checkpoint, folder: Path, *, with_metrics: bool, also: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Put another run's checkpoint into ``folder``, which nobody reads yet: second names of its files, or copies.

    Its metrics stay behind where they are not to be compared with those of this run. A network that it lacks begins as the
    one that ``also`` names.
    """
    target = folder / checkpoint.path.name
    target.mkdir(parents=True)
    for file in checkpoint.path.iterdir():
        if file.name != RECORD or with_metrics:
            linked(file, target / file.name)
    for name, like in also.items():
        if not (target / f"{name}.safetensors").exists():
            linked(checkpoint.path / f"{like}.safetensors", target / f"{name}.safetensors")
    if not with_metrics:
        record = json.loads((checkpoint.path / RECORD).read_text(encoding="utf-8")) | {"metrics": {}}
        (target / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at ``path``; CheckpointError when it is none."""
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        return Checkpoint(path, int(record["step"]), {_of_validation(name): value for name, value in record["metrics"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a complete checkpoint; remove it to go on from the one before.") from error


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """All complete checkpoints, oldest first."""
    found = [read_checkpoint(path) for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def best_checkpoint(checkpoints: list[Checkpoint], metric: str, mode: Literal["min", "max"]) -> Checkpoint | None:
    """The one with the best ``metric``, the earliest of equals; None when none has it as a number."""
    having = [checkpoint for checkpoint in checkpoints if math.isfinite(checkpoint.metrics.get(metric, math.nan))]
    if not having:
        return None
    sign = 1.0 if mode == "min" else -1.0
    return min(having, key=lambda checkpoint: (sign * checkpoint.metrics[metric], checkpoint.step))


def prune_checkpoints(folder: Path, keep_last: int, metric: str, mode: Literal["min", "max"]) -> None:
    """Remove all but the last ``keep_last`` and the best."""
    checkpoints = list_checkpoints(folder)
    kept = {checkpoint.path for checkpoint in checkpoints[-keep_last:]}
    best = best_checkpoint(checkpoints, metric, mode)
    if best is not None:
        kept.add(best.path)
    for checkpoint in checkpoints:
        if checkpoint.path not in kept:
            doomed = folder / f"{UNFINISHED}{checkpoint.path.name}"
            checkpoint.path.rename(doomed)  # first out of sight, so that no half-removed checkpoint is ever listed
            shutil.rmtree(doomed)


def _of_validation(name: str) -> str:
    """Today's name of a checkpoint's metric, which is one of validation: older ones are ``validation/…`` and ``eval/…``."""
    if name.startswith("val/"):
        return name
    name = canonical(name)
    return f"val/{name.removeprefix('eval/')}" if name.startswith("eval/") else name
