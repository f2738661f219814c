"""From a photograph to aligned faces: detection, alignment by the eyes, and the head's yaw.

Points are float32 K×2 (x, y) in pixels, pixel centres at integer coordinates. The five points are left eye, right eye,
nose tip, left mouth corner, right mouth corner; left is the viewer's left. Matrices are 2×3 and map photograph pixels to
pixels of the aligned image.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from legan.platform.data.dataset import DEFAULT_ALIGNMENT, Alignment
from legan.platform.data.image import LEAST_FACE
from legan.platform.errors import ImageError, first_line

Points = NDArray[np.float32]

# Eyes, nose tip and mouth corners of an average head in units of the eye distance: x to the viewer's right, y up, z
# towards the viewer, from the point between the eyes.
_HEAD = np.array([[-0.50, 0.0, 0.0], [0.50, 0.0, 0.0], [0.0, -0.60, 0.45], [-0.40, -1.05, 0.10], [0.40, -1.05, 0.10]], np.float64)
_MIN_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Face:
    """A detected face: box (x0, y0, x1, y1) in pixels, the five points, and the detector's confidence from 0 to 1."""

    box: NDArray[np.float32]
    points: Points
    confidence: float

    @property
    def size(self) -> float:
        """The shorter side of the box in pixels."""
        return float(min(self.box[2] - self.box[0], self.box[3] - self.box[1]))


class FaceDetector:
    """MTCNN with the weights that come in the facenet-pytorch package; nothing is downloaded."""

    def __init__(self, min_size: int = 40, device: str = "cpu"):
        """Look for faces of ``min_size`` pixels or more (LEAST_FACE at the least); halving it costs up to four times the work."""
        from facenet_pytorch import MTCNN  # here, because it imports torchvision: seconds that few processes need to wait

        self.min_size = max(LEAST_FACE, min_size)
        self._mtcnn = MTCNN(keep_all=True, min_face_size=self.min_size, post_process=False, device=torch.device(device)).eval()

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """All faces of a uint8 H×W×3 image, the largest first; an empty list where there is none."""
        # MTCNN's image pyramid has no level for such images, and it fails on an empty pyramid.
        if min(image.shape[:2]) < self.min_size:
            return []
        try:
            boxes, confidences, points = self._mtcnn.detect(image, landmarks=True)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError) as error:
            # Candidates of no area inside the image leave its second and third stage with counts that differ.
            raise ImageError(f"the face detector failed on this image: {first_line(error)}") from error
        if boxes is None:
            return []
        faces = [
            Face(np.asarray(box, np.float32), np.asarray(five, np.float32), float(confidence))
            for box, confidence, five in zip(boxes, confidences, points, strict=True)
            if confidence >= _MIN_CONFIDENCE
        ]
        return sorted(faces, key=lambda face: (-float(np.prod(face.box[2:] - face.box[:2])), -face.confidence))


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
    model = np.column_stack([_HEAD, np.ones(5)])
    camera = np.linalg.lstsq(model, upright, rcond=None)[0][:3].T
    u, scales, v = np.linalg.svd(camera, full_matrices=False)
    if scales[1] < 1e-6 * max(1.0, scales[0]):
        return 0.0
    right, up = u @ v
    # Third row of roll · pitch · yaw: (−sin yaw cos pitch, sin pitch, cos yaw cos pitch), whatever the roll.
    towards = np.cross(right, up)
    return float(np.degrees(np.arctan2(-towards[0], towards[2])))
