"""The hull of an output's own face: MTCNN's five points in it, and the mean shape placed by them, as photographs are masked.

An aligned image shows little but the face. So it is enlarged to 128 pixels and given a margin before the detector sees it.

Shapes: B batch, H×W pixels.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from legan.platform.data.align import Points
from legan.platform.data.dataset import Dataset
from legan.platform.data.faces.find import MISFIT, ROLL, Detector
from legan.platform.data.faces.fit import fit_head
from legan.platform.data.masks import hull_mask, place_mean_shape
from legan.platform.errors import ImageError
from legan.platform.evaluation.pairs import Rows
from legan.platform.pixels import to_images

SIDE, MARGIN, LEAST = 128, 32, 48
"""Pixels that images are brought to, of the margin that repeats their edges, and of the smallest face in such an image."""


def own_hulls(images: Tensor, otherwise: Tensor, detector: Detector) -> tuple[Tensor, Tensor]:
    """Hulls of float B×3×H×H images in [-1, 1], bool B×1×H×H, and in which a face was found, bool B.

    Where none was found, the hull is that of ``otherwise``.
    """
    hulls, found = otherwise.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for i, image in enumerate(to_images(images)):
        points = five_points_in(image, detector)
        if points is not None:
            hull = hull_mask(place_mean_shape(points), image.shape[0])
            hulls[i, 0], found[i] = torch.from_numpy(hull).to(hulls.device), True
    return hulls, found


class RealFaces:
    """In which real images of a data set a face is found; each image is looked at once."""

    def __init__(self, data: Dataset, detector: Detector):
        self._data, self._detector = data, detector
        self._known: dict[int, bool] = {}

    def found(self, rows: Rows, device: torch.device) -> Tensor:
        """Whether a face is found in each of these rows, bool B."""
        for row in rows.tolist():
            if row not in self._known:
                self._known[row] = five_points_in(self._data.images[row], self._detector) is not None
        return torch.tensor([self._known[row] for row in rows.tolist()], dtype=torch.bool, device=device)


def five_points_in(image: NDArray[np.uint8], detector: Detector) -> Points | None:
    """The five points of the largest face of an aligned uint8 H×H×3 image in its pixels, float32 5×2; None without a face."""
    size = image.shape[0]
    how = cv2.INTER_AREA if size > SIDE else cv2.INTER_CUBIC
    large = np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=how), np.uint8)
    view = np.pad(large, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    try:
        faces = detector.detect(view, LEAST)
    except ImageError:
        return None
    for face in faces:
        fit = fit_head(face.points)
        if fit.misfit <= MISFIT and abs(fit.roll) <= ROLL:
            points: Points = ((face.points - MARGIN + 0.5) * (size / SIDE) - 0.5).astype(np.float32)
            return points
    return None
