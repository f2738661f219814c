"""LEGAN's training step against a straightforward one with the same networks and the same mathematics.

Both sides, and ours in fp32 and in bf16, are measured in turn in one run; each figure is the median of the ratios of
neighbouring measurements. See straightforward.py for the other side. On a GPU, ours also with G compiled.

    python benchmarks/train_step.py [--width 64] [--size 128] [--batch 2] [--rounds 5] [--threads 2]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from options import numbers
from straightforward import straightforward_step

from legan.models.discriminator import Discriminator
from legan.models.generator import Generator
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import Dataset
from legan.platform.data.rendered.render import render_dataset
from legan.platform.device import WARM_UP_STEPS, keep_freed_memory
from legan.platform.settings import LeganSettings
from legan.platform.training.parallel import Ranks
from legan.platform.training.tasks.legan_stargan import Critics, LeganTask


def main() -> None:
    arguments = numbers(__doc__, width=64, size=128, batch=2, rounds=5, threads=2)
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # for both sides, as the workers have it
    with tempfile.TemporaryDirectory() as folder:
        data = render_dataset(Path(folder) / "faces", subjects=5, size=arguments.size, seed=0, images_per_subject=24)
        compare(data, arguments)


def compare(data: Dataset, arguments: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sides = {
        "straightforward": straightforward(data, arguments, device),
        "ours fp32": ours(data, arguments, device, "fp32"),
        "ours bf16": ours(data, arguments, device, "bf16"),
    }
    warm_up = 1
    if device.type == "cuda":
        sides["ours bf16 compiled"] = ours(data, arguments, device, "bf16", compile=True)
        warm_up = WARM_UP_STEPS + 1
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for n in range(warm_up + arguments.rounds):
        for name, step in sides.items():
            taken = timed(step, device)
            if n >= warm_up:
                seconds[name].append(taken)
    size, width, batch = arguments.size, arguments.width, arguments.batch
    print(f"{size}×{size}, width {width}, batch {batch}, {arguments.threads} threads, {device}")
    print(f"{'':20}{'s/step':>10}{'images/s':>10}{'ratio':>8}")
    for name in sides:
        ratios = [base / own for base, own in zip(seconds["straightforward"], seconds[name], strict=True)]
        median, ratio = statistics.median(seconds[name]), statistics.median(ratios)
        print(f"{name:20}{median:10.3f}{batch * 5 / median:10.2f}{ratio:8.2f}")
        figure = {"benchmark": "train_step", "side": name, "seconds": round(median, 4), "ratio": round(ratio, 3)}
        print(json.dumps(figure | {key: getattr(arguments, key) for key in ("size", "width", "batch", "threads")}))


def networks(data: Dataset, width: int) -> tuple[Generator, Discriminator, Critics]:
    torch.manual_seed(0)
    size, layers = data.image_size, data.image_size.bit_length() - 2
    G = Generator(len(data.schema.expressions), len(data.schema.lightings), width=width)
    D = Discriminator(data.schema.size, size, width=width, layers=layers)
    T = LightCNN(29, 10, image_size=size, width=width / 64).eval().requires_grad_(False)
    Q = QualityModel(size, width=width, layers=layers).eval().requires_grad_(False)
    return G, D, Critics(T, Q)


def settings_for(data: Dataset, arguments: argparse.Namespace, precision: str, compile: bool = False) -> LeganSettings:
    given = {"data": data.path, "steps": 10_000, "batch_size": arguments.batch, "identity": "t", "quality": "q"}
    return LeganSettings.model_validate(given | {"precision": precision, "compile": compile})


def ours(
    data: Dataset, arguments: argparse.Namespace, device: torch.device, precision: str, compile: bool = False
) -> Callable[[], None]:
    G, D, critics = networks(data, arguments.width)
    for critic in critics:
        critic.to(device, memory_format=torch.channels_last)
    task = LeganTask(settings_for(data, arguments, precision, compile), data, critics, Ranks(device=device), G, D)
    batch = task.batch(0)
    return lambda: float(task.step(batch, 0)["loss/g_total"])


def straightforward(data: Dataset, arguments: argparse.Namespace, device: torch.device) -> Callable[[], None]:
    G, D, critics = networks(data, arguments.width)
    for network in (G, D, *critics):
        network.to(device)
    settings = settings_for(data, arguments, "fp32")
    adams = [torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.5, 0.999)) for network in (G, D)]
    task = LeganTask(settings, data, critics, Ranks(), *networks(data, arguments.width)[:2])
    batch = {name: values.to(device) for name, values in task.batch(0).items()}
    return lambda: float(straightforward_step(G, D, *critics, *adams, batch, settings.loss, settings.critic_steps)[1])


def timed(step: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
