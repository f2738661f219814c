"""The networks that see whole images for the metrics: Inception for FID and KID, the face matcher, AlexNet for LPIPS.

Shapes: B batch, H×W pixels, F features. Images are float B×3×H×W in [-1, 1].
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from legan.models.dlib_identity import DlibIdentity, FaceJudge
from legan.models.identity import FacenetIdentity, LightCNN
from legan.platform.evaluation.metric_names import FD_IDENTITY, FID, KD_IDENTITY, KID
from legan.platform.model import weights_hash
from legan.platform.pixels import to_bytes
from legan.platform.weights import PRETRAINED, load_tensors

INCEPTION_LAYER = "2048"
RESIZERS: dict[type[nn.Module], str] = {
    LightCNN: "none",
    FacenetIdentity: "bilinear 160, antialiased",
    DlibIdentity: "bicubic 169, antialiased, 150 of it, bytes",
}
"""What a face matcher does to images first."""


@dataclass(frozen=True)
class Extractor:
    """A network whose features two sets of images are compared by.

    ``frechet`` and ``kernel`` are what the distances are called: only with Inception's features FID and KID. ``resizer`` says
    what happens to the images first, ``weights`` is a SHA-256; both decide which statistics can be used again.
    """

    name: str
    frechet: str
    kernel: str
    resizer: str
    weights: str
    network: nn.Module
    features: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        """Features of a batch, B×F."""
        return self.features(images)


def inception_extractor() -> Extractor:
    """TensorFlow's InceptionV3 of 2015 as torch-fidelity has it, its 2048 pooled features; WeightsError without its file.

    It reads bytes: images are rounded to the 256 levels of a file, as FID is always measured.
    """
    file = _tensors_only("inception")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # brings torchvision: seconds

    network = FeatureExtractorInceptionV3("inception", [INCEPTION_LAYER], file)

    def features(images: Tensor) -> Tensor:
        found: Tensor = network(to_bytes(images))[0]
        return found

    weights = PRETRAINED["inception"].sha256
    return Extractor("inception", FID.name, KID.name, "bilinear 299 of TensorFlow 1, bytes", weights, network, features)


def identity_extractor(matcher: FaceJudge) -> Extractor:
    """The face matcher's features, for distances that need no download and must not be called FID."""
    resizer = RESIZERS[type(matcher)]
    return Extractor("identity", FD_IDENTITY.name, KD_IDENTITY.name, resizer, weights_hash(matcher), matcher, matcher.features)


def perceptual_network() -> nn.Module:
    """LPIPS v0.1 with AlexNet: of two batches of images in [-1, 1] it gives B×1×1×1.

    The linear heads are in the package lpips. WeightsError where AlexNet's file is not here.
    """
    state = load_tensors("alexnet")
    import lpips  # brings torchvision: seconds

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # lpips asks torchvision for an AlexNet in an outdated way
        network: nn.Module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    convolutions = {f"slice{i}.{name}": name for i, name in enumerate(("0", "3", "6", "8", "10"), start=1)}
    wanted = {
        f"{ours}.{kind}": state[f"features.{theirs}.{kind}"]
        for ours, theirs in convolutions.items()
        for kind in ("weight", "bias")
    }
    network.net.load_state_dict(wanted)  # type: ignore[union-attr]
    return network.eval().requires_grad_(False)


def _tensors_only(name: str) -> io.BytesIO:
    """The published file as tensors and nothing else, for libraries that would run what is pickled in it."""
    buffer = io.BytesIO()
    torch.save(load_tensors(name), buffer)
    buffer.seek(0)
    return buffer
