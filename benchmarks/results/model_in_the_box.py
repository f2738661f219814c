"""The model in the box, ``box:rendered``: LEGAN on rendered faces of 64×64, from nothing to the folder that the package carries.

Every stage is a command that a user could type; it is shown, and left out where its result is there already, so a run that was
stopped goes on from its last checkpoint. The judge and the matcher, which the model carries too, know other people than it does.
The training is long. It may be stopped with Ctrl-C at any time, and what there is so far released:

    python benchmarks/results/model_in_the_box.py --home HOME
    python benchmarks/results/model_in_the_box.py --home HOME --release platform/pretrained/rendered

A release first trains on while the learning rate falls to 0. It then writes the folder in half precision, says how far its
translations are from those in single precision, and evaluates it on people that neither G nor T has seen.
"""

import argparse
from pathlib import Path

import torch
from stages import legan, make, settle, train, with_settings

from legan.platform.data.dataset import open_dataset
from legan.platform.model import PARTS, read_model, write_model
from legan.platform.pixels import normalise, to_tensor

PRESET, RUN, RELEASE, FALL = "rendered", "box", "box-release", 600
SETTINGS = (
    "steps=40000",
    "batch_size=16",
    "generator.residual=true",
    "generator.icnr=true",
    "average_decay=0.999",
    "adam.decay_from=0.6",
    "log_every=50",
    "validate_every=1000",
    "checkpoint_every=250",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="folder for the data and the runs")
    parser.add_argument("--release", type=Path, help="write what there is so far into this folder, instead of training")
    arguments = parser.parse_args()
    into = None if arguments.release is None else arguments.release.absolute()
    settle(arguments.home)
    prepare()
    if into is None:
        networks = ["--identity", "T", "--quality", "Q", "--judge", "judge", "--matcher", "matcher"]
        train("legan", RUN, PRESET, ["--data", "faces", *networks, *with_settings(*SETTINGS)])
    else:
        release(into)


def prepare() -> None:
    """1,000 people for T, Q and LEGAN, in 72 of the 120 combinations each; 200 others for the judge and the matcher."""
    make("faces", "render", "--subjects", "1000", "--size", "64", "--seed", "11", "--images-per-subject", "72")
    make("strangers", "render", "--subjects", "200", "--size", "64", "--seed", "12", "--images-per-subject", "72")
    make("ratings", "ratings", "faces", "--seed", "1")
    slowly = with_settings("steps=4000", "adam.learning_rate=0.0005", "adam.decay_from=0.5")
    train("identity", "T", PRESET, ["--data", "faces", *slowly])
    train("quality", "Q", PRESET, ["--ratings", "ratings", *with_settings("steps=2500", "adam.decay_from=0.5")])
    train("classifier", "judge", PRESET, ["--data", "strangers"])
    train("identity", "matcher", PRESET, ["--data", "strangers", *with_settings("network=lightcnn9", "seed=1", "steps=1500")])


def release(into: Path) -> None:
    """The run's last checkpoint, trained on with a falling rate, as a folder of half precision; its evaluation."""
    if not Path(RELEASE, "model").exists():
        falling = with_settings(f"steps={FALL}", "adam.decay_from=0", f"validate_every={FALL}")
        legan("train", "legan", "--from", RUN, "--name", RELEASE, "--workers", "0", *falling)
    model = read_model(Path(RELEASE, "model"))
    write_model(into, model, half=["generator", *PARTS])
    print(f"{sum(path.stat().st_size for path in into.iterdir()) / 1e6:.1f} MB in {into}")
    print(f"largest difference to single precision: {difference(into):.4f} of 255 in the mean over a picture")
    legan("evaluate", str(into), "--data", "faces", "--classifier", "judge", "--matcher", "matcher", "--out", "box-evaluation")


@torch.inference_mode()
def difference(into: Path, faces: int = 64) -> float:
    """The most that a picture's mean absolute difference is, in grey levels of 255, over held-out faces and drawn classes."""
    data, draw = open_dataset(Path("faces")), torch.Generator().manual_seed(0)
    rows = data.rows("val")[:: max(1, len(data.rows("val")) // faces)][:faces]
    x, schema = normalise(to_tensor(data.images[rows]), False), data.schema
    expression = torch.randint(len(schema.expressions), (len(rows),), generator=draw)
    lighting = torch.randint(len(schema.lightings), (len(rows),), generator=draw)
    f = schema.encode(expression, lighting)
    single, half = (read_model(folder).generator(x, f).image for folder in (Path(RELEASE, "model"), into))
    return float((single - half).abs().mean((1, 2, 3)).max()) * 127.5


if __name__ == "__main__":
    main()
