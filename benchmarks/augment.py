"""How much of the bare batched forward pass ``legan augment`` keeps: its whole pipeline on Ray Data with one worker of one thread
(reading, generator, writing parts), against the generator alone on the same batches in a process of one thread.

Pipeline and bare pass take turns, several rounds in one run; the ratio is the median of the rounds' ratios. The pipeline is
measured by its own progress lines, from the first part on: starting Ray and loading the model (seconds, once) is not in it, as it
does not grow with the data; writing the data set at the end is.

    python benchmarks/augment.py [--width 64] [--size 64] [--batch 8] [--faces 24] [--rounds 3]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from legan.models.generator import Generator
from legan.platform.cluster import connect
from legan.platform.data.align import DEFAULT_ALIGNMENT
from legan.platform.data.dataset import open_dataset
from legan.platform.data.render import render_dataset
from legan.platform.model import Model, write_model
from legan.serve.augment import augment
from legan.serve.augment_check import Request
from legan.serve.augment_work import JOBS


def main() -> None:
    arguments = parse()
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
            whole = pipeline(home, arguments, number)
            rounds.append((whole, bare))
            print(f"round {number + 1}: {whole:.3f} images/s by legan augment, {bare:.3f} by the bare pass", flush=True)
    ratio = statistics.median(whole / bare for whole, bare in rounds)
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    print(f"legan augment over the bare batched pass: {ratio:.3f}  ({medians[0]:.2f} against {medians[1]:.2f} images/s)")
    settings = {key: getattr(arguments, key) for key in ("size", "width", "batch", "faces", "rounds")}
    print(json.dumps({"benchmark": "augment_over_bare_pass", "ratio": round(ratio, 3)} | settings))


def pipeline(home: Path, arguments: argparse.Namespace, number: int) -> float:
    """Images per second between the first finished part and the finished data set."""
    out = home / f"out{number}"
    times: list[tuple[float, int]] = []

    def say(line: str) -> None:
        if line.startswith("translating: "):
            times.append((time.perf_counter(), int(line.split()[1])))

    request = Request(home / "faces", out, str(home / "model"), random=16, workers=1, batch_size=arguments.batch)
    augment(request, say)
    end = time.perf_counter()
    (start, done), made = times[0], len(open_dataset(out))
    assert done == JOBS, "the first part has to be told by itself: choose a size at which a part takes more than 5 s"
    return (made - done) / (end - start)


def bare_pass(home: Path, arguments: argparse.Namespace) -> float:
    """Images per second of the generator alone, over as many images as the pipeline's measured ones are at most."""
    from legan.platform.model import read_model

    torch.set_num_threads(1)
    model = read_model(home / "model")
    G = model.generator.to(memory_format=torch.channels_last).eval()
    images = np.array(open_dataset(home / "faces").images[: arguments.batch])
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    f = torch.eye(model.schema.size)[: len(x)]
    seconds = []
    with torch.inference_mode():
        for _ in range(2 * JOBS // arguments.batch + 1):
            start = time.perf_counter()
            G(x, f)
            seconds.append(time.perf_counter() - start)
    return len(x) * (len(seconds) - 1) / sum(seconds[1:])  # the first one warms up


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 64), ("size", 64), ("batch", 8), ("faces", 24), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
