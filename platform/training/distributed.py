"""Training on Ray Train: the same work on N workers, which are replaced when they die.

The run folder has to be reachable under the same path from every node. Our own checkpoints there are what a replaced
worker goes on from, so nothing depends on Ray's copies or on the driver being alive.
"""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

from legan.platform.cluster import threads_each
from legan.platform.device import WORKERS
from legan.platform.errors import ClusterError, LeganError, WorkersError
from legan.platform.training.cleaner import CleanerCallback
from legan.platform.training.lifecycle import end_on_request, train_run
from legan.platform.training.loop import Interrupted, StoppedEarly
from legan.platform.training.parallel import Ranks, average
from legan.platform.training.run_folder import Run, append_line, open_run, raise_status, write_status

PROGRESS, REPORTS = "progress.log", "reports.jsonl"
STOP, END = "stop", "end"
"""Files by which the workers are told that a training is not worth going on with, and that somebody wants it to end."""
Report = Callable[[int, Mapping[str, float]], None]
FOLLOW_EVERY_S = 0.3


def train_on_ray(
    run: Run,
    tracking_uri: str,
    say: Callable[[str], None],
    threads: int | None = None,
    resources: Mapping[str, float] | None = None,
    report: Report | None = None,
) -> None:
    """Train ``run`` on the connected Ray cluster and wait for the end; each progress line goes to ``say``.

    ``threads`` per worker; by default those of the settings, else their share of the nodes' CPUs, over which they are spread
    (on GPUs they are packed). ``resources`` are what Ray sets aside for each worker, by default one CPU, and a GPU for trainings
    that use one. ``report`` is called here with each logged step and its metrics; when it raises StoppedEarly, the workers end
    together at one of the next logged steps. On Ctrl-C or SIGTERM they end together after a step, with a checkpoint.

    Raises the error that ended the training, StoppedEarly, Interrupted, WorkersError when workers died more than ``max_failures``
    times, or ClusterError when what watches over them died.
    """
    settings = run.settings
    spread = threads is None and not settings.gpu
    threads = threads or settings.threads or threads_each(settings.workers, settings.gpu)
    for name in (STOP, END):
        (run.folder / name).unlink(missing_ok=True)
    trainer = _Trainer(
        _worker,
        train_loop_config={
            "run": str(run.folder),
            "tracking_uri": tracking_uri,
            "threads": threads,
            "reports": report is not None,
        },
        torch_config=TorchConfig(backend="nccl" if settings.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.gpu,
            resources_per_worker=dict(resources) if resources else None,
            placement_strategy="SPREAD" if spread else "PACK",
        ),
        run_config=RunConfig(
            name=f"{run.folder.name}-attempt-{datetime.now():%Y%m%d-%H%M%S-%f}",
            storage_path=str(run.folder / "ray"),
            failure_config=FailureConfig(max_failures=settings.max_failures),
            worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **WORKERS}},
        ),
    )

    def pass_on(line: str) -> None:
        values = json.loads(line)
        if report is not None and not (run.folder / STOP).exists():
            try:
                report(values.pop("step"), values)
            except StoppedEarly:
                (run.folder / STOP).touch()
            except KeyboardInterrupt:
                pass  # this process is being ended, and the workers end with it

    with (
        _Follower(run.folder / PROGRESS, say),
        _Follower(run.folder / REPORTS, pass_on),
        end_on_request((run.folder / END).touch),
    ):
        try:
            trainer.fit()
        except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
            why = _root_cause(error)
            message = (
                f"the workers of {run.folder.name} failed ({why}); the checkpoints are kept, continue with "
                f"--resume {run.folder.name}."
            )
            if isinstance(error, ray.train.WorkerGroupError):
                raise WorkersError(message, why) from error
            raise ClusterError(message) from error
    raise_status(run)


class _Trainer(TorchTrainer):  # type: ignore[misc]  # Ray has no types
    """Without what Ray Train starts for Ray Data, which nothing here uses: a process more for each training.

    And with a cleaner of placement groups that ends when it has done its work. Ctrl-C is ours.
    """

    def _create_default_callbacks(self) -> list[Any]:
        own = [each for each in super()._create_default_callbacks() if not isinstance(each, DatasetsCallback)]
        return [CleanerCallback() if isinstance(each, PlacementGroupCleanerCallback) else each for each in own]

    def _register_sigint_handler(self, controller: Any) -> None:
        """Ray Train's own would end the workers amid a step."""


def _worker(config: Mapping[str, Any]) -> None:
    context = ray.train.get_context()
    torch.set_num_threads(config["threads"])
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), get_device())
    run = open_run(Path("/"), config["run"])

    def report(step: int, metrics: Mapping[str, float]) -> None:
        ray.train.report({"step": step, **metrics})
        if not config["reports"]:
            return
        if ranks.is_first:
            append_line(run.folder / REPORTS, json.dumps({"step": step, **metrics}))
        asked = torch.tensor(float((run.folder / STOP).exists()), device=ranks.device)
        if average(asked, ranks) > 0:
            raise StoppedEarly

    def say(line: str) -> None:
        append_line(run.folder / PROGRESS, line)

    # Our own errors would come again after a restart: they are handed over, not raised, so that Ray does not retry.
    try:
        train_run(run, ranks, config["tracking_uri"], say, report, end_asked=(run.folder / END).exists)
    except (LeganError, StoppedEarly, Interrupted) as error:
        outcome: LeganError | StoppedEarly | Interrupted | None = error
    else:
        outcome = None
    if ranks.is_first:
        write_status(run, outcome)


class _Follower:
    """Says what is appended to a file from now on, while the driver waits."""

    def __init__(self, path: Path, say: Callable[[str], None]):
        self.path, self.say = path, say
        self.offset = path.stat().st_size if path.exists() else 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> "_Follower":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _follow(self) -> None:
        while True:
            last_look = self.done.wait(FOLLOW_EVERY_S)
            if self.path.exists():
                with self.path.open("rb") as log:
                    log.seek(self.offset)
                    text = log.read()
                whole = text[: text.rfind(b"\n") + 1]
                self.offset += len(whole)
                for line in whole.decode("utf-8", "replace").splitlines():
                    self.say(line)
            if last_look:
                return


def _root_cause(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
