"""A drawn face the detector finds, so that these tests need no photograph."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

Drawn = tuple[NDArray[np.uint8], NDArray[np.float64]]


def _draw_face(size: int = 256, eye: float = 60.0, centre: tuple[float, float] = (128.0, 105.0)) -> Drawn:
    """A face with eyes ``eye`` apart around ``centre``, uint8 size×size×3, and its five points."""
    image = np.full((size, size, 3), (120, 130, 140), np.uint8)
    middle = np.array(centre)

    def ellipse(x: float, y: float, half_width: float, half_height: float, colour: tuple[int, int, int]) -> None:
        at = np.round((middle + np.array([x, y]) * eye) * 16).astype(int)
        axes = np.round(np.array([half_width, half_height]) * eye * 16).astype(int)
        cv2.ellipse(image, at.tolist(), axes.tolist(), 0, 0, 360, colour, -1, cv2.LINE_AA, 4)

    ellipse(0, -0.05, 1.35, 1.65, (50, 35, 25))
    ellipse(0, 0.45, 1.08, 1.32, (215, 170, 145))
    ellipse(0, -0.55, 0.80, 0.35, (225, 182, 158))
    for side in (-1, 1):
        ellipse(side * 0.5, 0, 0.33, 0.18, (180, 135, 112))
        ellipse(side * 0.5, 0, 0.23, 0.10, (245, 245, 245))
        ellipse(side * 0.5, 0, 0.10, 0.10, (50, 35, 25))
        brow = middle + np.array([[side * 0.85, -0.22], [side * 0.55, -0.34], [side * 0.2, -0.27]]) * eye
        cv2.polylines(
            image, [np.round(brow * 16).astype(np.int32)], False, (60, 40, 30), max(2, round(0.09 * eye)), cv2.LINE_AA, 4
        )
        ellipse(side * 0.2, 0.35, 0.07, 0.35, (200, 155, 130))
        ellipse(side * 0.13, 0.68, 0.07, 0.04, (120, 75, 60))
    ellipse(0, 0.6, 0.2, 0.12, (228, 185, 160))
    ellipse(0, 0.3, 0.09, 0.3, (228, 185, 160))
    ellipse(0, 1.12, 0.42, 0.13, (165, 75, 75))
    ellipse(0, 1.1, 0.38, 0.025, (90, 35, 35))
    five = middle + np.array([[-0.5, 0], [0.5, 0], [0, 0.57], [-0.42, 1.12], [0.42, 1.12]]) * eye
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.2), np.uint8), five


@pytest.fixture(scope="session")
def draw_face() -> Callable[..., Drawn]:
    return _draw_face
