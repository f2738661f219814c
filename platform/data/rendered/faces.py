"""All pictures of one person: any expressions under any lightings, and where the landmarks are.

Needs neither torch nor a data set, so that worker processes start quickly.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from legan.platform.data.rendered.canvas import Camera
from legan.platform.data.rendered.head import EXPRESSIONS, Identity, landmarks, sample_identity, sample_pose
from legan.platform.data.rendered.light import LIGHTINGS, shade
from legan.platform.data.rendered.surface import paint

_WORKING_SIZE = 128


class RenderedFaces(NamedTuple):
    """Uint8 E×L×H×W×3 images of E expressions under L lightings, and float32 E×68×2 landmarks in pixels (x, y)."""

    images: NDArray[np.uint8]
    landmarks: NDArray[np.float32]


def render_faces(
    identity: int,
    *,
    size: int = 128,
    seed: int = 0,
    expressions: Sequence[str] = EXPRESSIONS,
    lightings: Sequence[str] = LIGHTINGS,
) -> RenderedFaces:
    """Person number ``identity`` of ``seed`` with these expressions under these lightings.

    All lightings of an expression share geometry, colours and camera to the pixel, so each is the exact target of the
    others; between expressions the camera moves a little, as between photographs aligned by the eyes. The same
    arguments give the same bytes. Raises ValueError for a name that is not in EXPRESSIONS or LIGHTINGS.

    >>> render_faces(7, size=32, expressions=("neutral", "smile"), lightings=("front",)).images.shape
    (2, 1, 32, 32, 3)
    """
    unknown = [*(set(expressions) - set(EXPRESSIONS)), *(set(lightings) - set(LIGHTINGS))]
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; expressions are {EXPRESSIONS}, lightings {LIGHTINGS}")
    who = sample_identity(identity, seed)
    images = np.empty((len(expressions), len(lightings), size, size, 3), np.uint8)
    points = np.empty((len(expressions), 68, 2), np.float32)
    for row, expression in enumerate(expressions):
        camera = sample_camera(expression, identity, seed)
        images[row], points[row] = picture(who, expression, camera, size, lightings, identity, seed)
    return RenderedFaces(images, points)


def picture(
    who: Identity, expression: str, camera: Camera, size: int, lightings: Sequence[str], identity: int = 0, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One person, expression and camera: uint8 L×H×W×3, and float32 68×2 landmarks.

    Pictures below 128 are drawn at a multiple of their size and averaged down, so that all sizes look the same.
    """
    pose = sample_pose(expression, identity, seed)
    factor = -(-_WORKING_SIZE // size)
    drawn = shade(paint(who, pose, camera, size * factor), lightings)
    if factor > 1:
        drawn = np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in drawn])
    return drawn, camera.pixels(landmarks(who, pose), size)


def face_landmarks(identity: int, *, size: int = 128, seed: int = 0) -> NDArray[np.float32]:
    """The landmarks that ``render_faces`` gives for all expressions, without drawing: float32 E×68×2."""
    who = sample_identity(identity, seed)
    return np.stack(
        [
            sample_camera(expression, identity, seed).pixels(landmarks(who, sample_pose(expression, identity, seed)), size)
            for expression in EXPRESSIONS
        ]
    )


def sample_camera(expression: str, identity: int, seed: int = 0) -> Camera:
    """A camera that moves the eyes by about a pixel of 128 at the most: half a pixel, one degree, one percent."""
    rng = np.random.default_rng([seed, identity, 3, EXPRESSIONS.index(expression)])
    x, y, turn, scale = rng.uniform(-1, 1, 4)
    return Camera(x=float(0.003 * x), y=float(0.003 * y), turn=float(np.radians(1.0) * turn), scale=float(1 + 0.01 * scale))


class PortraitOrder(NamedTuple):
    """What one worker draws: one person, and for each expression the lightings wanted."""

    identity: int
    size: int
    seed: int
    wanted: tuple[tuple[str, tuple[str, ...]], ...]


def draw(order: PortraitOrder) -> NDArray[np.uint8]:
    """The pictures of an order, uint8 n×H×W×3, expression by expression."""
    return np.concatenate(
        [
            render_faces(order.identity, size=order.size, seed=order.seed, expressions=(expression,), lightings=lightings).images[
                0
            ]
            for expression, lightings in order.wanted
        ]
    )


def be_single_threaded() -> None:
    """Start of a worker process: the processes are the parallelism."""
    cv2.setNumThreads(1)
