"""From which match on two faces are one person: set on real images of the validation split, told on those of the split scored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from legan.models.verification import FALSE_POSITIVES, area_under_roc, face_pairs, threshold_at
from legan.platform.data.dataset import Dataset, spread
from legan.platform.errors import counted
from legan.platform.evaluation.features import Extractor
from legan.platform.evaluation.reference import split_features

FACES = 400
MOST_MISTAKEN = 0.05
LAX = "That is far more than on val, so *same person* is lax: val shows too few people, or such as are less alike."
FOUND, MISTAKEN = "one_person_found", "strangers_mistaken"
"""Shares of the pairs of one person, and of strangers, that reach the threshold on real images of the split scored."""


def set_on_val(data: Dataset, matcher: Extractor, device: torch.device, folder: Path) -> dict[str, Any]:
    """What the matcher says of pairs of at most 400 real images of val, as plain values for JSON.

    ``from`` is the match from which on two faces count as one person: 1 % of the pairs of strangers reach it. It is missing where
    there are fewer than 100 such pairs, and ``auc`` (of the ROC) where all pairs are of one kind. ``folder`` keeps features.
    """
    rows = spread(data.real_rows("val"), FACES)
    if len(rows) < 2:
        return {"people": len(rows), "strangers": 0}
    names, people = np.unique(data.subject[rows], return_inverse=True)
    pairs = face_pairs(split_features(data, "val", matcher, device, folder, FACES), torch.from_numpy(people))
    measured = {"auc": area_under_roc(pairs), "from": threshold_at(pairs)}
    found = {name: value for name, value in measured.items() if value is not None}
    return {"people": len(names), "strangers": int((~pairs.same).sum()), **found}


def has_strangers(data: Dataset) -> bool:
    """Whether val shows enough pairs of strangers for a threshold."""
    images = np.unique(data.subject[spread(data.real_rows("val"), FACES)], return_counts=True)[1]
    return bool((images.sum() ** 2 - (images**2).sum()) / 2 * FALSE_POSITIVES >= 1)


def told_same_person(values: Mapping[str, Any]) -> str:
    """What is said of the threshold in an evaluation's values; empty in those of an older version."""
    known, real = values.get("one_person"), values.get("judges_on_real_images") or {}
    if known is None:
        return ""
    strangers = counted(known["strangers"], "pair")
    if "from" not in known:
        needed = f"val has {strangers} of strangers, and {round(1 / FALSE_POSITIVES)} are needed"
        return f"From which match on two faces are one person is not told: {needed}."
    people = counted(known["people"], "person", "people")
    of_val = f"{FALSE_POSITIVES:.0%} of the {strangers} of strangers ({people}) on val reach it"
    said = f"Faces that match by {known['from']:.3f} or more count as one person: {of_val}."
    called = {FOUND: "pairs of one person", MISTAKEN: "strangers"}
    shares = [f"{real[name]:.1%} of {whom}" for name, whom in called.items() if name in real]
    if shares:
        said += f" Of the real images of {values['split']} {' and '.join(shares)} do."
    return f"{said} {LAX}" if real.get(MISTAKEN, 0) > MOST_MISTAKEN else said
