"""A translated face put back into the photograph it was cut from.

Points are (x, y) in pixels, pixel centres at integer coordinates; a matrix 2×3 takes photograph pixels to pixels of the aligned
face of size S×S.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from legan.platform.data.align import invert, transform_points
from legan.platform.data.masks import hull_mask, place_mean_shape

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]

FOREHEAD = 0.30
FEATHER = 0.08


def face_weight(points: Points, size: int) -> NDArray[np.float32]:
    """How much of each pixel of an aligned face comes from the translation, float32 size×size in [0, 1].

    1 inside the face, the forehead included, falling smoothly to 0 within 8 % of the size outside it, and 0 at the edge of the
    image. ``points`` are the five points of the aligned face, 5×2.
    """
    landmarks = place_mean_shape(points)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    up = (eyes - mouth) / max(float(np.linalg.norm(eyes - mouth)), 1e-6)
    # The 68 landmarks end at the brows; light on the forehead changes with light on the face.
    brows = landmarks[17:27]
    centre = brows.mean(axis=0)
    forehead = centre + (brows - centre) * 0.8 + up * FOREHEAD * size * 0.5
    mask = hull_mask(np.concatenate([landmarks, forehead]).astype(np.float32), size, dilate=0.0)
    border = np.pad(np.ones((size - 2, size - 2), np.uint8), 1)
    feather = FEATHER * size
    outside = cv2.distanceTransform(1 - mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    to_edge = cv2.distanceTransform(border, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    nearness = np.minimum(1 - outside / feather, (to_edge - 1) / feather)
    return _smoothstep(np.asarray(nearness, np.float32))


def paste_face(photo: Picture, face: Picture, weight: NDArray[np.float32], matrix: NDArray[np.float64]) -> Picture:
    """``photo`` H×W×3 with the translated ``face`` S×S×3 laid over it, uint8 H×W×3.

    ``weight`` float32 S×S says how much of the face is taken; where it is 0 after the warp, and outside the face, the photograph
    keeps its bytes. A face smaller in the photograph than S is blurred first, so that nothing aliases; a larger one stays as
    soft as S pixels are.
    """
    size = face.shape[0]
    inverse = invert(matrix)
    corners = transform_points(np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float32) - 0.5, inverse)
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, None)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, photo.shape[1::-1])
    if (high <= low).any():
        return photo.copy()

    width, height = (int(side) for side in high - low)
    to_part = np.array([[1.0, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ np.vstack([inverse, [0, 0, 1]])
    shrink = 1 / float(np.hypot(inverse[0, 0], inverse[1, 0]))
    source = face.astype(np.float32)
    if shrink > 1.01:
        source = cv2.GaussianBlur(source, (0, 0), 0.5 * float(np.sqrt(shrink**2 - 1)), borderType=cv2.BORDER_REPLICATE)
    warped = cv2.warpAffine(source, to_part[:2], (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(weight, to_part[:2], (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    alpha = weight[..., None]

    pasted = photo.copy()
    part = pasted[low[1] : high[1], low[0] : high[0]]
    blended = part + alpha * (warped - part)
    part[...] = np.where(alpha > 0, np.clip(np.rint(blended), 0, 255), part).astype(np.uint8)
    return pasted


def _smoothstep(values: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(values, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), np.float32)
