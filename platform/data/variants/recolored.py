"""Images in the colours of a trained recolourer (sections 5 and 18), which sees them grey.

Shapes: N images of S×S pixels.
"""

import numpy as np
import numpy.typing as npt
import torch

from legan.models.recolor import ColorizationGenerator, greyed
from legan.platform.data.dataset import Dataset, spread
from legan.platform.pixels import network_input, to_images

Images = npt.NDArray[np.uint8]
BATCH, SOME = 32, 100


def recolored(G: ColorizationGenerator, images: Images, device: torch.device) -> Images:
    """Images, uint8 N×S×S×3, as G colours their luma; G is on ``device`` and in eval mode.

    All batches have ``BATCH`` images, the last one is filled up. So on a CPU, with one number of threads, the colours of an image
    are the same to the bit, whatever it is given together with. ValueError for images of another size than G's.

    >>> G = ColorizationGenerator(image_size=32, width=4).eval()
    >>> recolored(G, np.zeros((3, 32, 32, 3), np.uint8), torch.device("cpu")).shape
    (3, 32, 32, 3)
    """
    made = np.empty_like(images)
    for start in range(0, len(images), BATCH):
        some = images[start : start + BATCH]
        filled = np.concatenate([some, np.repeat(some[-1:], BATCH - len(some), axis=0)])
        with torch.inference_mode():
            made[start : start + len(some)] = to_images(G(greyed(network_input(filled, device))))[: len(some)]
    return made


def is_grey(data: Dataset) -> bool:
    """Whether the training images have three equal channels, as far as ``SOME`` of them tell."""
    images = data.images[spread(data.rows("train"), SOME)]
    return len(images) > 0 and bool((images == images[..., :1]).all())
