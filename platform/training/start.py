"""From settings to a running training: check everything, plan, start or resume."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from legan.platform.cluster import connect, require
from legan.platform.config import Checked, to_yaml
from legan.platform.data.labels.classes import count_lines
from legan.platform.errors import Problems, RecordTakenError
from legan.platform.settings import TrainingSettings
from legan.platform.tracking.places import default_home, default_tracking_uri, run_tracking_uri, shown
from legan.platform.tracking.spool import is_recorded
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.checks import Facts, Inputs, check, hashes, idle_settings, trainable
from legan.platform.training.lifecycle import build_task, train_run
from legan.platform.training.parallel import Ranks
from legan.platform.training.run_folder import Run, changed_inputs, check_run_name, create_run, open_run

ENDING_S = 3.0
"""How long a process that has just been stopped is given to let go of its run."""


def start_training(kind: str, asked: Checked[TrainingSettings], name: str | None, address: str | None, dry_run: bool) -> None:
    """Create the run and train it to its end; nothing is created where the name or the cluster cannot be had.

    ConfigError names every problem of the settings and of what they name at once.
    """
    inputs = Inputs()
    facts = trainable(asked, inputs)
    if name is not None:
        check_run_name(default_home(), name)
    for note in [*idle_settings(facts.settings), *facts.notes]:
        print(note)
    if dry_run:
        print(plan(kind, facts, inputs))
        return

    _join(facts.settings, address)
    run = create_run(default_home(), kind, facts.settings, name, left_out=facts.left_out)
    print(f"run {run.folder.name} in {run.folder}")
    _train(run, inputs)


def resume_training(
    kind: str,
    name: str,
    overrides: Sequence[str],
    given: Mapping[str, Any],
    new_name: str | None,
    address: str | None,
    dry_run: bool,
) -> None:
    """Continue a run with its own settings, from its last checkpoint."""
    run = open_run(default_home(), name)
    if not dry_run and is_recorded(run.folder, ENDING_S):
        taken = f"{run.folder.name} is being trained by another process; wait until it has ended, or stop it there first."
        raise RecordTakenError(taken)
    problems, inputs = Problems(), Inputs()
    if run.kind != kind:
        problems.add("--resume", f"{run.folder.name} is a training of {run.kind}; use `legan train {run.kind} --resume {name}`")
    changed = [*overrides, *(key for key, value in given.items() if value is not None)]
    if changed or new_name is not None:
        problems.add("--resume", "a run goes on with its own settings; start a new run to change them")
    facts = check(run.settings, inputs, run.left_out)
    problems += facts.problems or changed_inputs(run, hashes(run.settings, inputs))
    problems.raise_if_any()

    done = list_checkpoints(run.checkpoints)
    print(f"run {run.folder.name}: {f'last checkpoint at step {done[-1].step}' if done else 'no checkpoint yet, starting anew'}")
    if dry_run:
        print(plan(kind, facts, inputs, run_tracking_uri(run.folder)))
        return
    _join(run.settings, address)
    _train(run, inputs)


def plan(kind: str, facts: Facts, inputs: Inputs, uri: str | None = None, place: str | None = None) -> str:
    """The settings, the data, the networks' sizes and what will be written, as text.

    ``uri`` is the MLflow store, by default that of new runs; ``place`` says where it is trained, by default as the settings do.
    """
    settings, data = facts.settings, facts.data
    task = build_task(settings, Ranks(), inputs, facts.left_out)
    parameters = {name: sum(p.numel() for p in network.parameters()) for name, network in task.networks.items()}
    checkpoint_bytes = sum(parameters.values()) * 4 * 3  # weights and Adam's two moments, fp32

    lines = [f"kind: {kind}", to_yaml(settings).rstrip(), ""]
    if data is not None:
        sizes = ", ".join(f"{split} {len(data.rows(split))}" for split in ("train", "val", "test"))
        lines.append(
            f"data set {data.name}: {len(data)} faces of {data.image_size}×{data.image_size} ({sizes}), "
            f"{len(data.schema.expressions)} expressions × {len(data.schema.lightings)} lightings, hash {data.content_hash[:12]}"
        )
        lines += [*count_lines(data), ""]
    lines += [f"{name}: {count:,} parameters" for name, count in parameters.items()]
    lines.append(f"{task.total_steps} steps of {task.images_per_step} images, on {place or _where(settings)}")
    lines.append(
        f"checkpoints: every {settings.checkpoint_every} steps and of the best validation, {checkpoint_bytes / 1e6:.0f} MB each, "
        f"at most {settings.keep_last + 1} kept"
    )
    lines.append(f"tracking: {shown(uri or default_tracking_uri())}")
    return "\n".join(lines)


def _join(settings: TrainingSettings, address: str | None) -> None:
    """Connect to the cluster that is to train, if it is not this process; ClusterError where it is away or too small."""
    if settings.workers > 0:
        connect(address, cpus=None)
        require(cpus=settings.workers, gpus=settings.workers if settings.gpu else 0)


def _train(run: Run, inputs: Inputs) -> None:
    settings = run.settings
    try:
        if settings.workers == 0:
            device = torch.device("cuda" if settings.gpu else "cpu")
            train_run(run, Ranks(device=device), run_tracking_uri(run.folder), print, inputs=inputs)
            return
        from legan.platform.training.distributed import train_on_ray

        train_on_ray(run, run_tracking_uri(run.folder), print)
    except KeyboardInterrupt:
        print(f"stopped; continue with `legan train {run.kind} --resume {run.folder.name}`", file=sys.stderr)
        raise


def _where(settings: TrainingSettings) -> str:
    if settings.workers == 0:
        return "this process's GPU" if settings.gpu else "this process"
    return (
        f"{settings.workers} Ray Train worker{'s' if settings.workers > 1 else ''}, {'one GPU' if settings.gpu else 'CPU'} each"
    )
