"""For docs/ratings.md, where no generator and no raters are at hand: bad copies of rendered faces, and simulated scores of them.

python docs/ratings_demo.py make FACES SYNTHETIC [FIRST LAST]
python docs/ratings_demo.py fill STUDY SYNTHETIC [SHARE]
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from legan.platform.data.dataset import open_dataset
from legan.platform.data.ratings.distortions import distort
from legan.platform.data.ratings.simulated import simulated_quality, simulated_raters

KINDS = ("untouched", "blur", "colour_shift", "warp", "blobs", "average_face")


def make(faces: Path, out: Path, first: int = 0, last: int | None = None) -> None:
    """Distort faces of a data set: SYNTHETIC/KIND/NUMBER.png, and quality.csv, what simulated raters will see."""
    data, rng = open_dataset(faces), np.random.default_rng([0, first])
    rows = []
    for number in range(first, len(data) if last is None else last):
        kind = str(rng.choice(KINDS))
        strength = 0.0 if kind == "untouched" else float(rng.beta(1.1, 2.2))
        path = out / kind / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        clean = np.asarray(data.images[number])
        Image.fromarray(clean if kind == "untouched" else distort(clean, kind, strength, rng)).save(path)
        quality = simulated_quality((), ()) if kind == "untouched" else simulated_quality((kind,), (strength,))
        rows.append((path.relative_to(out).as_posix(), quality, data.faces["expression"].iloc[number]))
    pd.DataFrame(rows, columns=["image", "quality", "expression"]).to_csv(out / "quality.csv", index=False)


def fill(study: Path, synthetic: Path, share: float = 1.0) -> None:
    """Give a share of a study's scores: STUDY/filled.csv."""
    images = pd.read_csv(study / "images.csv").merge(
        pd.read_csv(synthetic / "quality.csv"), left_on="source_path", right_on="image", suffixes=("", "_made")
    )
    rng = np.random.default_rng(0)
    scores = dict(zip(images["image"], simulated_raters(images["quality"].to_numpy(), rng), strict=True))
    table = pd.read_csv(study / "assignments.csv")
    table["score"] = [
        scores[image][int(seat[-1]) - 1] for image, seat in zip(table["image"], table["rater"].str.split("-").str[1], strict=True)
    ]
    table["score"] = table["score"].where(rng.uniform(size=len(table)) < share).astype("Int64")
    table.to_csv(study / "filled.csv", index=False)


if __name__ == "__main__":
    what, folder, other, *numbers = sys.argv[1:]
    if what == "make":
        make(Path(folder), Path(other), *map(int, numbers))
    else:
        fill(Path(folder), Path(other), *map(float, numbers))
