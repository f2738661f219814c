"""Whether a model is worse than the champion that it would replace, or than doing nothing, on people that its training never saw.

Candidate, champion and *copied input* (the photograph itself for a translation) are asked for the same translations of the
validation split of the candidate's data. One number decides:

- where the data has the true targets: the mean SSIM of outputs and targets;
- elsewhere: accuracy × match. Accuracy is how often the independent judge sees the wanted expression and the wanted lighting, the
  mean of both. Match is the mean correlation of the matcher's features of output and source. A copy has match 1 and little
  accuracy, and a model that forgets people has it the other way round; so neither alone says anything.

A model with a lower number is worse; with an equal one it is not.

Shapes: B batch, H×W pixels. Images are float32 B×3×H×W in [-1, 1].
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.metric_names import EXPRESSION_ACCURACY, L1, LIGHTING_ACCURACY, MATCH, SSIM, Reference
from legan.platform.evaluation.metrics import feature_correlation, is_class, l1_distance, structural_similarity
from legan.platform.evaluation.paired import BATCH, Judges, translate
from legan.platform.evaluation.pairs import label_batch, load_batch, reference_of
from legan.platform.model import Model

COPY = "copied input"


class Contestant(NamedTuple):
    """Somebody who is asked: the outputs for images B×3×H×W and the B rows of the list of pairs."""

    name: str
    output: Callable[[Tensor, pd.DataFrame], Tensor]


@dataclass(frozen=True)
class Contest:
    """What everybody scored on the same ``pairs`` of so many ``people``; the candidate is the first, copied input the last."""

    reference: Reference
    scores: Mapping[str, Mapping[str, float]]
    pairs: int
    people: int

    @property
    def decisive(self) -> str:
        """What the number that decides is called."""
        return "SSIM to target" if self.reference == "target" else "accuracy × match"

    def number(self, name: str) -> float:
        """The number that decides, of one of them."""
        scores = self.scores[name]
        if self.reference == "target":
            return scores[SSIM.key("target")]
        return (scores[EXPRESSION_ACCURACY.name] + scores[LIGHTING_ACCURACY.name]) / 2 * scores[MATCH.key("source")]

    def worse_than(self) -> list[str]:
        """Who has a higher number than the candidate."""
        candidate, *others = self.scores
        return [name for name in others if self.number(candidate) < self.number(name)]


def contestant(name: str, model: Model, device: torch.device) -> Contestant:
    """A model, which has to know the classes that are asked for."""
    model.generator.to(device).eval()
    return Contestant(name, lambda x, pairs: translate(model, x, label_batch(model.schema, pairs, device)))


def hold(
    models: Sequence[Contestant],
    candidate: Model,
    data: Dataset,
    pairs: pd.DataFrame,
    judges: Judges | None,
    device: torch.device,
) -> Contest:
    """Ask ``models``, the candidate first, and copied input.

    ``judges``, who know the candidate's classes, are needed where the pairs have no targets. Raises CheckpointError where the
    outputs of a model are not numbers.
    """
    reference = reference_of(pairs)
    everybody = [*models, Contestant(COPY, lambda x, _: x)]
    scores: dict[str, list[dict[str, Tensor]]] = {each.name: [] for each in everybody}
    if judges is not None:
        judges.classifier.to(device).eval()
        judges.matcher.to(device).eval()

    for start in range(0, len(pairs), BATCH):
        piece = pairs.iloc[start : start + BATCH]
        x = load_batch(data, piece["source_row"].to_numpy(np.int64), device)
        y = load_batch(data, piece["target_row"].to_numpy(np.int64), device) if reference == "target" else x
        asked = label_batch(candidate.schema, piece, device)
        with torch.inference_mode():
            for each in everybody:
                image = each.output(x, piece)
                found = _compared(image, y) if reference == "target" else {}
                scores[each.name].append(found | (_judged(image, y, reference, asked, judges) if judges is not None else {}))

    means = {
        name: {key: float(torch.cat([part[key] for part in parts]).mean()) for key in parts[0]} for name, parts in scores.items()
    }
    return Contest(reference, means, len(pairs), int(pairs["subject"].nunique()))


def _compared(image: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Float64 B each."""
    return {SSIM.key("target"): structural_similarity(image, target), L1.key("target"): l1_distance(image, target)}


def _judged(image: Tensor, real: Tensor, reference: Reference, asked: tuple[Tensor, Tensor], judges: Judges) -> dict[str, Tensor]:
    """Float64 B each."""
    expression, lighting = judges.classifier(image)
    return {
        EXPRESSION_ACCURACY.name: is_class(expression, asked[0]),
        LIGHTING_ACCURACY.name: is_class(lighting, asked[1]),
        MATCH.key(reference): feature_correlation(judges.matcher.features(image), judges.matcher.features(real)),
    }
