"""What a trial of a sweep costs beside its training: from the trial's start to its first step, and from its last step to its end.

A suite runs on a Ray cluster of one CPU, so one trial after the other: the first starts its process and imports everything, the
others take that process over. Each trial's own log tells when its first and its last step were done.

    python benchmarks/sweep_trial_cost.py [--size 64] [--width 8] [--steps 4]
"""

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
import yaml

from legan.models.expression import AttributeClassifier
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.cluster import connect
from legan.platform.data.rendered.render import render_dataset
from legan.platform.model import save_network
from legan.sweeps.run.driver import run_sweep
from legan.sweeps.sweep import Sweep, SweepSettings, create_sweep


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LEGAN_HOME"] = folder
        os.environ["LEGAN_WEIGHTS"] = f"{folder}/no-weights"
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        sweep = make_sweep(Path(folder), arguments)
        connect("local", cpus=1)
        began = time.time()
        times: dict[str, dict[str, float]] = {}

        def say(line: str) -> None:
            name, _, what = line.partition(": ")
            kind = "started" if what == "started" else "ended" if what.startswith("finished") else None
            if kind is not None:
                times.setdefault(name, {})[kind] = time.time()

        run_sweep(sweep, None, say)
        print_costs(sweep, times, began, arguments)


def print_costs(sweep: Sweep, times: dict[str, dict[str, float]], began: float, arguments: argparse.Namespace) -> None:
    print(f"{'trial':28}{'start to first step':>22}{'training':>12}{'last step to end':>20}{'since the last':>16}")
    before, rows = began, []
    for name, at in times.items():
        steps = logged_steps(sweep.trials / name)
        row = (steps[0] - at["started"], steps[-1] - steps[0], at["ended"] - steps[-1], at["started"] - before)
        before = at["ended"]
        rows.append(row)
        print(f"{name:28}{row[0]:20.2f} s{row[1]:10.2f} s{row[2]:18.2f} s{row[3]:14.2f} s")
    first, others = rows[0], rows[1:]
    print(
        json.dumps(
            {
                "benchmark": "sweep_trial_cost",
                "first_trial_to_first_step_s": round(first[0] + first[3], 2),
                "to_first_step_s": round(statistics.median(row[0] + row[3] for row in others), 2),
                "evaluation_and_end_s": round(statistics.median(row[2] for row in others), 2),
            }
            | vars(arguments)
        )
    )


def logged_steps(folder: Path) -> list[float]:
    """When each step's losses were recorded, in seconds since 1970."""
    lines = (folder / "tracking.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines if re.search(r'"loss/g_total"', line)]
    return [record["time"] / 1000 for record in records]


def make_sweep(home: Path, arguments: argparse.Namespace) -> Sweep:
    size = arguments.size
    data = render_dataset(home / "faces", subjects=6, size=size, seed=0, images_per_subject=24)
    schema = data.schema
    torch.manual_seed(0)
    judge = {"expressions": len(schema.expressions), "lightings": len(schema.lightings), "image_size": size, "width": 8}
    faces = {"layers": 9, "classes": 4, "image_size": size, "width": 0.25, "features": 64}
    rater = {"image_size": size, "width": 8, "layers": 4, "hidden": 16}
    save_network(home / "C", "attribute_classifier", judge, AttributeClassifier(**judge), schema=schema.to_dict())
    for name in ("T", "M"):
        save_network(home / name, "lightcnn", faces, LightCNN(**faces))
    save_network(home / "Q", "quality", rater, QualityModel(**rater))
    training = {
        "steps": arguments.steps, "batch_size": 8, "critic_steps": 1, "log_every": 1,
        "generator": {"width": arguments.width, "blocks": 1}, "discriminator": {"width": arguments.width, "layers": 4},
    }  # fmt: skip
    preset = home / "preset.yaml"
    preset.write_text(yaml.safe_dump({"legan": training}))
    settings = SweepSettings(
        suite="q", preset=str(preset), seeds=1, data=data.path, classifier=home / "C", matcher=home / "M",
        identity=home / "T", quality=home / "Q", pairs=arguments.pairs,
    )  # fmt: skip
    return create_sweep(home, "cost", settings)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("size", 64), ("width", 8), ("steps", 4), ("pairs", 40)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
