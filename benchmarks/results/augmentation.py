"""Does augmenting with LEGAN help where it should? Tables 4 and 5 on rendered faces: docs/experiments.md.

People are learned from two expressions and four lightings alone, and tested on the other four under the other sixteen.
Expressions are learned from a set in which some are sparse. LEGAN learned all of them, of other people: the model in the box.

    python benchmarks/results/augmentation.py --home RESULT [--question verification] [--steps 1500] [--seeds 3] [--subjects 400]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from stages import legan, make, settle, with_settings

from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.data.write import write_dataset

TAUGHT = (("neutral", "smile"), ("front", "ambient", "left_slight", "right_slight"))
"""What the people are learned from."""
KEPT = {"neutral": 1.0, "smile": 0.6, "surprise": 0.06, "disgust": 0.03}
"""The share of each expression's images that is left, roughly as AffectNet's classes are."""
SAME, STRANGERS = 4_000, 40_000
MODEL = "box:rendered"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--question", choices=("verification", "expression"), default="verification")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subjects", type=int, default=400)
    options = parser.parse_args()
    settle(options.home)
    make("faces", "render", "--subjects", str(options.subjects), "--size", "64", "--seed", "4711")
    faces = open_dataset("faces")
    # Further real images: the same people under all conditions, as far as an experiment could get.
    common = ["--real", "faces", "--model", MODEL, "--seeds", str(options.seeds), "--workers", "0", "--preset", "rendered"]
    if options.question == "verification":
        people = narrowed(faces, Path("people"), taught(faces))
        write_pairs(people, Path("pairs.csv"))
        settings = with_settings("network=lightcnn9", f"steps={options.steps}")
        legan("experiment", "verification", "--data", "people", "--protocol", "table", "--list", "pairs.csv", *common, *settings)
    else:
        narrowed(faces, Path("expressions"), sparse(faces))
        legan("experiment", "expression", "--data", "expressions", *common, *with_settings(f"steps={options.steps}"))


def narrowed(faces: Dataset, out: Path, kept: np.ndarray) -> Dataset:
    """Those faces as a data set of their own, of the same people."""
    if not out.exists():
        rows = np.flatnonzero(kept)
        write_dataset(
            out, name=out.name, schema=faces.schema, faces=faces.faces.iloc[rows].drop(columns="duplicate_of"),
            images=faces.images[rows], hulls=faces.packed_hulls[rows], source=faces.source, alignment=faces.alignment,
            info=faces.info,
        )  # fmt: skip
    return open_dataset(out)


def taught(faces: Dataset) -> np.ndarray:
    """Of training and validation people what is taught, of test people what is not."""
    shown = faces.faces["expression"].isin(TAUGHT[0]) & faces.faces["lighting"].isin(TAUGHT[1])
    unseen = ~faces.faces["expression"].isin(TAUGHT[0]) & ~faces.faces["lighting"].isin(TAUGHT[1])
    return np.where(faces.faces["split"] == "test", unseen, shown).astype(bool)


def sparse(faces: Dataset) -> np.ndarray:
    """Of training people a tenth of the images, and of sparse expressions less; of others all that show KEPT."""
    share = faces.faces["expression"].map(KEPT).fillna(0.0).to_numpy()
    share = np.where(faces.faces["split"] == "train", 0.1 * share, share > 0)
    return np.random.default_rng(0).random(len(faces)) < share


def write_pairs(people: Dataset, file: Path) -> None:
    """Pairs of test people's images: of one person under another expression and another light, and of strangers."""
    rng, rows = np.random.default_rng(0), people.real_rows("test")
    first, second = np.triu_indices(len(rows), k=1)
    one, other = rows[first], rows[second]
    same = people.subject[one] == people.subject[other]
    differ = (people.expression[one] != people.expression[other]) & (people.lighting[one] != people.lighting[other])
    chosen = [
        rng.choice(pairs, min(count, len(pairs)), replace=False)
        for pairs, count in ((np.flatnonzero(same & differ), SAME), (np.flatnonzero(~same), STRANGERS))
    ]
    taken = np.sort(np.concatenate(chosen))
    pd.DataFrame({"first": one[taken], "second": other[taken], "same": same[taken].astype(int)}).to_csv(file, index=False)


if __name__ == "__main__":
    main()
