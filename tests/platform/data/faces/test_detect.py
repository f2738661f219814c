from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from legan.platform.data.align import estimate_yaw
from legan.platform.data.faces.detect import FaceDetector
from legan.platform.data.image import read_image


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def test_finds_the_drawn_face(detector: FaceDetector, draw_face: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    image, five = draw_face()
    (face,) = detector.detect(image)
    assert face.confidence > 0.9
    np.testing.assert_allclose(face.points, five, atol=4)
    assert abs(estimate_yaw(face.points)) < 10
    assert 100 < face.size < 200


def test_largest_face_first(detector: FaceDetector, draw_face: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    small, large = draw_face(150, 34, (75, 60))[0], draw_face()[0]
    scene = np.full((256, 406, 3), 125, np.uint8)
    scene[40:190, :150] = small
    scene[:, 150:] = large
    found = detector.detect(scene)
    assert len(found) == 2
    assert found[0].size > found[1].size
    assert found[0].points[0, 0] > 150


@pytest.mark.parametrize("shape", [(1, 1), (12, 300), (39, 39), (40, 40), (200, 41)])
def test_no_face_in_empty_and_tiny_images(detector: FaceDetector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 128, np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert detector.detect(noise) == []


def test_finds_every_face_of_real_photographs(detector: FaceDetector, photos: Path) -> None:
    counts = {path.name: len(detector.detect(read_image(path))) for path in sorted(photos.glob("*.jpg"))}
    assert counts.pop("group.jpg") == 6
    assert set(counts.values()) == {1}
