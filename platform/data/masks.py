"""The hull mask: the part of an aligned image that is face (paper, section 3; DESIGN.md, data set).

Q sees faces with everything outside the convex hull of their landmarks black. Points are float32 K×2 (x, y) in pixels,
pixel centres at integer coordinates; masks are bool H×W, True inside.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]

DILATION = 0.02
"""Default widening of the hull on every side, as a share of the image size (2.56 pixels at 128)."""


def pack_mask(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Packed bits, uint8 …×⌈H·W/8⌉, of bool …×H×W masks."""
    return np.packbits(masks.reshape(*masks.shape[:-2], -1), axis=-1)


def unpack_mask(packed: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """Bool …×size×size from packed bits; the inverse of ``pack_mask``."""
    bits = np.unpackbits(np.ascontiguousarray(packed), axis=-1, count=size * size)
    return bits.astype(np.bool_).reshape(*packed.shape[:-1], size, size)


def hull_mask(landmarks: Points, size: int, dilate: float = DILATION) -> NDArray[np.bool_]:
    """Convex hull of the landmarks (K×2, K ≥ 3) in a size×size image, widened by ``dilate`` · size, bool size×size."""
    hull = cv2.convexHull(np.asarray(landmarks, np.float32).reshape(-1, 1, 2))
    bits = 4
    corners = np.round(hull * 2**bits).astype(np.int32)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [corners], (1,), lineType=cv2.LINE_8, shift=bits)
    radius = dilate * size
    if radius > 0:
        cv2.polylines(mask, [corners], isClosed=True, color=(1,), thickness=max(1, round(2 * radius)), shift=bits)
    return mask.astype(np.bool_)
