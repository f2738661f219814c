"""From a photograph and five points to an aligned face: alignment by the eyes, and the head's yaw.

Points are float32 K×2 (x, y) in pixels, pixel centres at integer coordinates. The five points are left eye, right eye,
nose tip, left mouth corner, right mouth corner; left is the viewer's left. Matrices are 2×3 and map photograph pixels to
pixels of the aligned image.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from legan.platform.data.dataset import DEFAULT_ALIGNMENT, Alignment
from legan.platform.errors import ImageError

Points = NDArray[np.float32]

HEAD = np.array([[-0.50, 0.0, 0.0], [0.50, 0.0, 0.0], [0.0, -0.60, 0.45], [-0.40, -1.05, 0.10], [0.40, -1.05, 0.10]], np.float64)
"""Eyes, nose tip and mouth corners of an average head in units of the eye distance: x to the viewer's right, y up, z towards the
viewer, from the point between the eyes."""


@dataclass(frozen=True)
class AlignedFace:
    """An aligned face: uint8 size×size×3, the points in its pixels, and the 2×3 matrix that brought them there."""

    image: NDArray[np.uint8]
    points: Points
    matrix: NDArray[np.float64]


def align_face(image: NDArray[np.uint8], points: Points, alignment: Alignment = DEFAULT_ALIGNMENT) -> AlignedFace:
    """Turn, scale and shift a photograph so that the eyes (``points[0]``, ``points[1]``) lie where ``alignment`` says.

    What lies outside the photograph repeats its edge pixels. Raises ImageError where the eyes coincide.
    """
    matrix = eye_matrix(points, alignment)
    return AlignedFace(warp(image, matrix, alignment.image_size), transform_points(points, matrix), matrix)


def eye_matrix(points: Points, alignment: Alignment) -> NDArray[np.float64]:
    """The 2×3 similarity that takes the eyes to their places; ImageError where the eyes coincide."""
    # A similarity of the plane is z → a·z + b on complex numbers, fixed by two points.
    (left, right), (left_to, right_to) = (eyes[:2].astype(np.float64) @ [1, 1j] for eyes in (points, alignment.eyes))
    if abs(right - left) < 1e-3:
        raise ImageError("the two eyes of this face lie on one point, so it cannot be aligned.")
    a = (right_to - left_to) / (right - left)
    b = left_to - a * left
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Photograph H×W×3 → aligned uint8 size×size×3 by a similarity; free of aliasing when it shrinks.

    Strong shrinking averages whole blocks of pixels first; the rest (less than 2×) is a slight blur and one bilinear step.
    """
    inverse = invert(matrix)
    shrink = float(np.hypot(inverse[0, 0], inverse[1, 0]))
    block = max(1, int(shrink))
    corners = transform_points(np.array([[-1, -1], [size, -1], [-1, size], [size, size]], np.float32), inverse)
    margin = 2 * block + 2
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - margin, 0, np.array(image.shape[1::-1]) - 1)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + margin, low + 1, np.array(image.shape[1::-1]))
    part = image[low[1] : high[1], low[0] : high[0]]
    if block > 1:
        pad_y, pad_x = -part.shape[0] % block, -part.shape[1] % block
        part = cv2.copyMakeBorder(part, 0, pad_y, 0, pad_x, cv2.BORDER_REPLICATE)
        part = cv2.resize(part, (part.shape[1] // block, part.shape[0] // block), interpolation=cv2.INTER_AREA)
    # photograph x = low + block · (part x) + (block − 1) / 2
    to_photo = np.array([[block, 0, low[0] + (block - 1) / 2], [0, block, low[1] + (block - 1) / 2], [0, 0, 1]])
    rest = shrink / block
    if rest > 1.01:
        part = cv2.GaussianBlur(part, (0, 0), 0.5 * float(np.sqrt(rest**2 - 1)), borderType=cv2.BORDER_REPLICATE)
    warped = cv2.warpAffine(part, matrix @ to_photo, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 2×3 matrix of the opposite direction: aligned pixels to photograph pixels."""
    return np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))[:2]


def transform_points(points: Points, matrix: NDArray[np.float64]) -> Points:
    """K×2 points through a 2×3 matrix, float32 K×2."""
    return (points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def estimate_yaw(points: Points) -> float:
    """How far the head is turned, in degrees, from the five points; positive = towards the viewer's right.

    Fits an average head under weak perspective (any pitch, roll, size and place). Trust the sign and rough size: five
    points of a head of other proportions are off by several degrees. 0 where the points lie on a line.
    """
    upright = points.astype(np.float64) * [1, -1]
    model = np.column_stack([HEAD, np.ones(5)])
    camera = np.linalg.lstsq(model, upright, rcond=None)[0][:3].T
    u, scales, v = np.linalg.svd(camera, full_matrices=False)
    if scales[1] < 1e-6 * max(1.0, scales[0]):
        return 0.0
    right, up = u @ v
    # Third row of roll · pitch · yaw: (−sin yaw cos pitch, sin pitch, cos yaw cos pitch), whatever the roll.
    towards = np.cross(right, up)
    return float(np.degrees(np.arctan2(-towards[0], towards[2])))
