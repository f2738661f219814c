"""Colours of training images: a training's images a second with variants against without, and making recoloured ones.

Steps of two trainings of one size are measured in turn in one process: one draws faces as they are, the other also in the
colours of two recolourers and at three settings of a white balance. Making is held against the recolourer's bare batched pass
over as many images. Figures are medians of the ratios of neighbouring measurements.

    python benchmarks/colours.py [--size 64] [--width 16] [--subjects 8] [--rounds 7] [--threads 1]
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from options import numbers

from legan.models.recolor import ColorizationGenerator, greyed
from legan.platform.config import resolve
from legan.platform.data.dataset import Dataset
from legan.platform.data.rendered.render import render_dataset
from legan.platform.data.variants.recolored import BATCH
from legan.platform.data.variants.stored import make_variants, variant_file
from legan.platform.evaluation.recolorer import load_recolorer
from legan.platform.model import numbers_of, save_network
from legan.platform.pixels import network_input, to_images
from legan.platform.settings import LeganSettings
from legan.platform.training.checks import Inputs, trainable
from legan.platform.training.colours import colour_variants
from legan.platform.training.lifecycle import build_task
from legan.platform.training.parallel import Ranks

STEPS = 4
"""Steps of one measurement."""
PLAIN = ["loss.lambda_3=0", "loss.lambda_4=0", "batch_size=16"]


def main() -> None:
    arguments = numbers(__doc__, size=64, width=16, subjects=8, rounds=7, threads=1)
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        data = render_dataset(Path(folder) / "faces", subjects=arguments.subjects, size=arguments.size)
        recolourers = [recolourer(Path(folder) / name, arguments.size, arguments.width) for name in "AB"]
        told("drawing", compare_steps(data, recolourers, arguments.rounds), arguments.rounds)
        told("making", compare_making(data, recolourers[0], arguments.rounds), arguments.rounds)


def told(side: str, ratio: float, rounds: int) -> None:
    print(f"{side}: {ratio:.3f}")
    print(json.dumps({"benchmark": "colours", "side": side, "ratio": round(ratio, 3), "rounds": rounds}))


def recolourer(folder: Path, size: int, width: int) -> Path:
    network = ColorizationGenerator(image_size=size, width=width)
    save_network(folder, "colorization", numbers_of(network), network)
    return folder


def compare_steps(data: Dataset, recolourers: list[Path], rounds: int) -> float:
    """Images a second with variants, of those without."""
    coloured = {"recolor": recolourers, "white_balance": ["tungsten", "shade", "automatic"]}
    steps = []
    for more in ({}, coloured):
        inputs = Inputs()
        facts = trainable(resolve("legan", "quick", PLAIN, {"data": data.path, **more}), inputs)
        if isinstance(facts.settings, LeganSettings) and facts.settings.in_other_colours:
            make_variants(data, colour_variants(facts.settings, data))
        task = build_task(facts.settings, Ranks(), inputs)
        steps.append(lambda number, task=task: task.step(task.batch(number), number))
    return ratio_of(*(lambda begin, step=step: [step(begin + each) for each in range(STEPS)] for step in steps), rounds)


def compare_making(data: Dataset, folder: Path, rounds: int) -> float:
    """Images a second of making a variant, of those of the network's bare batched pass."""
    settings = LeganSettings.model_construct(recolor=(folder,), white_balance=())
    variants = colour_variants(settings, data)
    recolorer, device = load_recolorer(folder, data.image_size), torch.device("cpu")
    images = network_input(np.asarray(data.images[:BATCH]), device)

    def bare(begin: int) -> None:
        with torch.inference_mode():
            for _ in range(-(-len(data) // BATCH)):
                to_images(recolorer.network(greyed(images)))

    def made(begin: int) -> None:
        variant_file(data, variants[0].name).unlink(missing_ok=True)
        make_variants(data, variants, lambda line: None)

    return ratio_of(bare, made, rounds)


def ratio_of(first: Callable[[int], object], second: Callable[[int], object], rounds: int) -> float:
    """The median of the first's time by the second's."""
    ratios = []
    for number in range(rounds + 1):
        took = []
        for each in (first, second):
            started = time.perf_counter()
            each(number * STEPS)
            took.append(time.perf_counter() - started)
        ratios.append(took[0] / took[1])
    return statistics.median(ratios[1:])  # the first warms up


if __name__ == "__main__":
    main()
