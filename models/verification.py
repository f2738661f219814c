"""How well features tell people apart: pairs of faces, their ROC by torchmetrics, and a threshold for a rate of false positives.

Shapes: N faces, F features, P = N·(N − 1)/2 pairs. torchmetrics is imported where it is needed, since that takes seconds.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

FALSE_POSITIVES = 0.01
"""Share of pairs of strangers that a threshold takes for one person."""


class FacePairs(NamedTuple):
    """All pairs of N faces: how ``alike`` they are, float64 P, the more the likelier one person; and whether they are, bool P."""

    alike: Tensor
    same: Tensor


class Rates(NamedTuple):
    """Shares of the pairs of one person, and of those of strangers, that are taken for one person; None where there are none."""

    true_positives: float | None
    false_positives: float | None


def face_pairs(features: Tensor, subjects: Tensor) -> FacePairs:
    """All pairs of faces with these features (N×F) and subjects (int64 N), by the Pearson correlation of their features.

    It is the paper's match score (section 5), in -1 to 1.
    """
    faces = features.double().cpu()
    return _pairs(faces - faces.mean(dim=1, keepdim=True), subjects)


def area_under_roc(pairs: FacePairs) -> float | None:
    """ROC AUC: how often a pair of one person is more alike than one of strangers; None where one kind is missing."""
    if pairs.same.all() or not pairs.same.any():
        return None
    from torchmetrics.classification import BinaryAUROC

    curve = BinaryAUROC(sync_on_compute=False)  # only this process is here
    curve.update(_scaled(pairs.alike), pairs.same.long())
    return float(curve.compute())


def verification_auc(features: Tensor, subjects: Tensor) -> float:
    """ROC AUC of the cosine of N×F features, with pairs of one subject (int64 N) and of two among them."""
    area = area_under_roc(_pairs(features.double().cpu(), subjects))
    if area is None:
        raise ValueError("there are pairs of one kind only, so there is no ROC")
    return area


def threshold_at(pairs: FacePairs, rate: float = FALSE_POSITIVES) -> float | None:
    """The likeness from which on at most this ``rate`` of strangers pass, and as many as may; None where that is nobody.

    It is a likeness of a pair of strangers, so a pair passes where its own is equal or larger. Of strangers that are equally
    alike all pass or none.
    """
    if int(rate * int((~pairs.same).sum())) == 0:
        return None
    from torchmetrics.classification import BinaryROC

    curve = BinaryROC(sync_on_compute=False)
    strangers = pairs.alike[~pairs.same]
    scaled = _scaled(pairs.alike)[~pairs.same]
    # The most alike of all stands for the pairs of one person, of which the curve wants some.
    curve.update(torch.cat([scaled, scaled.new_ones(1)]), torch.cat([torch.zeros(len(scaled)), torch.ones(1)]).long())
    false_positives, _, thresholds = curve.compute()
    allowed = thresholds[false_positives <= rate].min()
    passing = strangers[scaled >= allowed]
    return float(passing.min()) if len(passing) else None


def rates_at(pairs: FacePairs, threshold: float) -> Rates:
    """What passes a threshold on these pairs."""
    passes = (pairs.alike >= threshold).double()
    true, false = passes[pairs.same], passes[~pairs.same]
    return Rates(float(true.mean()) if len(true) else None, float(false.mean()) if len(false) else None)


def _pairs(faces: Tensor, subjects: Tensor) -> FacePairs:
    unit, subjects = F.normalize(faces, dim=1), subjects.cpu()
    first, second = torch.triu_indices(len(unit), len(unit), offset=1)
    return FacePairs((unit @ unit.T)[first, second], subjects[first] == subjects[second])


def _scaled(alike: Tensor) -> Tensor:
    """The same order in 0 … 1: torchmetrics puts other numbers through a sigmoid, where near ones may become equal."""
    low, high = alike.min(), alike.max()
    return (alike - low) / (high - low) if high > low else torch.zeros_like(alike)
