"""Training on Ray Train: the same work on N workers, which are replaced when they die.

The run folder has to be reachable under the same path from every node. Our own checkpoints there are what a replaced
worker goes on from, so nothing depends on Ray's copies or on the driver being alive.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from legan.platform.errors import ClusterError, LeganError
from legan.platform.training.memory import ONE_ARENA
from legan.platform.training.parallel import Ranks
from legan.platform.training.run import Run, open_run, raise_status, work, write_status

PROGRESS = "progress.log"
FOLLOW_EVERY_S = 0.3


def train_on_ray(run: Run, tracking_uri: str, say: Callable[[str], None], threads: int | None = None) -> None:
    """Train ``run`` on the connected Ray cluster and wait for the end; each progress line goes to ``say``.

    ``threads`` per worker; by default the cluster's CPUs shared out among the workers.
    Raises the error that ended the training, or ClusterError when workers died more than ``max_failures`` times.
    """
    settings = run.settings
    progress = run.folder / PROGRESS
    offset = progress.stat().st_size if progress.exists() else 0
    threads = threads or max(1, int(ray.cluster_resources().get("CPU", 1) // settings.workers))
    (run.folder / "status.json").unlink(missing_ok=True)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"run": str(run.folder), "tracking_uri": tracking_uri, "threads": threads},
        torch_config=TorchConfig(backend="nccl" if settings.gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=settings.workers, use_gpu=settings.gpu),
        run_config=RunConfig(
            name=f"attempt-{datetime.now():%Y%m%d-%H%M%S-%f}",
            storage_path=str(run.folder / "ray"),
            failure_config=FailureConfig(max_failures=settings.max_failures),
            worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **ONE_ARENA}},
        ),
    )
    with _Follower(progress, offset, say):
        try:
            trainer.fit()
        except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
            raise ClusterError(
                f"the workers of {run.folder.name} failed ({_root_cause(error)}); the checkpoints are kept, continue with "
                f"--resume {run.folder.name}."
            ) from error
    raise_status(run)


def _worker(config: Mapping[str, Any]) -> None:
    context = ray.train.get_context()
    torch.set_num_threads(config["threads"])
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), get_device())
    run = open_run(Path("/"), config["run"])

    def report(step: int, metrics: Mapping[str, float]) -> None:
        ray.train.report({"step": step, **metrics})

    def say(line: str) -> None:
        with (run.folder / PROGRESS).open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    # Our own errors would come again after a restart: they are handed over, not raised, so that Ray does not retry.
    try:
        work(run, ranks, config["tracking_uri"], say, report)
    except LeganError as error:
        outcome: LeganError | None = error
    else:
        outcome = None
    if ranks.is_first:
        write_status(run, outcome)


class _Follower:
    """Prints what is appended to a file while the driver waits."""

    def __init__(self, path: Path, offset: int, say: Callable[[str], None]):
        self.path, self.offset, self.say = path, offset, say
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
