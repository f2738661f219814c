"""The paper's ablations (Tables 11–13) on rendered faces of 32×32, unseen people, three seeds: docs/ablations.md.

Every stage is a command that a user could type; it is shown, and left out where its result is there already. A sweep that was
stopped is resumed: no finished trial is trained again. Hours on two cores.

    python benchmarks/results/ablations.py --home ABLATIONS [--suites losses upsampling q classification] [--steps 900]
"""

import argparse
from pathlib import Path

from stages import legan, make, settle, train

SIZE, PRESET = "32", "quick"
ADAM = ["--set", "adam.learning_rate=0.0006", "--set", "adam.decay_from=0.5"]


def main() -> None:
    arguments = parse()
    settle(arguments.home)
    prepare()
    networks = ["--identity", "T", "--quality", "Q", "--classifier", "judge", "--matcher", "matcher"]
    for suite in arguments.suites:
        if Path("sweeps", suite).exists():
            legan("sweep", "resume", suite)
        else:
            settings = ["--preset", PRESET, "--set", f"steps={arguments.steps}", *ADAM]
            legan("sweep", "run", suite, "--name", suite, "--data", "faces", *networks, *settings)


def prepare() -> None:
    """The faces, T and Q, and a classifier and a matcher of other people."""
    make("faces", "render", "--subjects", "150", "--size", SIZE, "--seed", "5")
    make("others", "render", "--subjects", "150", "--size", SIZE, "--seed", "6")
    make("ratings", "ratings", "faces", "--seed", "1")
    train("identity", "T", PRESET, ["--data", "faces"])
    train("quality", "Q", PRESET, ["--ratings", "ratings", "--set", f"image_size={SIZE}"])
    train("classifier", "judge", PRESET, ["--data", "others", "--set", "steps=800"])
    train("identity", "matcher", PRESET, ["--data", "others", "--set", "network=lightcnn9", "--set", "seed=1"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="folder for data, runs and sweeps")
    parser.add_argument(
        "--suites", nargs="+", choices=["losses", "upsampling", "q", "classification"], default=["losses", "upsampling", "q"]
    )
    parser.add_argument("--steps", type=int, default=900, help="of each trial")
    return parser.parse_args()


if __name__ == "__main__":
    main()
