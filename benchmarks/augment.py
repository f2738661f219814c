"""How much of the bare batched forward pass ``legan augment`` keeps: its whole pipeline on Ray Data with one worker of one thread
(reading, generator, writing parts and the data set), against the generator alone on the same batches in a process of one thread.

Pipeline and bare pass take turns, several rounds in one run; a ratio is the median of the rounds' ratios. The pipeline is
measured from its first finished part to the finished data set: starting Ray and loading the model (once) is not in it, as it
does not grow with the data. Beside images a second stand images per second of processor time, of driver, worker and all of
Ray's own processes together: on a machine with other work only that ratio means something.

    python benchmarks/augment.py [--width 64] [--size 64] [--batch 8] [--faces 6] [--rounds 3]
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import threading
import time
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  (Ray spells it so; the bare pass is not held back either)

import numpy as np
import psutil
import torch
from options import numbers

from legan.models.generator import Generator
from legan.platform.cluster import connect
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, open_dataset
from legan.platform.data.rendered.render import render_dataset
from legan.platform.model import Model, read_model, write_model
from legan.platform.pixels import network_input
from legan.serve.augment.job import augment
from legan.serve.augment.request import AugmentRequest
from legan.serve.augment.worker import JOBS, part_path


class Rate(NamedTuple):
    """Images per second, and per second of processor time."""

    wall: float
    processor: float


def main() -> None:
    arguments = numbers(__doc__, width=64, size=64, batch=8, faces=6, rounds=3)
    connect(None, cpus=1)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        data = render_dataset(home / "faces", subjects=3, size=arguments.size, seed=0, images_per_subject=arguments.faces // 3)
        schema = data.schema
        generator = Generator(len(schema.expressions), len(schema.lightings), width=arguments.width)
        write_model(home / "model", Model(generator, None, schema, arguments.size, DEFAULT_ALIGNMENT))
        rounds = []
        for number in range(arguments.rounds):
            with get_context("spawn").Pool(1) as pool:
                bare = pool.apply(bare_pass, (home, arguments))
            rounds.append((pipeline(home, arguments, number), bare))
    settings = {key: getattr(arguments, key) for key in ("size", "width", "batch", "faces", "rounds")}
    print(f"{'':32}{'legan augment':>15}{'bare pass':>12}{'ratio':>8}")
    for name, unit in (("wall", "images/s"), ("processor", "images/s of processor time")):
        pairs = [(getattr(whole, name), getattr(bare, name)) for whole, bare in rounds]
        ratio = statistics.median(whole / bare for whole, bare in pairs)
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        print(f"{unit:32}{medians[0]:>15.2f}{medians[1]:>12.2f}{ratio:>8.3f}")
        print(json.dumps({"benchmark": f"augment_over_bare_pass_{name}", "ratio": round(ratio, 3)} | settings))


def pipeline(home: Path, arguments: argparse.Namespace, number: int) -> Rate:
    """From the first finished part to the finished data set."""
    out = home / f"out{number}"
    watch = Watch(part_path(out.with_name(f"{out.name}.partial"), "part", 0))
    watch.start()
    request = AugmentRequest(home / "faces", out, str(home / "model"), random=64, workers=1, batch_size=arguments.batch)
    augment(request, lambda line: None)
    seconds, processor = watch.stop()
    count = len(open_dataset(out)) - JOBS
    return Rate(count / seconds, count / processor)


class Watch(threading.Thread):
    """Wall and processor time since a file came to be, of this process and all that it started, ended or not."""

    def __init__(self, file: Path):
        super().__init__(daemon=True)
        self._file, self._used, self._first, self._end = file, dict[int, float](), None, threading.Event()

    def run(self) -> None:
        """Wait for the file, then look now and then: looking costs processor time itself."""
        while not self._file.is_file():
            time.sleep(0.01)
        start = time.perf_counter()
        self._look()
        self._first = (start, sum(self._used.values()))
        while not self._end.wait(0.5):
            self._look()

    def stop(self) -> tuple[float, float]:
        """Seconds of both kinds."""
        now = time.perf_counter()
        self._end.set()
        self.join()
        self._look()
        start, used = self._first
        return now - start, sum(self._used.values()) - used

    def _look(self) -> None:
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._used[process.pid] = times.user + times.system


def bare_pass(home: Path, arguments: argparse.Namespace) -> Rate:
    """The generator alone, one thread, channels-last, on one batch again and again."""
    torch.set_num_threads(1)
    model = read_model(home / "model")
    G = model.generator.to(memory_format=torch.channels_last).eval()
    images = np.array(open_dataset(home / "faces").images[: arguments.batch])
    x = network_input(images, torch.device("cpu"))
    f = torch.eye(model.schema.size)[: len(x)]
    count = max(2, 2 * JOBS // arguments.batch)
    with torch.inference_mode():
        G(x, f)
        start, used = time.perf_counter(), time.process_time()
        for _ in range(count):
            G(x, f)
    return Rate(count * len(x) / (time.perf_counter() - start), count * len(x) / (time.process_time() - used))


if __name__ == "__main__":
    main()
