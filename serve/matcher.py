"""How alike the person in two aligned faces is: the similarity that ``min_similarity`` asks for.

Shapes: B batch, S image size. Images are uint8 RGB B×S×S×3.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from legan.models.identity import FacenetIdentity, LightCNN
from legan.platform.device import choose_device
from legan.platform.errors import ConfigError, ImageError, Problem
from legan.platform.evaluation.metrics import feature_correlation
from legan.platform.model import IDENTITY, StoredNetwork, instead_of, load_identity
from legan.platform.pixels import network_input


class Matcher:
    """A face matcher ready for use, in float32; the paper's match score (section 5) of two images."""

    def __init__(self, network: LightCNN | FacenetIdentity, device: torch.device, batch_size: int | None = None):
        self.network, self.device = network.to(device).eval(), device
        self._batch = batch_size or (64 if device.type == "cuda" else 8)

    def similarity(self, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pearson correlation of both faces' features, float32 B, in -1 to 1 (the same image).

        Raises ImageError where the two differ in number or size.
        """
        if one.shape != other.shape:
            raise ImageError(f"faces to compare have to be of one shape, not {one.shape} and {other.shape}.")
        found = [np.zeros(0, np.float32)]
        with torch.inference_mode():
            for start in range(0, len(one), self._batch):
                a, b = (self._features(images[start : start + self._batch]) for images in (one, other))
                found.append(feature_correlation(a, b).float().cpu().numpy())
        return np.concatenate(found)

    def _features(self, images: NDArray[np.uint8]) -> torch.Tensor:
        return self.network.features(network_input(images, self.device))


def check_matcher(stored: StoredNetwork, image_size: int) -> LightCNN | FacenetIdentity:
    """The network, if it compares faces of the model's image size; ConfigError says why not."""
    if not isinstance(stored.module, LightCNN | FacenetIdentity):
        raise ConfigError([Problem("--matcher", instead_of(stored.kind, IDENTITY))])
    size = stored.numbers.get("image_size")
    if size not in (None, image_size):
        raise ConfigError([Problem("--matcher", f"it is for {size}×{size} images, the model for {image_size}×{image_size}")])
    return stored.module


def load_matcher(source: str | Path, image_size: int, device: str | None = None) -> Matcher:
    """The matcher of a run, in a network folder, or facenet, on the GPU where there is one, unless ``device`` says otherwise.

    Raises CheckpointError for what is no network, WeightsError for a facenet that is not here, ConfigError as ``check_matcher``.
    """
    network = check_matcher(load_identity(Path(source)), image_size)
    return Matcher(network, choose_device(device))
