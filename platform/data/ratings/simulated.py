"""SIMULATED ratings, for where nobody was asked: distorted faces of a data set, scored by three formulas.

There are two panels. Q in the loss learns from *training*, and Q that judges from *judging*: other raters and other distortions.
So the judge does not ask for what the generator was trained to please.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.platform.data.dataset import SPLITS, Dataset
from legan.platform.data.labels.splits import split_by_subject
from legan.platform.data.ratings.distortions import DISTORTIONS, Distortion, distort
from legan.platform.data.ratings.judged_distortions import JUDGED_DISTORTIONS
from legan.platform.data.ratings.ratings import FILE, FORMAT, Ratings, read_ratings, write_ratings
from legan.platform.errors import DataError
from legan.platform.files import refuse_existing

Applied = tuple[tuple[str, ...], tuple[float, ...]]
"""The distortions of an image and their strengths."""

_CLEAN = 0.16
_MOST_IMAGES = 6000


@dataclass(frozen=True)
class SimulatedRater:
    """Answers scale · (quality − 5) + 5 + bias + noise · N(0, 1), rounded to a whole number from 0 to 10."""

    bias: float
    scale: float
    noise: float


@dataclass(frozen=True)
class Panel:
    """Three raters, and distortions with how far each at full strength pulls an image down from what it would get untouched."""

    raters: tuple[SimulatedRater, ...]
    penalty: Mapping[str, float]
    distortions: Mapping[str, Distortion]


PanelName = Literal["training", "judging"]
PANELS: dict[PanelName, Panel] = {
    "training": Panel(
        (SimulatedRater(0.25, 1.0, 0.55), SimulatedRater(-0.45, 1.15, 0.75), SimulatedRater(0.10, 0.85, 0.95)),
        {
            "blur": 5.5, "noise": 5.5, "blocks": 6.0, "warp": 6.5, "blobs": 6.5, "colour_shift": 5.5, "pale": 5.0, "ghost": 6.0,
            "halves": 6.5, "checkerboard": 5.5, "low_contrast": 4.5, "average_face": 7.0, "smear": 7.0, "flat": 6.5,
        },
        DISTORTIONS,
    ),
    "judging": Panel(
        (SimulatedRater(-0.20, 0.9, 0.70), SimulatedRater(0.40, 1.1, 0.60), SimulatedRater(-0.10, 1.0, 0.85)),
        {
            "ringing": 5.0, "stripes": 6.0, "twist": 6.5, "tiles": 6.5, "specks": 6.0, "stretch": 5.5, "hue": 6.0, "burnt": 5.0,
            "melt": 6.5, "veil": 6.0,
        },
        JUDGED_DISTORTIONS,
    ),
}  # fmt: skip
_UNTOUCHED = 8.3


def simulated_quality(kinds: tuple[str, ...], strengths: tuple[float, ...], panel: PanelName = "training") -> float:
    """The quality from 0 to 10 that simulated raters see: 8.3, less each distortion's penalty · strength^0.8."""
    lost = sum(PANELS[panel].penalty[kind] * strength**0.8 for kind, strength in zip(kinds, strengths, strict=True))
    return float(max(0.3, _UNTOUCHED - lost))


def simulated_raters(quality: NDArray[np.float64], rng: np.random.Generator, panel: PanelName = "training") -> NDArray[np.int64]:
    """Scores of a panel's three simulated raters for N images of this quality, int64 N×3 from 0 to 10.

    Raters agree on an image more than their noise says: each image also has a charm of its own, N(0, 0.45), seen by all.
    """
    seen = quality + rng.normal(0, 0.45, len(quality))
    raters = PANELS[panel].raters
    scores = [5 + rater.bias + rater.scale * (seen - 5) + rater.noise * rng.standard_normal(len(seen)) for rater in raters]
    return np.clip(np.rint(np.stack(scores, axis=1)), 0, 10).astype(np.int64)


def make_simulated_ratings(
    dataset: Dataset,
    out: Path | str,
    *,
    count: int | None = None,
    seed: int = 0,
    panel: PanelName = "training",
    overwrite: bool = False,
) -> Ratings:
    """Distort faces of a data set, let a panel's simulated raters rate them, and write a ratings folder, whole or not at all.

    ``count`` images (default: as many as faces, 6000 at the most) are drawn from all faces; about one in six stays
    untouched, most distortions are mild. People stay in the split that the data set has them in. Where it has nobody for val or
    for test, a tenth of those who train are held out for that. Raises DataError where ``out`` exists, where ``count`` is not
    above 0, and where nobody trains.
    """
    out = Path(out)
    refuse_existing(out, FILE, overwrite=overwrite)
    count = min(len(dataset), _MOST_IMAGES) if count is None else count
    if count < 1:
        raise DataError(f"at least one image has to be rated, not {count}.")

    rng = np.random.default_rng([seed, 5])
    rows = np.sort(np.concatenate([rng.permutation(len(dataset)) for _ in range(-(-count // len(dataset)))])[:count])
    average = dataset.images[np.sort(rng.permutation(len(dataset))[:200])].mean(axis=0).astype(np.uint8)

    images = np.empty((count, *dataset.images.shape[1:]), np.uint8)
    done: list[Applied] = []
    known = PANELS[panel].distortions
    for i, row in enumerate(rows):
        kinds, strengths = _draw_distortions(rng, list(known))
        image = np.asarray(dataset.images[row])
        for kind, strength in zip(kinds, strengths, strict=True):
            image = distort(image, kind, strength, rng, average, known)
        images[i] = image
        done.append((kinds, strengths))
    images *= dataset.hulls(rows)[..., None]

    scores = simulated_raters(np.array([simulated_quality(*applied, panel) for applied in done]), rng, panel)
    splits = _splits(dataset, seed)
    table = _table(scores, done, dataset.subject[rows], splits)
    write_ratings(out, _about(dataset, table, seed, panel), table, images, overwrite=overwrite)
    return read_ratings(out)


def _table(
    scores: NDArray[np.int64], done: Sequence[Applied], subject: NDArray[np.str_], splits: Mapping[str, str]
) -> pd.DataFrame:
    """The rows of ratings.parquet."""
    return pd.DataFrame(
        {
            "image": np.arange(len(done)),
            "mean": scores.mean(axis=1).astype(np.float32),
            "std": scores.std(axis=1).astype(np.float32),
            "source": [f"simulated: {' + '.join(kinds) or 'untouched'}" for kinds, _ in done],
            "split": [splits[name] for name in subject],
            **{f"rater_{k + 1}": scores[:, k] for k in range(scores.shape[1])},
            "subject": subject,
            "kind": ["+".join(kinds) or "untouched" for kinds, _ in done],
            "strength": [max(strengths, default=0.0) for _, strengths in done],
        }
    )


def _about(dataset: Dataset, table: pd.DataFrame, seed: int, panel: PanelName) -> dict[str, Any]:
    """What ratings.json says."""
    return {
        "format": FORMAT,
        "simulated": True,
        "masked": True,
        "note": "SIMULATED ratings: distorted images scored by three formulas, no person was asked.",
        "panel": panel,
        "raters": [vars(rater) for rater in PANELS[panel].raters],
        "std": "population standard deviation of the three scores",
        "seed": seed,
        "images": len(table),
        "image_size": dataset.image_size,
        "dataset": dataset.name,
        "dataset_hash": dataset.content_hash,
        "splits": {split: int((table["split"] == split).sum()) for split in SPLITS},
    }


def _draw_distortions(rng: np.random.Generator, known: Sequence[str]) -> Applied:
    chance = rng.uniform()
    if chance < _CLEAN:
        return (), ()
    many = 2 if chance > 0.90 else 1
    kinds = tuple(str(kind) for kind in rng.choice(known, many, replace=False))
    # Mostly slight traces, and a tail of ruins.
    strengths = rng.beta(0.8, 3.2, many) if rng.uniform() < 0.78 else rng.beta(2.2, 1.4, many)
    return kinds, tuple(float(strength) for strength in strengths)


def _splits(dataset: Dataset, seed: int) -> dict[str, str]:
    """The split of each subject; nobody whom LEGAN is tested on trains Q."""
    own = dataset.splits
    if "train" not in own:
        raise DataError(f"nobody of {dataset.path} is in the split train, so Q would learn from people whom LEGAN is tested on.")
    splits: dict[str, str] = {name: split for split, names in own.items() for name in names}
    held_out = {f"{split}_share": 0.0 if split in own else 0.1 for split in ("val", "test")}
    if len(own["train"]) > sum(1 for share in held_out.values() if share):
        splits |= split_by_subject(own["train"], **held_out, seed=seed)
    return splits
