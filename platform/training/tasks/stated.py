"""What a model says of itself at the end of its training: measured on the validation split, never on the test split.

Where nobody is held out, or too few people to tell, the numbers are missing.

Shapes: N faces, H×W pixels, F features. Images are float32 in [-1, 1].
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from legan.models.expression import AttributeClassifier, Predictor, class_logits
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.quality import QualityModel
from legan.models.translator import Translator
from legan.models.verification import FALSE_POSITIVES, face_pairs, threshold_at
from legan.platform.data.dataset import Dataset, spread
from legan.platform.data.sources.licences import LANDMARKS
from legan.platform.evaluation.pairs import Rows, choose_pairs, label_batch, load_batch
from legan.platform.model import weights_hash

FACES, COMPARED, OUTPUTS, BATCH = 1000, 400, 200, 32
"""Real faces, those that are compared with each other, and translations, at most."""
OUTSIDE_HULL = -1.0  # black
RATERS = {True: "simulated", False: "people", None: None}


def data_facts(data: Dataset) -> dict[str, Any]:
    """What a model says of its data, as plain values for JSON; ``people`` counts those of the training split."""
    return {
        "name": data.name,
        "source": data.source,
        "people": len(set(data.subject[data.rows("train")].tolist())),
        "licence": data.licence,
        "landmarks": _landmarks(data),
    }


def predictor_facts(predictor: Predictor, data: Dataset, device: torch.device) -> dict[str, Any]:
    """How often it reads the classes of real faces rightly; no accuracy of a kind with one class."""
    facts = {
        "network": "judge" if isinstance(predictor, AttributeClassifier) else "discriminator",
        "weights": weights_hash(predictor),
    }
    rows, E = _faces(data), len(data.schema.expressions)
    if len(rows) == 0:
        return facts

    answers = _in_batches(lambda x: torch.cat(class_logits(predictor, x, E), dim=1), data, rows, device)
    accuracy = {
        f"{kind}_accuracy": float((logits.argmax(dim=1) == torch.from_numpy(own[rows])).double().mean())
        for kind, logits, own in (("expression", answers[:, :E], data.expression), ("lighting", answers[:, E:], data.lighting))
        if logits.shape[1] > 1
    }
    return {**facts, **accuracy, "faces": len(rows), "split": "val"}


def matcher_facts(
    matcher: LightCNN | FacenetIdentity, identity: str | None, data: Dataset, device: torch.device
) -> dict[str, Any]:
    """The similarity from which on two faces count as one person; ``identity`` is the hash of T, which the matcher may be."""
    weights = weights_hash(matcher)
    facts = {"network": "T" if weights == identity else "matcher", "weights": weights}
    rows = spread(_faces(data), COMPARED)
    if len(rows) < 2:
        return facts

    people = torch.from_numpy(np.unique(data.subject[rows], return_inverse=True)[1])
    pairs = face_pairs(_in_batches(matcher.features, data, rows, device), people)
    threshold = threshold_at(pairs)
    if threshold is None:
        return facts
    strangers = int((~pairs.same).sum())
    return {**facts, "threshold": threshold, "false_positive_rate": FALSE_POSITIVES, "split": "val", "pairs": strangers}


def quality_facts(
    quality: QualityModel, simulated: bool | None, G: Translator, data: Dataset, device: torch.device
) -> dict[str, Any]:
    """How Q rates real faces, and outputs of G for the same people, each inside the hull of the real face; and who had rated."""
    facts = {"raters": RATERS[simulated]}
    rows = _faces(data)
    if len(rows) == 0:
        return facts

    def rate(images: Tensor, rows: Rows) -> Tensor:
        hulls = torch.from_numpy(data.hulls(rows)).unsqueeze(1).to(device)
        ratings: Tensor = quality(torch.where(hulls, images, OUTSIDE_HULL))
        return ratings.cpu()

    def translated(pairs: pd.DataFrame) -> Tensor:
        rows = pairs["source_row"].to_numpy(np.int64)
        image = G(load_batch(data, rows, device), data.schema.encode(*label_batch(data.schema, pairs, device))).image
        return rate(image, rows)

    pairs = choose_pairs(data, OUTPUTS, seed=0, split="val")
    with torch.inference_mode():
        real = torch.cat([rate(load_batch(data, piece, device), piece) for piece in _pieces(rows)])
        fake = torch.cat([translated(pairs.iloc[start : start + BATCH]) for start in range(0, len(pairs), BATCH)])
    return {
        **facts,
        "images": len(rows),
        "mean": round(float(real.mean()), 4),
        "sd": round(float(real.std(correction=0)), 4),
        "fake_mean": round(float(fake.mean()), 4),
        "split": "val",
    }


def _landmarks(data: Dataset) -> dict[str, str] | None:
    """Name and licence of what found the landmarks; None where the data set does not tell."""
    if data.source == "rendered":
        return LANDMARKS["rendered"]
    options = data.info.get("options", {})
    return LANDMARKS["aligned"] if options.get("aligned") else LANDMARKS.get(options.get("landmarks"))


def _faces(data: Dataset) -> Rows:
    return spread(data.real_rows("val"), FACES)


def _pieces(rows: Rows) -> list[Rows]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _in_batches(network: Callable[[Tensor], Tensor], data: Dataset, rows: Rows, device: torch.device) -> Tensor:
    """What ``network`` says of these faces, on the CPU."""
    with torch.inference_mode():
        return torch.cat([network(load_batch(data, piece, device)).cpu() for piece in _pieces(rows)])
