"""LEGAN against StarGAN on rendered faces of 64×64, unseen people, equal steps, several seeds: docs/result.md.

Every stage is a command that a user could type; it is shown, and left out where its result is there already, so a run that was
stopped goes on from its last checkpoint. Hours on a CPU: two of these at once share the work with ``--seeds``.

    python benchmarks/results/rendered.py --home RESULT [--seeds 0 1 2] [--methods LEGAN StarGAN …] [--train-only]
"""

import argparse
from pathlib import Path

import torch
from stages import legan, make, settle, train

from legan.platform.data.dataset import open_dataset
from legan.platform.evaluation.pairs import choose_pairs, load_batch
from legan.platform.evaluation.report import write_picture
from legan.platform.model import read_model
from legan.sweeps.report.report import samples_grid, translate, varied

CPU = torch.device("cpu")
PRESET = "rendered"
METHODS: dict[str, tuple[str, list[str], list[str]]] = {
    "LEGAN": ("legan", [], ["--identity", "T", "--quality", "Q"]),
    "StarGAN": ("stargan", [], []),
    "StarGAN-Lqual": ("stargan", ["loss.lambda_4=0.5"], ["--quality", "Q"]),
    "StarGAN-self-rec": ("stargan", ["loss.self_rec=0.5", "loss.lambda_2=20"], []),
}
"""By name: what is trained, with which settings, with which networks. The last is not of the paper: it tells what of LEGAN's
lead comes from the Lrec of the preset alone."""


def main() -> None:
    arguments = parse()
    settle(arguments.home)
    prepare()
    runs = {method: [f"{method}-{seed}" for seed in arguments.seeds] for method in arguments.methods}
    for seed in arguments.seeds:
        for method in arguments.methods:
            kind, changes, networks = METHODS[method]
            settings = [part for change in [f"seed={seed}", *changes] for part in ("--set", change)]
            train(kind, f"{method}-{seed}", PRESET, ["--data", "faces", *networks, *settings])
    if not arguments.train_only:
        models = [f"{method}={','.join(names)}" for method, names in runs.items()]
        judges = ["--classifier", "judge", "--matcher", "matcher", "--quality", "other-Q"]
        legan("evaluate", "table", "1", "--models", *models, "--data", "faces", *judges, "--out", "table")
        pictures(arguments.methods, arguments.seeds)


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
    parser.add_argument("--train-only", action="store_true", help="stop before the evaluation")
    return parser.parse_args()


if __name__ == "__main__":
    main()
