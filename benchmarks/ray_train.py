"""What Ray Train costs and what it gives: one worker against the bare loop, and two one-thread workers against one.

The same LEGAN training in turn, several rounds in one run; rates are medians of the loop's own images/s, without start-up,
and each figure is the median of the ratios within a round. Where two train at once, each is held on a core of its own, so that
a kernel that moves both to one core is not what is measured. What the machine itself allows is measured beside it: two bare
loops at once that know nothing of each other, each with half the batch.

    python benchmarks/ray_train.py [--width 16] [--size 128] [--batch 8] [--steps 10] [--rounds 3]
"""

import argparse
import json
import os
import re
import statistics
import tempfile
from multiprocessing import get_context
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["OMP_NUM_THREADS"] = "1"

import psutil
import torch
from options import numbers

from legan.platform.cluster import connect
from legan.platform.data.rendered.render import render_dataset
from legan.platform.settings import LeganSettings
from legan.platform.training.distributed import train_on_ray
from legan.platform.training.lifecycle import train_run
from legan.platform.training.parallel import Ranks
from legan.platform.training.run_folder import Run, create_run

RATIOS = (
    ("ray_train_one_worker_over_bare_loop", "one worker", "bare loop"),
    ("ray_train_two_workers_over_one", "two workers", "one worker"),
    ("two_unconnected_loops_over_one", "two loops", "bare loop"),
)


def main() -> None:
    arguments = numbers(__doc__, width=16, size=128, batch=8, steps=10, rounds=3)
    connect(None, cpus=2)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        data = render_dataset(home / "faces", subjects=5, size=arguments.size, seed=0, images_per_subject=24).path
        rates: dict[str, list[float]] = {"bare loop": [], "one worker": [], "two workers": [], "two loops": []}
        for number in range(arguments.rounds):
            rates["bare loop"] += loops(home, data, arguments, [f"{number}-bare"], arguments.batch)
            rates["one worker"].append(on_ray(home, data, arguments, f"{number}-one", 1))
            rates["two workers"].append(on_ray(home, data, arguments, f"{number}-two", 2))
            rates["two loops"].append(sum(loops(home, data, arguments, [f"{number}-a", f"{number}-b"], arguments.batch // 2)))
    for name, a, b in RATIOS:
        ratio = statistics.median(x / y for x, y in zip(rates[a], rates[b], strict=True))
        print(f"{name}: {ratio:.2f}  ({statistics.median(rates[a]):.1f} against {statistics.median(rates[b]):.1f} images/s)")
        settings = {key: getattr(arguments, key) for key in ("size", "width", "batch", "steps", "rounds")}
        print(json.dumps({"benchmark": name, "ratio": round(ratio, 3)} | settings))


def new_run(home: Path, data: Path, arguments: argparse.Namespace, name: str, batch: int, workers: int) -> Run:
    settings = LeganSettings.model_validate(
        {
            "data": data, "steps": arguments.steps, "batch_size": batch, "workers": workers, "log_every": 2,
            "generator": {"width": arguments.width}, "discriminator": {"width": arguments.width, "layers": 5},
            "loss": {"lambda_3": 0, "lambda_4": 0},
        }
    )  # fmt: skip
    return create_run(home, "legan", settings, name)


def on_ray(home: Path, data: Path, arguments: argparse.Namespace, name: str, workers: int) -> float:
    """Images per second of ``workers`` Ray Train workers of one thread; two on a core each."""
    lines: list[str] = []

    def say(line: str) -> None:
        if not lines and workers > 1:
            pin_workers()
        lines.append(line)

    train_on_ray(new_run(home, data, arguments, name, arguments.batch, workers), f"sqlite:///{home}/{name}.db", say, threads=1)
    return median_rate(lines)


def pin_workers() -> None:
    cores = psutil.Process().cpu_affinity()
    found = [process for process in psutil.process_iter(["name", "cmdline"]) if "RayTrainWorker" in str(process.info)]
    for process, core in zip(sorted(found, key=lambda process: process.pid), cores, strict=False):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {core})


def loops(home: Path, data: Path, arguments: argparse.Namespace, names: list[str], batch: int) -> list[float]:
    """Images per second of bare loops that run at the same time, each in a process of one thread; two on a core each."""
    with get_context("spawn").Pool(len(names)) as pool:
        cores = psutil.Process().cpu_affinity()
        held = [[core] for core in cores] if len(names) > 1 else [cores]
        jobs = [(home, data, arguments, name, batch, held_on) for name, held_on in zip(names, held, strict=False)]
        return pool.starmap(bare_loop, jobs, chunksize=1)


def bare_loop(home: Path, data: Path, arguments: argparse.Namespace, name: str, batch: int, cores: list[int]) -> float:
    psutil.Process().cpu_affinity(cores)
    torch.set_num_threads(1)
    lines: list[str] = []
    train_run(new_run(home, data, arguments, name, batch, 0), Ranks(), f"sqlite:///{home}/{name}.db", lines.append)
    return median_rate(lines)


def median_rate(lines: list[str]) -> float:
    found = [float(match[1]) for line in lines if (match := re.search(r"([\d.]+) images/s", line))]
    return statistics.median(found[1:])


if __name__ == "__main__":
    main()
