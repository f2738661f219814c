"""Faces of an image that is taken as it lies: MTCNN's boxes and five points.

The five points are left eye, right eye, nose tip, left mouth corner, right mouth corner; left is the viewer's left.
"""

from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from legan.platform.data.align import Points
from legan.platform.data.image import LEAST_FACE
from legan.platform.errors import ImageError, first_line

_MIN_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Face:
    """A detected face: box (x0, y0, x1, y1) in pixels, the five points, and the detector's confidence from 0 to 1.

    ``attempt`` names the attempt of find.py that showed it.
    """

    box: NDArray[np.float32]
    points: Points
    confidence: float
    attempt: str = "as_it_is"

    @property
    def size(self) -> float:
        """The shorter side of the box in pixels."""
        return float(min(self.box[2] - self.box[0], self.box[3] - self.box[1]))


class FaceDetector:
    """MTCNN with the weights that come in the facenet-pytorch package; nothing is downloaded."""

    def __init__(self, device: str = "cpu"):
        from facenet_pytorch import MTCNN  # here, because it imports torchvision: seconds that few processes need to wait

        self._mtcnn = MTCNN(keep_all=True, post_process=False, device=torch.device(device)).eval()

    def detect(self, image: NDArray[np.uint8], min_size: int = 40) -> list[Face]:
        """All faces of a uint8 H×W×3 image, the largest first; an empty list where there is none.

        They are of ``min_size`` pixels or more (LEAST_FACE at the least); halving it costs up to four times the work.
        """
        min_size = max(LEAST_FACE, min_size)
        # MTCNN's image pyramid has no level for such images, and it fails on an empty pyramid.
        if min(image.shape[:2]) < min_size:
            return []
        # A copy with the same networks, since other threads may be looking for faces of other sizes.
        mtcnn = copy(self._mtcnn)
        mtcnn.min_face_size = min_size
        try:
            boxes, confidences, points = mtcnn.detect(image, landmarks=True)
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
