"""From settings to a running training: check everything, plan, start or resume."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from legan.platform.cluster import connect, is_elsewhere, require, threads_each
from legan.platform.config import Checked, to_yaml
from legan.platform.data.labels.classes import count_lines
from legan.platform.errors import ConfigError, Problem, Problems, RecordTakenError, counted
from legan.platform.processors import free_processors, threads_asked_for
from legan.platform.settings import TrainingSettings
from legan.platform.tracking.places import default_home, default_tracking_uri, run_tracking_uri, shown
from legan.platform.tracking.spool import is_recorded
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.checks import FOLDERS, Facts, Inputs, check, hashes, idle_settings, trainable
from legan.platform.training.lifecycle import build_task, end_on_request, train_run
from legan.platform.training.loop import Interrupted
from legan.platform.training.origin import Beginning, begin, find_origin, misfits, resolve_from
from legan.platform.training.parallel import Ranks
from legan.platform.training.reckon import reckoned
from legan.platform.training.run_folder import Run, changed_inputs, check_run_name, create_run, open_run, with_settings

ENDING_S = 3.0
"""How long a process that has just been stopped is given to let go of its run."""


def start_training(
    kind: str,
    asked: Checked[TrainingSettings],
    name: str | None,
    address: str | None,
    dry_run: bool,
    origin: Beginning | None = None,
    inputs: Inputs | None = None,
) -> None:
    """Create the run and train it to its end; nothing is created where the name or the cluster cannot be had.

    It begins from ``origin``, if there is one. ConfigError names every problem of the settings and of what they name at once.
    """
    inputs, home, problems = inputs or Inputs(), default_home(), Problems()
    elsewhere = asked.settings is not None and asked.settings.workers > 0 and is_elsewhere(address)
    facts = problems.from_(partial(trainable, asked, inputs, elsewhere))
    if origin is not None and asked.settings is not None:
        problems += misfits(origin, facts or check(asked.settings, inputs, elsewhere=elsewhere))
    if name is not None:
        problems.from_(partial(check_run_name, home, name))
    if facts is None or problems:
        raise ConfigError(list(dict.fromkeys(problems)))

    for note in [*idle_settings(facts.settings), *facts.notes]:
        print(note)
    for line in origin.lines(facts.settings) if origin is not None else ():
        print(line)
    settings = facts.settings.model_copy(update={"threads": _threads(facts.settings, elsewhere)})
    if dry_run:
        facts = facts._replace(settings=settings)
        begins = settings.start.step if settings.start is not None else 0
        print(plan(kind, facts, inputs))
        print(reckoned(facts, inputs, begins, elsewhere))
        return

    _join(settings, address)
    settings = settings.model_copy(update={"threads": settings.threads or threads_each(settings.workers, settings.gpu)})
    fill = None if origin is None else partial(begin, origin, facts._replace(settings=settings), inputs)
    tags = origin.tags if origin is not None else None
    run = create_run(home, kind, settings, name, tags, left_out=facts.left_out, fill=fill)
    print(f"run {run.folder.name} in {run.folder}")
    _train(run, inputs)


def train_further(
    kind: str,
    source: str,
    overrides: Sequence[str],
    given: Mapping[str, Any],
    keep_rate: bool,
    name: str | None,
    address: str | None,
    dry_run: bool,
) -> None:
    """As ``start_training``, from the run or the model that ``source`` names, with its settings where ``given`` has no others."""
    inputs = Inputs()
    origin = find_origin(kind, source, given.get("preset"), keep_rate, inputs)
    changed = {key: value for key, value in given.items() if key != "preset"}
    start_training(kind, resolve_from(kind, origin, overrides, changed), name, address, dry_run, origin, inputs)


def resume_training(
    kind: str,
    name: str,
    overrides: Sequence[str],
    given: Mapping[str, Any],
    new_name: str | None,
    address: str | None,
    dry_run: bool,
) -> None:
    """Continue a run with its own settings, from its last checkpoint.

    ``given`` may say where its inputs are now, which have to be what it began with, and another number of threads.
    """
    run = open_run(default_home(), name)
    if not dry_run and is_recorded(run.folder, ENDING_S):
        taken = f"{run.folder.name} is being trained by another process; wait until it has ended, or stop it there first."
        raise RecordTakenError(taken)
    problems, inputs, elsewhere = Problems(), Inputs(), run.settings.workers > 0 and is_elsewhere(address)
    if run.kind != kind:
        problems.add("--resume", f"{run.folder.name} is a training of {run.kind}; use `legan train {run.kind} --resume {name}`")
    named = {key: value for key, value in given.items() if value is not None}
    moved = {key: value for key, value in named.items() if key in FOLDERS}
    if [*overrides, *(named.keys() - moved.keys() - {"threads"})] or new_name is not None:
        problems.add(
            "--resume", "a run goes on with its own settings; start a new run to change them (--from this one, if you like)"
        )
    for key in moved:
        if not getattr(run.settings, key):
            problems.add(f"--{key}", f"{run.folder.name} is trained without; leave it out")

    asked = run.settings.model_copy(update=moved)
    facts = check(asked, inputs, run.left_out, elsewhere)
    found = run._replace(settings=facts.settings)
    problems += [_moved(each, asked) for each in facts.problems] or changed_inputs(found, hashes(facts.settings, inputs), moved)
    problems.raise_if_any()

    done = list_checkpoints(run.checkpoints)
    print(f"run {run.folder.name}: {f'last checkpoint at step {done[-1].step}' if done else 'no checkpoint yet, starting anew'}")
    settings = facts.settings.model_copy(update={"threads": named.get("threads") or _threads(facts.settings, elsewhere)})
    if done and settings.threads != run.settings.threads:
        print(
            f"threads: {settings.threads or 'as many as the cluster has'}, which is not certain to give the same bits as before"
        )
    if dry_run:
        facts = facts._replace(settings=settings)
        print(plan(kind, facts, inputs, run_tracking_uri(run.folder)))
        print(reckoned(facts, inputs, done[-1].step if done else 0, elsewhere))
        return
    _join(settings, address)
    settings = settings.model_copy(update={"threads": settings.threads or threads_each(settings.workers, settings.gpu)})
    _train(with_settings(run, settings), inputs)


def _moved(problem: Problem, settings: TrainingSettings) -> Problem:
    """Of an input that is not there any more: how to say where it is."""
    path = getattr(settings, problem.place) if problem.place in FOLDERS else None
    if not path or all(each.exists() for each in (path if isinstance(path, tuple) else (path,))):
        return problem
    return problem._replace(message=f"{problem.message}; if it was moved, name its place with --{problem.place}")


def _threads(settings: TrainingSettings, elsewhere: bool) -> int | None:
    """Threads of each process; None where a cluster has to be asked first."""
    if settings.threads is not None or elsewhere:
        return settings.threads
    return threads_asked_for() or max(1, free_processors() // max(1, settings.workers))


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
            f"data set {data.name}: {counted(len(data), 'face')} of {data.image_size}×{data.image_size} ({sizes}), "
            f"{len(data.schema.expressions)} expressions × {len(data.schema.lightings)} lightings, hash {data.content_hash[:12]}"
        )
        lines += [*count_lines(data), ""]
    lines += [f"{name}: {count:,} parameters" for name, count in parameters.items()]
    before = settings.start.step if settings.start is not None else 0
    steps = counted(task.total_steps - before, "step") + (f" ({before + 1} to {task.total_steps})" if before else "")
    lines.append(f"{steps} of {counted(task.images_per_step, 'image')}, on {place or _where(settings)}")
    lines.append(
        f"checkpoints: every {counted(settings.checkpoint_every, 'step')} and of the best validation, "
        f"{checkpoint_bytes / 1e6:.0f} MB each, "
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
            with end_on_request() as asked:
                train_run(run, Ranks(device=device), run_tracking_uri(run.folder), print, inputs=inputs, end_asked=asked)
            return
        from legan.platform.training.distributed import train_on_ray

        train_on_ray(run, run_tracking_uri(run.folder), print)
    except KeyboardInterrupt as stop:
        reached = f"stopped after {stop}, which is a checkpoint" if isinstance(stop, Interrupted) else "stopped"
        known = run.folder.name if run.folder.parent == default_home() else run.folder  # a trial of an experiment is elsewhere
        print(f"{reached}; continue with `legan train {run.kind} --resume {known}`", file=sys.stderr)
        raise


def _where(settings: TrainingSettings) -> str:
    if settings.workers == 0:
        return "this process's GPU" if settings.gpu else "this process"
    return f"{counted(settings.workers, 'Ray Train worker')} with one {'GPU' if settings.gpu else 'CPU'} each"
