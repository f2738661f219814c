"""LEGAN against StarGAN and StarGAN-v2 on rendered faces of 64×64, unseen people, several seeds: docs/result.md.

Each method first tries the same number of settings, for a third of its steps, and keeps what comes nearest to the true targets on
the validation split (search.csv). Then it is trained with every seed, and scored once on the test split.

Every stage is a command that a user could type; it is shown, and left out where its result is there already, so a run that was
stopped goes on from its last checkpoint. Hours on a CPU: two of these at once share the work with ``--seeds``.

    python benchmarks/results/rendered.py --home RESULT [--seeds 0 1 2] [--methods LEGAN StarGAN …] [--steps 3000] [--train-only]
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from stages import legan, make, settle, train, with_settings

from legan.platform.config import KINDS, flatten, read_section
from legan.platform.data.dataset import open_dataset
from legan.platform.evaluation.pairs import choose_pairs, load_batch
from legan.platform.evaluation.report import write_picture
from legan.platform.model import read_model
from legan.sweeps.report.report import samples_grid, translate, varied

CPU = torch.device("cpu")
PRESET = "rendered"


class Method(NamedTuple):
    """What is trained, with which settings and networks, for how many times the steps; ``rec`` weighs its reconstruction."""

    kind: str
    settings: Mapping[str, float]
    networks: tuple[str, ...] = ()
    longer: float = 1.0
    rec: str = "loss.lambda_2"


METHODS = {
    "LEGAN": Method("legan", {}, ("--identity", "T", "--quality", "Q")),
    "StarGAN": Method("stargan", {}),
    "StarGAN-Lqual": Method("stargan", {"loss.lambda_4": 0.5}, ("--quality", "Q")),
    # Not of the paper. These tell what of LEGAN's lead its Lrec brings, and what its three hourglasses cost.
    "StarGAN-self-rec": Method("stargan", {"loss.self_rec": 0.5, "loss.lambda_2": 20}),
    "StarGAN-compute": Method("stargan", {"loss.self_rec": 0.5, "loss.lambda_2": 20}, longer=3.2),
    "StarGAN-v2": Method("stargan_v2", {}, rec="loss.lambda_cyc"),
}
"""By name. A step of LEGAN takes as long as 3.2 of StarGAN's (45 against 14 minutes on one core)."""
TRIED = [(rate, rec) for rate in (0.5, 1.0, 2.0) for rec in (1.0, 2.0)]
"""What each method tries: its preset's learning rate and weight of the reconstruction, times these."""


def main() -> None:
    arguments = parse()
    settle(arguments.home)
    prepare()
    chosen = search(arguments.methods, arguments.steps // 3)
    runs = {method: [f"{method}-{seed}" for seed in arguments.seeds] for method in arguments.methods}
    for seed in arguments.seeds:
        for method in arguments.methods:
            train_one(method, f"{method}-{seed}", chosen[method], arguments.steps, seed)
    if not arguments.train_only:
        models = [f"{method}={','.join(names)}" for method, names in runs.items()]
        judges = ["--classifier", "judge", "--matcher", "matcher", "--quality", "other-Q"]
        legan("evaluate", "table", "1", "--models", *models, "--data", "faces", *judges, "--out", "table")
        pictures(arguments.methods, arguments.seeds)


def search(methods: list[str], steps: int) -> dict[str, dict[str, float]]:
    """The settings of each method that come nearest to the targets on val, and search.csv with all that were tried."""
    rows = []
    for method in methods:
        for number, tried in enumerate(TRIED):
            name = f"search-{method}-{number}"
            settings = scaled(method, *tried)
            train_one(method, name, settings, steps, seed=0)
            out = Path("search", f"{method}-{number}")
            if not out.exists():
                judges = ["--classifier", "judge", "--matcher", "matcher", "--quality", "other-Q"]
                legan("evaluate", name, "--data", "faces", "--split", "val", *judges, "--out", str(out))
            values = json.loads((out / "evaluation.json").read_text())["methods"]["output"]
            trained = round(steps * METHODS[method].longer)
            rows.append({"method": method, "steps": trained, "settings": json.dumps(settings), **values})
    table = pd.DataFrame(rows)
    best = table.loc[table.groupby("method")["l1_to_target"].idxmin()]
    table["chosen"] = table.index.isin(best.index)
    table.to_csv("search.csv", index=False)
    return {str(row.method): json.loads(str(row.settings)) for row in best.itertuples()}


def scaled(method: str, rate: float, rec: float) -> dict[str, float]:
    """The method's settings with its learning rate and its weight of the reconstruction times these."""
    kind, own, _, _, name = METHODS[method]
    usual = flatten(KINDS[kind].model_construct().model_dump()) | flatten(read_section(PRESET, kind)) | dict(own)
    return {**own, "adam.learning_rate": usual["adam.learning_rate"] * rate, name: usual[name] * rec}


def train_one(method: str, run: str, settings: Mapping[str, float], steps: int, seed: int) -> None:
    """A run of a method, for its share of the steps."""
    kind, _, networks, longer, _ = METHODS[method]
    changes = [f"steps={round(steps * longer)}", f"seed={seed}", *(f"{name}={value}" for name, value in settings.items())]
    train(kind, run, PRESET, ["--data", "faces", *networks, *with_settings(*changes)])


def prepare() -> None:
    """The faces, T and Q for training, and judges of other people, faults and raters: a classifier, a matcher, another Q."""
    make("faces", "render", "--subjects", "250", "--size", "64", "--seed", "3")
    make("others", "render", "--subjects", "250", "--size", "64", "--seed", "4")
    make("ratings", "ratings", "faces", "--seed", "1")
    make("other-ratings", "ratings", "others", "--panel", "judging", "--seed", "2")
    train("identity", "T", PRESET, ["--data", "faces"])
    train("quality", "Q", PRESET, ["--ratings", "ratings"])
    train("quality", "other-Q", PRESET, ["--ratings", "other-ratings", "--set", "seed=1"])
    train("classifier", "judge", PRESET, ["--data", "others"])
    train("identity", "matcher", PRESET, ["--data", "others", "--set", "network=lightcnn9", "--set", "seed=1"])


def pictures(methods: list[str], seeds: list[int]) -> None:
    """methods.png: the same held-out people by every method; seeds.png: by every seed of the first method."""
    data = open_dataset(Path("faces"))
    pairs = varied(choose_pairs(data, 400, seed=0), 8)
    source_rows = pairs["source_row"].to_numpy()
    faces = [
        f"{each.source_expression}, {each.source_lighting}\nto {each.expression}, {each.lighting}" for each in pairs.itertuples()
    ]
    columns = {
        "methods.png": {method: f"{method}-{seeds[0]}" for method in methods},
        "seeds.png": {f"{methods[0]}, seed {seed}": f"{methods[0]}-{seed}" for seed in seeds},
    }
    for name, runs in columns.items():
        shown = [
            translate(label, read_model(Path(run, "model")), pairs, load_batch(data, source_rows, CPU))
            for label, run in runs.items()
        ]
        grid = samples_grid(list(data.images[source_rows]), list(data.images[pairs["target_row"].to_numpy()]), shown, faces)
        write_picture(Path("table", name), grid)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="folder for data, runs and the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--steps", type=int, default=3000, help="of each method, of 4 images; of its search a third")
    parser.add_argument("--train-only", action="store_true", help="stop before the evaluation")
    return parser.parse_args()


if __name__ == "__main__":
    main()
