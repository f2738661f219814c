"""Verification: features against the bare batched pass of T, and the memory of eight million comparisons.

Features of 6,000 images and the bare pass over as many are measured in turn in one process; the figure is the median of
the ratios of neighbouring measurements. Memory is the peak of a process that checks and compares a list of so many pairs of
10,000 templates, as of IJB-B's, beside that of one with a sixteenth of the pairs.

    python benchmarks/verification.py [--images 6000] [--size 64] [--rounds 3] [--templates 10000] [--pairs 8000000] [--threads 1]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from options import numbers

from legan.models.attributes import AttributeSchema
from legan.models.identity import LightCNN
from legan.platform.data.dataset import Dataset
from legan.platform.data.write import write_dataset
from legan.platform.evaluation.verification.templates import BATCH, features_of
from legan.platform.model import save_network
from legan.platform.pixels import network_input

GENUINE = 800
"""Of so many pairs one is of one person, as in IJB-B."""
CHILD = """
import resource, sys, torch
from pathlib import Path
from legan.platform.evaluation.verification.verify import VerificationRequest, compare, prepare_verification
folder, threads = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
bench = prepare_verification(VerificationRequest(folder / "T", "ijbb", folder / "data", Path(sys.argv[3])))
done = compare(bench, torch.device("cpu"))
print(sum(done.compared.pairs), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    arguments = numbers(__doc__, images=6000, size=64, rounds=3, templates=10_000, pairs=8_000_000, threads=1)
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        compare_features(Path(folder), arguments)
        compare_memory(Path(folder), arguments)


def compare_features(folder: Path, arguments: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = made_data(folder / "faces", arguments.images, arguments.size)
    T = LightCNN(layers=29, classes=2, image_size=arguments.size).eval().to(device)
    rows = np.arange(arguments.images)
    inputs = network_input(np.asarray(data.images[:BATCH]), device)
    ratios = []
    features_of(T, data, rows[: 2 * BATCH], device)
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        with torch.inference_mode():
            for _ in range(-(-arguments.images // BATCH)):
                T.features(inputs)
        if device.type == "cuda":
            torch.cuda.synchronize()
        bare = time.perf_counter() - started
        started = time.perf_counter()
        features_of(T, data, rows, device)
        ratios.append(bare / (time.perf_counter() - started))
    ratio = statistics.median(ratios)
    print(f"features of {arguments.images} images, LightCNN-29, {device}: {ratio:.3f} of the bare batched pass")
    print(json.dumps({"benchmark": "verification", "side": "features", "ratio": round(ratio, 3), "rounds": arguments.rounds}))


def compare_memory(folder: Path, arguments: argparse.Namespace) -> None:
    templates, rng = arguments.templates, np.random.default_rng(0)
    media = pd.DataFrame({"template": np.arange(templates), "media": "1"})
    made_data(folder / "data", templates, 16, media)
    numbers_of_t = {"layers": 9, "classes": 2, "image_size": 16, "width": 0.05, "features": 256}
    save_network(folder / "T", "lightcnn", numbers_of_t, LightCNN(**numbers_of_t))
    for pairs in (arguments.pairs // 16, arguments.pairs):
        file = folder / f"{pairs}.txt"
        with file.open("w") as stream:
            for start in range(0, pairs, 1_000_000):
                first, second = rng.integers(templates, size=(2, min(1_000_000, pairs - start)))
                same = np.arange(len(first)) % GENUINE == 0
                pd.DataFrame({"a": first, "b": second, "c": same.astype(int)}).to_csv(stream, sep=" ", header=False, index=False)
        command = [sys.executable, "-c", CHILD, str(folder), str(arguments.threads), str(file)]
        count, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        print(f"{int(count):>9} pairs of {templates} templates: {float(peak):.0f} MiB at the most")
        print(json.dumps({"benchmark": "verification", "side": "memory", "pairs": int(count), "MiB": round(float(peak))}))


def made_data(out: Path, count: int, size: int, columns: pd.DataFrame | None = None) -> Dataset:
    """Noise, a person per image."""
    rng = np.random.default_rng(0)
    faces = pd.DataFrame(
        {"subject": [f"p{row}" for row in range(count)], "expression": "any", "lighting": "any", "split": "test"}
    )
    faces = faces.assign(landmarks=[[0.0, 0.0]] * count)
    faces = faces if columns is None else pd.concat([faces, columns], axis=1)
    images = (rng.integers(0, 256, (size, size, 3), np.uint8) for _ in range(count))
    hulls = np.ones((count, -(-size * size // 8)), np.uint8)
    schema = AttributeSchema(("any",), ("any",), {"any": "any"})
    return write_dataset(out, name=out.name, schema=schema, faces=faces, images=images, hulls=hulls, source="made")


if __name__ == "__main__":
    main()
