"""The hull mask: the part of an aligned image that is face, and the mean shape it is drawn from (paper, section 3).

Q sees faces with everything outside the convex hull of their landmarks black. Points are float32 K×2 (x, y) in pixels,
pixel centres at integer coordinates; masks are bool H×W, True inside. Left is the viewer's left.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]

DILATION = 0.02
"""Default widening of the hull on every side, as a share of the image size (2.56 pixels at 128)."""

_FINE, _SHIFT = 4, 4

# The viewer's left half of an average face in iBUG's order of 68 points, and the points on its axis: x to the right, y
# down, the eyes' centres at (±0.5, 0). The five points of such a face are the eyes' centres, point 30, and 48 and 54.
_JAW = [(-1.09, -0.04), (-1.08, 0.23), (-1.04, 0.50), (-0.97, 0.77), (-0.86, 1.03), (-0.69, 1.26), (-0.48, 1.45), (-0.25, 1.58)]
_BROW = [(-0.90, -0.22), (-0.78, -0.34), (-0.61, -0.38), (-0.42, -0.36), (-0.20, -0.29)]
_EYE = [(-0.72, 0.01), (-0.58, -0.06), (-0.42, -0.06), (-0.28, 0.02), (-0.42, 0.055), (-0.58, 0.055)]
_BRIDGE = [(0.0, 0.0), (0.0, 0.19), (0.0, 0.38), (0.0, 0.57)]
_NOSTRILS = [(-0.23, 0.69), (-0.12, 0.73), (0.0, 0.76)]
_UPPER_LIP = [(-0.42, 1.08), (-0.27, 1.01), (-0.10, 0.97), (0.0, 0.99)]
_LOWER_LIP = [(-0.27, 1.19), (-0.12, 1.25), (0.0, 1.26)]
_INNER_UPPER = [(-0.35, 1.08), (-0.12, 1.055), (0.0, 1.06)]
_INNER_LOWER = [(-0.12, 1.10), (0.0, 1.11)]


def mean_shape() -> Points:
    """The 68 points of an average frontal face, float32 68×2, in units of the eye distance.

    x to the right and y down from the point between the eyes; symmetric about x = 0.
    """
    points = [*_arc([*_JAW, (0.0, 1.62)]), *_BROW, *_mirrored(_BROW), *_BRIDGE, *_arc(_NOSTRILS), *_EYE]
    # The right eye starts at its inner corner and, as the left one, runs over its upper lid first.
    right_eye = [_EYE[i] for i in (3, 2, 1, 0, 5, 4)]
    points += [(-x, y) for x, y in right_eye]
    points += [*_arc(_UPPER_LIP), *_arc(_LOWER_LIP)[::-1]]
    points += [*_arc(_INNER_UPPER), *_arc(_INNER_LOWER)[::-1]]
    return np.array(points, np.float32)


def five_points(shape: Points) -> Points:
    """Eye centres, nose tip and mouth corners of 68 landmarks, float32 5×2, in the detector's order."""
    five = [shape[36:42].mean(axis=0), shape[42:48].mean(axis=0), shape[30], shape[48], shape[54]]
    return np.array(five, np.float32)


def place_mean_shape(points: Points) -> Points:
    """The mean shape moved by the affine map that fits its five points best (least squares) to ``points`` 5×2, 68×2."""
    shape = mean_shape().astype(np.float64)
    own = np.column_stack([five_points(mean_shape()), np.ones(5)]).astype(np.float64)
    affine = np.linalg.lstsq(own, points.astype(np.float64), rcond=None)[0]
    placed = np.column_stack([shape, np.ones(len(shape))]) @ affine
    return np.asarray(placed, np.float32)


def pack_mask(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Packed bits, uint8 …×⌈H·W/8⌉, of bool …×H×W masks."""
    return np.packbits(masks.reshape(*masks.shape[:-2], -1), axis=-1)


def unpack_mask(packed: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """Bool …×size×size from packed bits; the inverse of ``pack_mask``."""
    bits = np.unpackbits(np.ascontiguousarray(packed), axis=-1, count=size * size)
    return bits.astype(np.bool_).reshape(*packed.shape[:-1], size, size)


def hull_mask(landmarks: Points, size: int, dilate: float = DILATION) -> NDArray[np.bool_]:
    """Convex hull of the landmarks (K×2, K ≥ 3) in a size×size image, widened by ``dilate`` · size, bool size×size."""
    # Drawn four times as large, because OpenCV also fills every pixel that an edge merely touches.
    fine = np.asarray(landmarks, np.float64) * _FINE + (_FINE - 1) / 2
    hull = cv2.convexHull(fine.astype(np.float32).reshape(-1, 1, 2))
    corners = np.round(hull * 2**_SHIFT).astype(np.int32)
    mask = np.zeros((size * _FINE, size * _FINE), np.uint8)
    cv2.fillPoly(mask, [corners], (255,), shift=_SHIFT)
    radius = dilate * size * _FINE
    if radius >= 0.5:
        cv2.polylines(mask, [corners], isClosed=True, color=(255,), thickness=round(2 * radius), shift=_SHIFT)
    small = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small >= 128, np.bool_)


def _mirrored(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(-x, y) for x, y in reversed(points)]


def _arc(half: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A left half ending on the axis, and its mirror image."""
    return [*half, *_mirrored(half[:-1])]
