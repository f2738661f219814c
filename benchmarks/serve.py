"""What the endpoint costs beside the bare forward pass: throughput at saturation, and added latency at one client.

The server is a process of its own with as many torch threads as the bare pass; both are measured in turn, and figures are
medians over the rounds. Images are aligned faces, sent and answered as PNG; the added latency is that of the middle request over
the middle bare call of one image. A Q or a matcher of a given model counts as the endpoint's cost. Whether the clients have a
core of their own beside the server's matters: say so with the figure.

    python benchmarks/serve.py [--width 32] [--size 128] [--batch 8] [--clients 16] [--threads 1] [--rounds 3] [--url URL]

``--url`` measures a running server of the model folder ``--model`` instead of starting one: legan serve, for example.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.device import keep_freed_memory
from legan.platform.model import Model, write_model
from legan.serve.client import Client, Retries
from legan.serve.engine import Engine, load_engine

SCHEMA = AttributeSchema(("neutral", "smile"), ("left", "front", "right"))


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or Path(folder) / "model"
        if arguments.model is None:
            torch.manual_seed(0)
            generator = Generator(2, 3, width=arguments.width)
            write_model(model, Model(generator, None, SCHEMA, arguments.size, DEFAULT_ALIGNMENT, {}))
        engine = load_engine(model, "cpu")
        with serving(model, arguments) as url, Client(url, timeout_s=600, retries=Retries(100, 600)) as client:
            measure(engine, client, arguments)


def measure(engine: Engine, client: Client, arguments: argparse.Namespace) -> None:
    names = engine.schema.expressions[0], engine.schema.lightings[0]
    face = np.random.default_rng(0).integers(0, 256, (engine.image_size, engine.image_size, 3), dtype=np.uint8)
    assert np.array_equal(client.translate(face, *names, aligned=True).image, engine.translate(face[None], *zip(names))[0])
    rounds = []
    for n in range(arguments.rounds + 1):
        bare_ms, served_ms = middle_ms(
            lambda: engine.translate(face[None], [names[0]], [names[1]]), lambda: client.translate(face, *names, aligned=True)
        )
        row = {
            "bare_images_s": bare_rate(engine, face, names, arguments),
            "served_images_s": served_rate(client, face, names, arguments),
            "bare_ms": bare_ms,
            "served_ms": served_ms,
        }
        if n > 0:  # the first round warms up
            rounds.append(row)
    report(rounds, arguments)


def bare_rate(engine: Engine, face: np.ndarray, names: tuple[str, str], arguments: argparse.Namespace) -> float:
    """Images a second of batches."""
    batch = np.repeat(face[None], arguments.batch, axis=0)
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < arguments.seconds:
        engine.translate(batch, [names[0]] * arguments.batch, [names[1]] * arguments.batch)
        done += arguments.batch
    return done / (time.perf_counter() - begun)


def served_rate(client: Client, face: np.ndarray, names: tuple[str, str], arguments: argparse.Namespace) -> float:
    """Images a second of so many clients that each ask for one image after the other."""
    done, lock, begun = 0, threading.Lock(), time.perf_counter()

    def ask() -> None:
        nonlocal done
        while time.perf_counter() - begun < arguments.seconds:
            client.translate(face, *names, aligned=True)
            with lock:
                done += 1

    askers = [threading.Thread(target=ask) for _ in range(arguments.clients)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    return done / (time.perf_counter() - begun)


def middle_ms(*calls: Callable[[], object], times: int = 15) -> list[float]:
    """Median milliseconds of each call, all in turn, since a machine's speed may change meanwhile."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for call, its in zip(calls, seconds, strict=True):
            begun = time.perf_counter()
            call()
            its.append(time.perf_counter() - begun)
    return [statistics.median(its) * 1000 for its in seconds]


def report(rounds: list[dict[str, float]], arguments: argparse.Namespace) -> None:
    middle = {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}
    share = statistics.median(row["served_images_s"] / row["bare_images_s"] for row in rounds)
    added = statistics.median(row["served_ms"] - row["bare_ms"] for row in rounds)
    what = "the given model" if arguments.model else f"{arguments.size}×{arguments.size}, width {arguments.width}"
    print(f"{what}, {arguments.threads} threads, {arguments.clients} clients, median of {len(rounds)} rounds")
    print(f"{'':<12}{'images/s at saturation':>24}{'one image, p50 ms':>20}")
    print(f"{'bare':<12}{middle['bare_images_s']:>24.2f}{middle['bare_ms']:>20.1f}")
    print(f"{'served':<12}{middle['served_images_s']:>24.2f}{middle['served_ms']:>20.1f}")
    print(f"{'':<12}{f'{share:.2f} of the bare':>24}{f'{added:+.1f}':>20}")
    figure = {"benchmark": "serve", "share": round(share, 3), "added_ms": round(added, 2)}
    figure |= {name: round(value, 3) for name, value in middle.items()}
    print(json.dumps(figure | {key: getattr(arguments, key) for key in ("width", "size", "batch", "clients", "threads")}))


@contextmanager
def serving(model: Path, arguments: argparse.Namespace) -> Iterator[str]:
    """The address of the given server, or of a local one that runs meanwhile."""
    if arguments.url is not None:
        yield arguments.url
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "legan.serve.deploy.local", str(model), "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 32), ("size", 128), ("batch", 8), ("clients", 16), ("threads", 1), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--url")
    arguments = parser.parse_args()
    if arguments.url and not arguments.model:
        parser.error("--url needs the --model that it serves")
    return arguments


if __name__ == "__main__":
    main()
