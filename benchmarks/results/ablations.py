"""The paper's ablations (Tables 11–13) on rendered faces of 32×32, unseen people, three seeds: docs/ablations.md.

Every stage is a command that a user could type; it is shown, and left out where its result is there already. A sweep that was
stopped is resumed: no finished trial is trained again. Hours on two cores.

    python benchmarks/results/ablations.py --home ABLATIONS [--suites losses upsampling q] [--steps 900]
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

SIZE = "32"
QUICK = ["--preset", "quick", "--workers", "0"]


def main() -> None:
    arguments = parse()
    home = arguments.home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    os.environ["LEGAN_HOME"] = str(home)
    os.chdir(home)
    prepare()
    networks = ["--identity", "T", "--quality", "Q", "--classifier", "judge", "--matcher", "matcher"]
    for suite in arguments.suites:
        if Path("sweeps", suite).exists():
            legan("sweep", "resume", suite)
        else:
            steps = ["--set", f"steps={arguments.steps}"]
            legan("sweep", "run", suite, "--name", suite, "--data", "faces", *networks, "--preset", "quick", *steps)


def prepare() -> None:
    """The faces, T and Q, and a classifier and a matcher that no variant is trained with."""
    if not Path("faces").exists():
        legan("data", "render", "--out", "faces", "--subjects", "150", "--size", SIZE, "--seed", "5")
    if not Path("ratings").exists():
        legan("data", "ratings", "faces", "--out", "ratings", "--seed", "1")
    train("identity", "T", ["--data", "faces"])
    train("quality", "Q", ["--ratings", "ratings", "--set", f"image_size={SIZE}"])
    train("classifier", "judge", ["--data", "faces", "--set", "steps=800"])
    train("identity", "matcher", ["--data", "faces", "--set", "network=lightcnn9", "--set", "seed=1"])


def train(kind: str, name: str, options: list[str]) -> None:
    if Path(name, "model").exists():
        return
    if Path(name).exists():
        legan("train", kind, "--resume", name)
    else:
        legan("train", kind, "--name", name, *QUICK, *options)


def legan(*words: str) -> None:
    print("$", shlex.join(["legan", *words]), flush=True)
    subprocess.run([sys.executable, "-m", "legan.cli", *words], check=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="folder for data, runs and sweeps")
    parser.add_argument("--suites", nargs="+", choices=["losses", "upsampling", "q"], default=["losses", "upsampling", "q"])
    parser.add_argument("--steps", type=int, default=900, help="of each trial")
    return parser.parse_args()


if __name__ == "__main__":
    main()
