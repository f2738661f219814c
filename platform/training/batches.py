"""Which images a step sees: epochs of permutations, each a function of the seed and the epoch's number alone."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows = npt.NDArray[np.int64]
Images = npt.NDArray[np.uint8]


def rows_of_step(rows: Rows, per_step: int, step: int, seed: int) -> Rows:
    """The ``per_step`` rows that ``step`` sees: consecutive pieces of one permutation per epoch.

    A step at an epoch's end takes the rest from the next one, so no image is left out and none comes twice in an epoch.
    """
    count = len(rows)
    start = step * per_step
    pieces: list[Rows] = []
    while per_step > 0:
        epoch, offset = divmod(start, count)
        piece = _order(count, seed, epoch)[offset : offset + per_step]
        pieces.append(rows[piece])
        start += len(piece)
        per_step -= len(piece)
    return np.concatenate(pieces)


def rows_of_split(splits: npt.NDArray[np.str_], name: str) -> Rows:
    """The rows whose split is ``name``."""
    return np.flatnonzero(np.asarray(splits) == name).astype(np.int64)


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> Rows:
    return np.random.default_rng((seed, epoch)).permutation(count)


def choose_variants(count: int, shares: Sequence[float], generator: torch.Generator) -> Rows:
    """For each of ``count`` draws 0 for the image as it is, or the number of its variant from 1, as often as ``shares`` say.

    ``shares`` begin with that of the image as it is; they need no sum of 1. Without variants nothing is drawn, so that the
    draws after it stay as they are.
    """
    if len(shares) < 2:
        return np.zeros(count, np.int64)
    return torch.multinomial(torch.tensor(shares, dtype=torch.float64), count, replacement=True, generator=generator).numpy()


def drawn_images(images: Images, variants: Sequence[Images], rows: Rows, chosen: Rows) -> Images:
    """The chosen variants of these rows, uint8 n×H×W×3."""
    drawn = images[rows]
    for number, variant in enumerate(variants, start=1):
        mine = chosen == number
        drawn[mine] = variant[rows[mine]]
    return drawn


def mirror(images: Tensor, mirrored: Tensor) -> Tensor:
    """Those of N×C×H×W for which bool N ``mirrored`` says so, with left and right swapped."""
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)


def shift(images: Tensor, by: Tensor) -> Tensor:
    """Each of N×C×H×W moved down and right by its row of int N×2 ``by``, in pixels; the pixels at the edges are repeated."""
    N, _, H, W = images.shape
    rows = (torch.arange(H) - by[:, :1]).clamp(0, H - 1)
    columns = (torch.arange(W) - by[:, 1:]).clamp(0, W - 1)
    n = torch.arange(N).view(N, 1, 1)
    # Indexed as N×H×W×C, so that images which lie channels-last come out so.
    return images.permute(0, 2, 3, 1)[n, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)
