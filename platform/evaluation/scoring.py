"""Metrics that take batches of images as they come, and have their numbers at the end.

Shapes: B batch, H×W pixels, F features. Images are float32 B×3×H×W in [-1, 1].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from legan.models.quality import QualityModel
from legan.platform.evaluation.distances import DistancesTo
from legan.platform.evaluation.features import Extractor
from legan.platform.evaluation.measures.shade import Shade, angle_between
from legan.platform.evaluation.metric_names import (
    EXPRESSION_ACCURACY,
    FACE_FOUND,
    HEIGHT_LIGHT,
    L1,
    LIGHT_ANGLE,
    LIGHTING_ACCURACY,
    LPIPS,
    MATCH,
    QUALITY,
    SAME_PERSON,
    SIDE_LIGHT,
    SSIM,
    TONE,
    TONE_CHANGE,
    Reference,
)
from legan.platform.evaluation.metrics import feature_correlation, is_class, l1_distance, structural_similarity

OUTSIDE_HULL = -1.0  # black


@dataclass(frozen=True)
class Seen:
    """A batch as the metrics see it.

    ``image`` is scored, ``reference`` is the real image it is compared with, ``inside`` (bool B×1×H×W) the face's hull.
    ``expression`` and ``lighting`` (int64 B) are what the image should show, None where nobody knows, and the logits (B×E, B×L)
    what the classifier sees in it. ``features`` and ``reference_features`` are both images' by name of the extractor, B×F.
    ``shade``, ``reference_shade`` and ``source_shade`` are light and skin of image, reference and source; ``lamp`` (B×3) points
    to where the light should come from, None where nobody knows. ``face_found`` (bool B) says whether a face was found in
    the image, None where none was looked for.
    """

    image: Tensor
    reference: Tensor
    inside: Tensor
    expression: Tensor | None
    lighting: Tensor | None
    expression_logits: Tensor
    lighting_logits: Tensor
    features: Mapping[str, Tensor]
    reference_features: Mapping[str, Tensor]
    shade: Shade
    reference_shade: Shade
    source_shade: Shade
    lamp: Tensor | None = None
    face_found: Tensor | None = None


class Scorer(Protocol):
    """Something measured on a stream of batches, on whatever device they are."""

    def update(self, seen: Seen) -> None:
        """Take a batch."""


ImageMetric = Callable[[Seen], Tensor]


class ImageScores:
    """Metrics with one value per image, float64. All values are kept, so that any part of the images has its means afterwards."""

    def __init__(self, metrics: Mapping[str, ImageMetric]):
        self._metrics = metrics
        self._parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in metrics}

    def update(self, seen: Seen) -> None:
        """Take a batch."""
        for name, metric in self._metrics.items():
            self._parts[name].append(metric(seen).double().cpu().numpy())

    def values(self) -> dict[str, NDArray[np.float64]]:
        """Every image's value, by metric."""
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


class FeatureDistances:
    """Fréchet and kernel distance of all images seen to a set of real ones, and Fréchet's to those of the training split."""

    def __init__(self, extractor: Extractor, real: DistancesTo, train: DistancesTo | None = None):
        self.extractor, self.real, self.train = extractor, real, train
        self._parts: list[Tensor] = []

    def update(self, seen: Seen) -> None:
        """Take a batch."""
        self._parts.append(seen.features[self.extractor.name].float().cpu())

    @property
    def features(self) -> Tensor:
        """The features of all images in the order they came, float32 n×F on the CPU."""
        return torch.cat(self._parts)

    def compute(self) -> dict[str, float]:
        """The distances under the extractor's names for them, NaN where there are fewer than two images."""
        features, name = self.features, self.extractor.frechet
        found = {name: self.real.frechet(features), self.extractor.kernel: self.real.kernel(features)}
        return found if self.train is None else {**found, f"{name}_to_train": self.train.frechet(features)}


def image_metrics(
    reference: Reference,
    matcher: str,
    quality: QualityModel | None,
    perceptual: nn.Module | None,
    lamps: bool = False,
    detector: bool = False,
    one_person_from: float | None = None,
) -> dict[str, ImageMetric]:
    """The metrics with one value per image, by name; ``reference`` becomes part of the names.

    ``matcher`` names the extractor whose features are correlated. Without Q, LPIPS's network, ``lamps``, a face ``detector`` or
    the match from which on two faces are one person, their numbers are left out.
    """
    metrics: dict[str, ImageMetric] = {
        SSIM.key(reference): lambda seen: structural_similarity(seen.image, seen.reference),
        L1.key(reference): lambda seen: l1_distance(seen.image, seen.reference),
        EXPRESSION_ACCURACY.name: lambda seen: _accuracy(seen.expression_logits, seen.expression),
        LIGHTING_ACCURACY.name: lambda seen: _accuracy(seen.lighting_logits, seen.lighting),
        MATCH.key(reference): lambda seen: feature_correlation(seen.features[matcher], seen.reference_features[matcher]),
        TONE.key(reference): lambda seen: (seen.shade.tone - seen.reference_shade.tone).abs(),
        TONE_CHANGE.name: lambda seen: seen.shade.tone - seen.source_shade.tone,
        SIDE_LIGHT.key(reference): lambda seen: (seen.shade.side - seen.reference_shade.side).abs(),
        HEIGHT_LIGHT.key(reference): lambda seen: (seen.shade.height - seen.reference_shade.height).abs(),
    }
    if lamps:
        metrics[LIGHT_ANGLE.name] = lambda seen: _angle(seen.shade.towards, seen.lamp)
    if detector:
        metrics[FACE_FOUND.name] = lambda seen: _known(seen.face_found, len(seen.image))
    if one_person_from is not None:
        metrics[SAME_PERSON.key(reference)] = lambda seen: metrics[MATCH.key(reference)](seen) >= one_person_from
    if perceptual is not None:
        metrics[LPIPS.key(reference)] = lambda seen: perceptual(seen.image, seen.reference).flatten(0)
    if quality is not None:
        metrics[QUALITY.name] = lambda seen: quality(torch.where(seen.inside, seen.image, OUTSIDE_HULL))
    return metrics


def _accuracy(logits: Tensor, classes: Tensor | None) -> Tensor:
    return logits.new_full((len(logits),), torch.nan) if classes is None else is_class(logits, classes)


def _angle(towards: Tensor, lamp: Tensor | None) -> Tensor:
    return towards.new_full((len(towards),), torch.nan) if lamp is None else angle_between(towards, lamp)


def _known(values: Tensor | None, count: int) -> Tensor:
    return torch.full((count,), torch.nan) if values is None else values
