"""From the command line to a running training: resolve, check everything, plan, start or resume."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from legan.platform.cluster import connect, require
from legan.platform.config import apply_overrides, check_apart, is_about, read_section, to_yaml
from legan.platform.device import native_precision
from legan.platform.errors import ConfigError, LeganError
from legan.platform.model import identity_folder, network_folder
from legan.platform.settings import KINDS, TrainingSettings
from legan.platform.tracking.places import default_home, default_tracking_uri, run_tracking_uri, shown
from legan.platform.training.build import Facts, build_task, check, idle_settings
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.parallel import Ranks
from legan.platform.training.run_folder import Run, changed_inputs, check_run_name, create_run, open_run, work

FOLDERS: dict[str, Callable[[Path], Path]] = {"identity": identity_folder, "quality": network_folder}
PATHS = ("data", "ratings", *FOLDERS)


def resolve(kind: str, preset: str, overrides: Sequence[str], given: Mapping[str, Any]) -> tuple[TrainingSettings, Facts]:
    """The checked settings and what is known of their data; ConfigError names every problem at once."""
    values, problems = apply_overrides(read_section(preset, kind), overrides)
    values.update({key: value for key, value in given.items() if value is not None})
    unfinished: list[str] = []
    for key in PATHS:
        if values.get(key) is not None:
            path = Path(str(values[key])).expanduser()
            try:
                values[key] = FOLDERS.get(key, Path)(path).absolute()
            except LeganError as error:
                problems.append(f"{key}: {error}")
                unfinished.append(key)
    if values.get("precision") == "auto":
        values["precision"] = native_precision(bool(values.get("gpu")))
    checked = check_apart(KINDS[kind], values)
    facts = check(checked.settings) if checked.settings is not None else Facts([], None)
    unknown = [*checked.wrong, *unfinished]
    problems += checked.problems + [problem for problem in facts.problems if not is_about(problem, unknown)]
    if problems or checked.settings is None:
        raise ConfigError(problems)
    return checked.settings, facts


def start_training(
    kind: str, resolved: tuple[TrainingSettings, Facts], name: str | None, address: str | None, dry_run: bool
) -> None:
    """Create the run and train it to its end; nothing is created where the name or the cluster cannot be had."""
    settings, facts = resolved
    if name is not None:
        check_run_name(default_home(), name)
    for note in idle_settings(settings):
        print(note)
    if dry_run:
        print(plan(kind, settings, facts))
        return
    _join(settings, address)
    run = create_run(default_home(), kind, settings, name)
    print(f"run {run.folder.name} in {run.folder}")
    _train(run)


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
    problems = []
    if run.kind != kind:
        problems.append(f"--resume: {run.folder.name} is a training of {run.kind}; use `legan train {run.kind} --resume {name}`")
    changed = [*overrides, *(key for key, value in given.items() if value is not None)]
    if changed or new_name is not None:
        problems.append("--resume: a run goes on with its own settings; start a new run to change them")
    facts = check(run.settings)
    problems += facts.problems or changed_inputs(run, build_task(run.settings, Ranks()))
    if problems:
        raise ConfigError(problems)
    done = list_checkpoints(run.checkpoints)
    print(f"run {run.folder.name}: {f'last checkpoint at step {done[-1].step}' if done else 'no checkpoint yet, starting anew'}")
    if dry_run:
        print(plan(kind, run.settings, facts, run_tracking_uri(run.folder)))
        return
    _join(run.settings, address)
    _train(run)


def plan(kind: str, settings: TrainingSettings, facts: Facts, uri: str | None = None) -> str:
    """The resolved settings, the data, the networks' sizes and what will be written, as text.

    ``uri`` is the MLflow store, by default that of new runs.
    """
    task = build_task(settings, Ranks())
    parameters = {name: sum(p.numel() for p in network.parameters()) for name, network in task.networks.items()}
    checkpoint_bytes = sum(parameters.values()) * 4 * 3  # weights and Adam's two moments, fp32
    lines = [f"kind: {kind}", to_yaml(settings).rstrip(), ""]
    if facts.data is not None:
        data = facts.data
        sizes = ", ".join(f"{split} {len(data.rows(split))}" for split in ("train", "val", "test"))
        lines.append(
            f"data set {data.name}: {len(data)} faces of {data.image_size}×{data.image_size} ({sizes}), "
            f"{len(data.schema.expressions)} expressions × {len(data.schema.lightings)} lightings, hash {data.content_hash[:12]}"
        )
    lines += [f"{name}: {count:,} parameters" for name, count in parameters.items()]
    lines.append(f"{task.total_steps} steps of {task.images_per_step} images, on {_where(settings)}")
    lines.append(
        f"checkpoints: every {settings.checkpoint_every} steps, {checkpoint_bytes / 1e6:.0f} MB each, "
        f"at most {settings.keep_last + 1} kept"
    )
    lines.append(f"tracking: {shown(uri or default_tracking_uri())}")
    return "\n".join(lines)


def _join(settings: TrainingSettings, address: str | None) -> None:
    """Connect to the cluster that is to train, if it is not this process; ClusterError where it is away or too small."""
    if settings.workers > 0:
        connect(address, cpus=None)
        require(cpus=settings.workers, gpus=settings.workers if settings.gpu else 0)


def _train(run: Run) -> None:
    settings = run.settings
    try:
        if settings.workers == 0:
            device = torch.device("cuda" if settings.gpu else "cpu")
            work(run, Ranks(device=device), run_tracking_uri(run.folder), print)
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
