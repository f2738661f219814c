"""The 68 landmarks of a face: the mean shape placed by the five points, or exact ones from the face-alignment extra.

Which of them is a setting of the data set, and never follows from what is installed. The extra's network (2DFAN-4, about 95 MB)
is a download of its own, never fetched on the way; whoever asks for exact landmarks without it is told what to put where.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from legan.platform.data.align import transform_points
from legan.platform.data.faces.detect import Face
from legan.platform.data.faces.find import turned_upright
from legan.platform.data.masks import Points, place_mean_shape
from legan.platform.errors import ImageError, WeightsError

Kind = Literal["mean", "exact"]

WEIGHTS_NAME = "2DFAN4-11f355bf06.pth.tar"
WEIGHTS_URL = f"https://www.adrianbulat.com/downloads/python-fan/{WEIGHTS_NAME}"


NAMES: dict[Kind, str] = {
    "mean": "a mean face shape",
    "exact": "exact, by face-alignment",
}
"""What is said of them to people."""

Landmarker = Callable[[NDArray[np.uint8], Face], Points]
"""From a photograph, uint8 H×W×3, and a face in it to 68 landmarks in the photograph's pixels, float32 68×2."""


def weights_path() -> Path:
    """Where the extra looks for its network: torch's hub folder, moved with TORCH_HOME."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME


def require_landmarks(wanted: Kind) -> None:
    """WeightsError where these landmarks need a package or a network that is not here."""
    if wanted == "mean":
        return
    if importlib.util.find_spec("face_alignment") is None:
        raise WeightsError("exact landmarks need the optional package: pip install 'legan[face-alignment]'.")
    if not weights_path().is_file():
        raise WeightsError(f"exact landmarks need {WEIGHTS_NAME}: download {WEIGHTS_URL} to {weights_path()}.")


def make_landmarker(kind: Kind) -> Landmarker:
    """The function that gives a face its 68 landmarks."""
    return _ExactLandmarks() if kind == "exact" else _mean_landmarks


def _mean_landmarks(image: NDArray[np.uint8], face: Face) -> Points:
    return place_mean_shape(face.points)


class _ExactLandmarks:
    def __init__(self) -> None:
        import face_alignment

        # "folder" is the one detector of that package that loads no network; the faces come from ours.
        self._network = face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D, device="cpu", face_detector="folder", flip_input=False, compile=False
        )

    def __call__(self, image: NDArray[np.uint8], face: Face) -> Points:
        # The network knows upright faces only.
        upright, turned, back = turned_upright(image, face)
        found = self._network.get_landmarks_from_image(upright, detected_faces=[turned.box.tolist()])
        if not found:
            raise ImageError("no landmarks were found on this face.", kind="no_landmarks")
        return transform_points(np.asarray(found[0], np.float32), back)
