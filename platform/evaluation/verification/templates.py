"""Features of the faces that a list of pairs names, and of templates of several media.

Shapes: M rows of a data set that are needed, N faces or templates that are compared, F features.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from legan.models.dlib_identity import FaceJudge
from legan.platform.data.dataset import Dataset
from legan.platform.pixels import network_input

BATCH = 64
Rows = NDArray[np.int64]


def feature_batches(matcher: FaceJudge, data: Dataset, rows: Rows, device: torch.device) -> Iterator[Tensor]:
    """Features of these rows, float32 B×F on the CPU, batch by batch; the next images are read meanwhile."""
    starts = range(0, len(rows), BATCH)
    with ThreadPoolExecutor(1, thread_name_prefix="images") as reader:
        upcoming = reader.submit(_read, data, rows[:BATCH])
        for start in starts:
            images = upcoming.result()
            if start + BATCH < len(rows):
                upcoming = reader.submit(_read, data, rows[start + BATCH : start + 2 * BATCH])
            with torch.no_grad():  # and no inference mode, which would hold for the caller too
                features = matcher.features(network_input(images, device)).float().cpu()
            yield features


def features_of(matcher: FaceJudge, data: Dataset, rows: Rows, device: torch.device) -> Tensor:
    """Features of these rows, float32 M×F on the CPU."""
    return torch.cat(list(feature_batches(matcher, data, rows, device)))


def template_features(matcher: FaceJudge, data: Dataset, rows: Rows, template: Rows, media: Rows, device: torch.device) -> Tensor:
    """Features of N templates, float32 N×F of unit length: the mean over a medium's frames, then over the template's media.

    Of each row, ``template`` (0 … N - 1) and ``media`` (0 … K - 1) say whose it is; a medium belongs to one template. It is
    the paper's video and media pooling (section 5, after Masi et al. 2018).
    """
    frames = np.bincount(media)
    owner = np.zeros(len(frames), np.int64)
    owner[media] = template
    of_media, done = None, 0
    for features in feature_batches(matcher, data, rows, device):
        if of_media is None:
            of_media = torch.zeros(len(frames), features.shape[1], dtype=torch.float64)
        of_media.index_add_(0, torch.from_numpy(media[done : done + len(features)]), features.double())
        done += len(features)
    if of_media is None:
        raise ValueError("there is no face in any template")
    of_media /= torch.from_numpy(frames)[:, None]
    pooled = torch.zeros(int(owner.max()) + 1, of_media.shape[1], dtype=torch.float64)
    pooled.index_add_(0, torch.from_numpy(owner), of_media)
    pooled /= torch.from_numpy(np.bincount(owner))[:, None]
    return torch.nn.functional.normalize(pooled, dim=1).float()


def _read(data: Dataset, rows: Rows) -> NDArray[np.uint8]:
    return np.asarray(data.images[rows])
