"""How well judges do on real images of a split: what they say of outputs can mean no more than that.

Shapes: m real images, F features.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from legan.models.verification import area_under_roc, face_pairs, rates_at
from legan.platform.data.dataset import Dataset, Split, spread
from legan.platform.evaluation.judges import AUC
from legan.platform.evaluation.measures.same_person import FOUND, MISTAKEN
from legan.platform.evaluation.metric_names import EXPRESSION_ACCURACY, LIGHTING_ACCURACY
from legan.platform.evaluation.metrics import is_class
from legan.platform.evaluation.paired import Judges
from legan.platform.evaluation.pairs import load_batch, same_classes
from legan.platform.model import Model

FACES, BATCH = 1000, 64


def judges_on_real_images(
    model: Model, data: Dataset, judges: Judges, features: Tensor, split: Split, device: torch.device
) -> dict[str, float]:
    """The classifier's accuracies, and how well the matcher tells people apart (ROC AUC), on at most 1000 real images.

    ``features`` m×F are the matcher's of all real images of the split, in their order. A number is left out where the data do not
    name the model's classes, where a kind has one class, or where all images are of one person or each of another. The shares of
    pairs that reach the match of one person (same_person.py) are there where that is known.
    """
    everything = data.real_rows(split)
    chosen = spread(np.arange(len(everything)), FACES)
    rows, found = everything[chosen], dict[str, float]()
    if len(rows) == 0:
        return found
    if same_classes(model.schema, data.schema):
        classifier = judges.classifier.to(device).eval()
        with torch.inference_mode():
            parts = [
                [logits.cpu() for logits in classifier(load_batch(data, rows[start : start + BATCH], device))]
                for start in range(0, len(rows), BATCH)
            ]
        for metric, own, logits in zip(
            (EXPRESSION_ACCURACY, LIGHTING_ACCURACY), (data.expression, data.lighting), zip(*parts, strict=True), strict=True
        ):
            whole = torch.cat(logits)
            if whole.shape[1] > 1:
                found[metric.name] = float(is_class(whole, torch.from_numpy(own[rows])).mean())
    people = np.unique(data.subject[rows], return_inverse=True)[1]
    pairs = face_pairs(features[torch.from_numpy(chosen)], torch.from_numpy(people))
    measured = {AUC: area_under_roc(pairs)}
    if judges.one_person_from is not None:
        measured |= dict(zip((FOUND, MISTAKEN), rates_at(pairs, judges.one_person_from), strict=True))
    found |= {name: value for name, value in measured.items() if value is not None}
    return {**found, "faces": len(rows)} if found else {}


def told_on_real_images(values: Mapping[str, Any]) -> str:
    """What is said of an evaluation's judges; empty where nothing was measured of them."""
    measured = values.get("judges_on_real_images") or {}
    right = [
        f"the {kind} in {measured[metric.name]:.3f}"
        for kind, metric in (("expression", EXPRESSION_ACCURACY), ("lighting", LIGHTING_ACCURACY))
        if metric.name in measured
    ]
    said = [f"the classifier is right about {' and '.join(right)}"] if right else []
    said += [f"the matcher tells people apart with an AUC of {measured[AUC]:.3f}"] if AUC in measured else []
    if not said:
        return ""
    return f"On {measured['faces']} real images of the {values['split']} split {', and '.join(said)}."
