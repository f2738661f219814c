"""Trained recolourers, from the run or the folder that names them."""

from pathlib import Path
from typing import NamedTuple, cast

import torch

from legan.models.recolor import ColorizationGenerator
from legan.platform.data.variants.recolored import Images, recolored
from legan.platform.device import place
from legan.platform.errors import CheckpointError
from legan.platform.model import RECOLORER, load_network, network_folder, weights_hash


class Recolorer(NamedTuple):
    """A recolourer on its device, in eval mode; ``digest`` is the ``weights_hash`` of its network."""

    network: ColorizationGenerator
    digest: str
    device: torch.device

    def recolour(self, images: Images) -> Images:
        """Images, uint8 N×S×S×3, in this recolourer's colours (see ``recolored``)."""
        return recolored(self.network, images, self.device)


def load_recolorer(path: Path, image_size: int, device: torch.device | None = None) -> Recolorer:
    """The recolourer of a run (its name or folder) or a network's folder, for images of ``image_size``; by default on the CPU.

    CheckpointError says what is missing, what it is instead, or for which size of images it is.
    """
    stored = load_network(network_folder(path), *RECOLORER)
    network = cast("ColorizationGenerator", stored.module)
    if network.image_size != image_size:
        own, there = f"{network.image_size}×{network.image_size}", f"{image_size}×{image_size}"
        raise CheckpointError(
            f"{path} recolours images of {own}, and these are {there}; give a recolourer that was trained on images of {there}."
        )
    digest, device = weights_hash(network), device or torch.device("cpu")
    place(network, device, channels_last=True)
    return Recolorer(network, digest, device)
