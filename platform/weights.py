"""Pretrained weights that are downloads: which files, whose, where they are looked for."""

import os
from dataclasses import dataclass
from pathlib import Path

from legan.platform.errors import WeightsError


@dataclass(frozen=True)
class PretrainedWeights:
    """A file of weights somebody else publishes."""

    name: str
    file: str
    origin: str
    url: str
    purpose: str
    without: str


PRETRAINED = {
    weights.name: weights
    for weights in (
        PretrainedWeights(
            name="facenet",
            file="20180402-114759-vggface2.pt",
            origin="timesler/facenet-pytorch on GitHub, release v2.2.9",
            url="https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
            purpose="identity network T and face matching with InceptionResnetV1 trained on VGGFace2",
            without="T is trained here: legan train identity",
        ),
        PretrainedWeights(
            name="inception",
            file="weights-inception-2015-12-05-6726825d.pth",
            origin="toshas/torch-fidelity on GitHub, release v0.2.0",
            url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
            purpose="FID",
            without="the same distance between identity features is measured, as fd_identity",
        ),
        PretrainedWeights(
            name="alexnet",
            file="alexnet-owt-7be5be79.pth",
            origin="torchvision's model zoo on download.pytorch.org",
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            purpose="LPIPS",
            without="LPIPS is left out",
        ),
    )
}


def weights_folder() -> Path:
    """Where weights are looked for: $LEGAN_WEIGHTS, by default ./weights."""
    return Path(os.environ.get("LEGAN_WEIGHTS") or "weights").absolute()


def find_weights(name: str) -> Path:
    """Path of the weights ``facenet``, ``inception`` or ``alexnet``; ValueError for another name.

    Raises WeightsError, which says whose file belongs into which folder, when it is not there.
    """
    if name not in PRETRAINED:
        raise ValueError(f"unknown weights {name!r}; known: {', '.join(PRETRAINED)}")
    weights = PRETRAINED[name]
    path = weights_folder() / weights.file
    if not path.is_file():
        raise WeightsError(
            f"the weights {weights.file} ({weights.purpose}) are not in {path.parent}; get them from {weights.origin} "
            f"({weights.url}) and put them there, or name their folder in LEGAN_WEIGHTS."
        )
    return path
