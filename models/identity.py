"""The identity network T (paper, section 4.1): LightCNN, trained here, or a ready FaceNet loaded from a file.

Shapes: B batch, C channels, S image size, K features. Images are RGB B×3×S×S or grey B×1×S×S, both in [-1, 1].
T's features are what the identity loss (Eq. 4) compares; the logits only serve to train it.
"""

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from legan.models.layers import full_precision

# What torch.load is known to raise on files that are not its own.
UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    pickle.UnpicklingError,
    struct.error,
)
# Wu et al., "A Light CNN for Deep Face Representation with Noisy Labels", and its public code: residual blocks per stage.
RESIDUAL_BLOCKS = {29: (1, 2, 3, 4), 9: (0, 0, 0, 0)}


class LightCNN(nn.Module):
    """LightCNN-29 or -9: max-feature-map convolutions, four poolings, one feature layer and a classifier.

    ``width`` multiplies every channel count (1.0 as published); ``features`` is K. Module names follow LightCNN-29's public code.
    As published (128×128, K = 256) LightCNN-29 has 12 573 280 parameters before the classifier, LightCNN-9 has 5 480 864.

    ValueError for another number of layers or an image size that is no multiple of 16.

    >>> import torch
    >>> T = LightCNN(layers=9, classes=3, image_size=32, width=0.125, features=16)
    >>> T.features(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 16])
    """

    def __init__(self, layers: int, classes: int, image_size: int = 128, width: float = 1.0, features: int = 256):
        super().__init__()
        if layers not in RESIDUAL_BLOCKS:
            raise ValueError(f"there is no LightCNN-{layers}; there are: {', '.join(f'LightCNN-{n}' for n in RESIDUAL_BLOCKS)}.")
        if image_size < 16 or image_size % 16:
            raise ValueError(f"LightCNN halves images four times, so the image size {image_size} has to be a multiple of 16.")

        C0, C1, C2, C3 = (max(1, round(width * c)) for c in (48, 96, 192, 128))
        n1, n2, n3, n4 = RESIDUAL_BLOCKS[layers]
        self.image_size = image_size
        self.numbers = {
            "layers": layers, "classes": classes, "image_size": image_size, "width": width, "features": features,
        }  # fmt: skip

        self.conv1 = MaxFeatureMap(1, C0, kernel_size=5)
        self.block1 = residual_blocks(n1, C0)
        self.group1 = group(C0, C1)
        self.block2 = residual_blocks(n2, C1)
        self.group2 = group(C1, C2)
        self.block3 = residual_blocks(n3, C2)
        self.group3 = group(C2, C3)
        self.block4 = residual_blocks(n4, C3)
        self.group4 = group(C3, C3)

        self.pool = nn.MaxPool2d(2)
        self.fc = MaxFeatureMapLinear(C3 * (image_size // 16) ** 2, features)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(features, classes)

        _initialise(self)

    def features(self, x: Tensor) -> Tensor:
        """The penultimate features, B×K, of images RGB or grey; ValueError for another shape. Float32 also under autocast."""
        if x.ndim != 4 or x.shape[1] not in (1, 3) or x.shape[2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"this identity network reads images of shape B×3×{self.image_size}×{self.image_size} (or one grey channel), "
                f"not {'×'.join(map(str, x.shape))}; resize the images or build the network for their size."
            )
        h = self.pool(self.conv1(to_grey(x)))
        h = self.pool(self.group1(self.block1(h)))
        h = self.pool(self.group2(self.block2(h)))
        h = self.group3(self.block3(h))
        h = self.pool(self.group4(self.block4(h)))
        return full_precision(self.fc(h.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Class logits, B×classes; dropout acts in training mode only."""
        return full_precision(self.fc2(self.dropout(self.features(x))))


def to_grey(x: Tensor) -> Tensor:
    """RGB or grey images in [-1, 1] to grey B×1×S×S in [0, 1], by the luma weights of BT.601."""
    if x.shape[1] == 3:
        r, g, b = x[:, 0:1], x[:, 1:2], x[:, 2:3]
        x = 0.299 * r + 0.587 * g + 0.114 * b
    return (x + 1) / 2


class _MaxFeatureMap(torch.autograd.Function):
    """``torch.maximum`` of both halves; its own backward pass spends six passes over memory where two do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        ctx.save_for_backward(first >= second)
        return torch.maximum(first, second)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (first_wins,) = ctx.saved_tensors
        of_first = gradient * first_wins
        return torch.cat([of_first, gradient - of_first], dim=1)


def max_feature_map(x: Tensor) -> Tensor:
    """The larger of each pair of channels (c, C + c): B×2C×… to B×C×…; of equal ones the first gets the gradient."""
    larger: Tensor = _MaxFeatureMap.apply(x)
    return larger


class MaxFeatureMap(nn.Module):
    """'Same' convolution to 2·C' channels, then the larger of each pair (c, C' + c): B×C×H×W to B×C'×H×W."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        self.filter = nn.Conv2d(in_channels, 2 * out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and compete."""
        return max_feature_map(self.filter(x))


class MaxFeatureMapLinear(nn.Module):
    """Linear layer to 2·K' features, then the larger of each pair: B×K to B×K'."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.filter = nn.Linear(in_features, 2 * out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Project and compete."""
        return max_feature_map(self.filter(x))


class MaxFeatureMapResidual(nn.Module):
    """Two 3×3 max-feature-map convolutions and the input: B×C×H×W to the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = MaxFeatureMap(channels, channels, kernel_size=3)
        self.conv2 = MaxFeatureMap(channels, channels, kernel_size=3)

    def forward(self, x: Tensor) -> Tensor:
        """x plus what the convolutions make of it."""
        residual: Tensor = self.conv2(self.conv1(x))
        return residual + x


def residual_blocks(count: int, channels: int) -> nn.Sequential:
    """``count`` residual blocks in a row; none is the identity."""
    return nn.Sequential(*(MaxFeatureMapResidual(channels) for _ in range(count)))


def group(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 1×1 and a 3×3 max-feature-map convolution: B×C×H×W to B×C'×H×W."""
    return nn.Sequential(
        OrderedDict(
            conv_a=MaxFeatureMap(in_channels, in_channels, kernel_size=1),
            conv=MaxFeatureMap(in_channels, out_channels, kernel_size=3),
        )
    )


class FacenetIdentity(nn.Module):
    """facenet-pytorch's InceptionResnetV1 with weights from a file of its releases; frozen, always in evaluation mode.

    ``weights`` is the path of such a file (``20180402-114759-vggface2.pt`` or ``20180408-102900-casia-webface.pt``); only tensors
    are read from it, and its classifier is left out. ValueError, naming the file, when it is missing or something else.
    Without it the weights are random, for a state dict that is loaded later.
    """

    def __init__(self, weights: Path | None = None):
        super().__init__()
        from facenet_pytorch import InceptionResnetV1  # here, because it imports torchvision, which nothing else in models/ needs

        self.network: nn.Module = InceptionResnetV1(pretrained=None)
        try:
            if weights is not None:
                self.network.load_state_dict(_read_state(weights))
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ValueError(f"{weights} holds weights of another network than InceptionResnetV1: {reason}") from error
        self.requires_grad_(requires_grad=False)
        self.eval()

    def train(self, mode: bool = True) -> "FacenetIdentity":
        """Stay in evaluation mode, so that the batch statistics of a pretrained network do not move."""
        del mode
        return super().train(mode=False)

    def features(self, x: Tensor) -> Tensor:
        """Unit-length features, B×512, of RGB images B×3×S×S in [-1, 1], which are resized to 160×160."""
        x = F.interpolate(x, size=(160, 160), mode="bilinear", align_corners=False, antialias=True)
        standardised = x * (127.5 / 128)  # the network was trained on (v − 127.5) / 128, v from 0 to 255
        return full_precision(self.network(standardised))


@torch.no_grad()
def _initialise(network: nn.Module) -> None:
    """Weights that keep the activations' size through thirty layers without norm.

    The larger of two independent standard normal values has a second moment of 1, so weights of variance 1/fan-in preserve it;
    the residual branches start at a tenth of that. In a trial of 150 steps both depths learned with it, while PyTorch's
    default learned nothing and Xavier's shrank the 9-layer network's features 30-fold.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for block in network.modules():
        if isinstance(block, MaxFeatureMapResidual):
            block.conv2.filter.weight.mul_(0.1)


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read as PyTorch weights: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} is no state dict: it has to map names to tensors and nothing else.")
    return {str(name): value for name, value in state.items() if not str(name).startswith("logits.")}
