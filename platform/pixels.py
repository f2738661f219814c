"""Pixels on their way into a network and out of it.

Shapes: B batch, H×W pixels. Images on disk, in requests and in data sets are uint8 B×H×W×3 from 0 to 255; networks see float32
B×3×H×W from -1 to 1.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def to_tensor(images: npt.NDArray[np.uint8]) -> Tensor:
    """Uint8 B×3×H×W, a view of B×H×W×3 and so channels-last already. What may not be written to (a decoded image) is copied."""
    return torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2)


def normalise(images: Tensor, channels_last: bool = True) -> Tensor:
    """Float32 in [-1, 1] from uint8 in 0..255, on the images' own device, in the wanted memory format."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return images.to(torch.float32, memory_format=layout).mul_(2.0 / 255.0).sub_(1.0)


def network_input(images: npt.NDArray[np.uint8], device: torch.device, channels_last: bool = True) -> Tensor:
    """Float32 B×3×H×W in [-1, 1] on ``device``, from uint8 B×H×W×3; the bytes travel, not the floats.

    >>> network_input(np.full((1, 2, 2, 3), 255, np.uint8), torch.device("cpu")).unique()
    tensor([1.])
    """
    return normalise(to_tensor(images).to(device), channels_last)


def to_bytes(images: Tensor) -> Tensor:
    """Uint8 from float in [-1, 1], rounded to the nearest, of the same shape on the same device."""
    return images.detach().to(torch.float32).add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def to_images(images: Tensor) -> npt.NDArray[np.uint8]:
    """Uint8 B×H×W×3 from float B×3×H×W in [-1, 1], rounded to the nearest.

    >>> to_images(torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)).ravel().tolist()
    [0, 128, 255]
    """
    return np.ascontiguousarray(to_bytes(images).permute(0, 2, 3, 1).cpu().numpy())
