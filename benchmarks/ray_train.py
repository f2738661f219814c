"""What Ray Train costs and what it gives: one worker against the bare loop, and two one-thread workers against one.

The same LEGAN training, the three in turn, several rounds in one run; rates are the medians of the loop's own images/s,
without start-up, and each figure is the median of the ratios of neighbouring runs.

    python benchmarks/ray_train.py [--width 16] [--size 64] [--batch 8] [--steps 8] [--rounds 3]
"""

import argparse
import json
import os
import re
import statistics
import tempfile
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["OMP_NUM_THREADS"] = "1"

import torch

from legan.platform.cluster import connect
from legan.platform.config import LeganSettings
from legan.platform.data.dataset import Dataset
from legan.platform.data.render import render_dataset
from legan.platform.training.distributed import train_on_ray
from legan.platform.training.parallel import Ranks
from legan.platform.training.run import create_run, work


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    connect(None, cpus=2)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        data = render_dataset(home / "faces", subjects=5, size=arguments.size, seed=0, images_per_subject=24)
        rates: dict[int, list[float]] = {0: [], 1: [], 2: []}
        for number in range(arguments.rounds):
            for workers in rates:
                rates[workers].append(rate(home, data, arguments, workers, number))
    for name, a, b in (("ray_train_one_worker_over_bare_loop", 1, 0), ("ray_train_two_workers_over_one", 2, 1)):
        ratio = statistics.median(x / y for x, y in zip(rates[a], rates[b], strict=True))
        print(f"{name}: {ratio:.2f}  ({statistics.median(rates[a]):.1f} against {statistics.median(rates[b]):.1f} images/s)")
        settings = {key: getattr(arguments, key) for key in ("size", "width", "batch", "steps", "rounds")}
        print(json.dumps({"benchmark": name, "ratio": round(ratio, 3)} | settings))


def rate(home: Path, data: Dataset, arguments: argparse.Namespace, workers: int, number: int) -> float:
    """Images per second of one training with one thread per worker; 0 workers is the bare loop in this process."""
    settings = LeganSettings.model_validate(
        {
            "data": data.path, "steps": arguments.steps, "batch_size": arguments.batch, "workers": workers, "log_every": 2,
            "generator": {"width": arguments.width}, "discriminator": {"width": arguments.width, "layers": 5},
            "loss": {"lambda_3": 0, "lambda_4": 0},
        }
    )  # fmt: skip
    run = create_run(home, "legan", settings, f"{number}-{workers}")
    lines: list[str] = []
    uri = f"sqlite:///{home}/mlflow.db"
    if workers == 0:
        work(run, Ranks(), uri, lines.append)
    else:
        train_on_ray(run, uri, lines.append, threads=1)
    found = [float(match[1]) for line in lines if (match := re.search(r"([\d.]+) images/s", line))]
    return statistics.median(found[1:])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 16), ("size", 64), ("batch", 8), ("steps", 8), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
