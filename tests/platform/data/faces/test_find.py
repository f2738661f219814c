from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from legan.platform.data.align import DEFAULT_ALIGNMENT, align_face, transform_points
from legan.platform.data.faces.attempts import ATTEMPTS, quarters
from legan.platform.data.faces.detect import Face, FaceDetector
from legan.platform.data.faces.find import OUTSIDE, FaceFinder, Search, turned_upright
from legan.platform.data.image import read_image
from legan.platform.data.masks import five_points, mean_shape
from legan.platform.errors import ImageError

FIVE = five_points(mean_shape()) * 40 + np.array([150, 130], np.float32)
SIDE = 300


def face(confidence: float, points: np.ndarray = FIVE, side: float = 90) -> Face:
    return Face(np.array([105, 95, 105 + side, 110 + side], np.float32), points.astype(np.float32), confidence)


class Scripted:
    """Stands for the detector: what it sees, by how many quarters a square photograph with a white corner is turned."""

    def __init__(self, *faces: list[Face], error: int | None = None):
        self.faces, self.error, self.looks = faces, error, 0

    def detect(self, image: np.ndarray, min_size: int) -> list[Face]:
        self.looks += 1
        side = len(image)
        corners = [image[at].min() for at in ((0, 0), (0, side - 1), (side - 1, side - 1), (side - 1, 0))]
        if max(corners) < 200 or side != SIDE:
            return []  # within a margin, or smaller
        turns = int(np.argmax(corners))
        if turns == self.error:
            raise ImageError("the face detector failed on this image: no.")
        return self.faces[turns] if turns < len(self.faces) else []


class InAMargin:
    """Stands for the detector: a face where the photograph lies within a black margin, upright, and none elsewhere."""

    def __init__(self, confidence: float):
        self.confidence = confidence

    def detect(self, image: np.ndarray, min_size: int) -> list[Face]:
        border = len(image) // 6  # a quarter of the photograph on both sides
        if image[0].any() or not image[border, border].all():
            return []
        return [face(self.confidence, FIVE + np.array([border, border], np.float32))]


def search(*faces: list[Face], error: int | None = None) -> tuple[Search, int]:
    photo = np.full((SIDE, SIDE, 3), 90, np.uint8)
    photo[0, 0] = 255
    detector = Scripted(*faces, error=error)
    return FaceFinder(detector, 40).find(photo), detector.looks


def by(found: Search) -> set[str]:
    return {each.attempt for each in found.faces}


def test_a_photograph_with_a_sure_upright_face_is_looked_at_once() -> None:
    (found, failed), looks = search([face(0.998)], [face(1.0)], [face(1.0)], [face(1.0)])
    assert (looks, failed) == (1, [])
    np.testing.assert_array_equal(found[0].points, FIVE)


def test_the_surest_turn_serves_and_an_upright_face_is_preferred() -> None:
    assert by(search([face(0.99)], [], [face(0.9999)])[0]) == {"turned_180"}
    assert by(search([face(0.99)], [], [face(0.994)])[0]) == {"as_it_is"}, "not surer by a factor of two"
    assert by(search([], [face(0.95)], [face(0.96)], [face(0.97)])[0]) == {"turned_270"}
    assert by(search([face(0.93)])[0]) == {"as_it_is"}, "nothing else is there"


def test_points_that_fit_no_upright_head_do_not_count() -> None:
    upside_down = FIVE[[4, 3, 2, 1, 0]]
    assert by(search([face(1.0, upside_down)], [], [face(0.95)])[0]) == {"turned_180"}
    crossed = face(1.0, FIVE[[0, 3, 2, 1, 4]])
    found, looks = search([crossed])
    assert (found.faces, found.kind, looks) == ([], "no_head", len(ATTEMPTS))
    assert found.why == ("as it is: nothing that fits an upright head; turned, with a black margin, smaller: nothing")
    assert len(search([face(0.999), crossed])[0].faces) == 1, "beside a head it is left out"


def test_faces_are_given_in_the_photographs_pixels() -> None:
    (found,) = search([], [face(0.99)])[0].faces
    # Clockwise by a quarter: what was at the left is on top now.
    np.testing.assert_allclose(found.points, np.column_stack([FIVE[:, 1], SIDE - 1 - FIVE[:, 0]]), atol=1e-3)
    np.testing.assert_allclose(found.box, [95, SIDE - 195, 200, SIDE - 105], atol=1e-3)
    photo = np.zeros((SIDE, SIDE, 3), np.uint8)
    upright, there, back = turned_upright(photo, found)
    np.testing.assert_allclose(there.points, FIVE, atol=1e-3)
    np.testing.assert_allclose(there.box, face(0.99).box, atol=1e-3)
    np.testing.assert_allclose(transform_points(there.points, back), found.points, atol=1e-3)
    assert upright.shape == photo.shape


def test_a_face_that_lies_mostly_outside_is_none_and_nothing_is_turned_for_it() -> None:
    outside = face(0.999, FIVE + np.array([145, 0], np.float32))
    found, looks = search([outside], [], [face(0.99)])
    assert (found.faces, found.kind, looks) == ([], "outside", 1)
    assert found.why == "as it is: a face of whose aligned square over a quarter lies outside the photograph"
    assert OUTSIDE == 0.25
    assert len(search([outside, face(0.99)])[0].faces) == 1


def test_a_face_within_a_margin_has_to_be_surer_and_is_given_without_the_margin() -> None:
    photo = np.full((SIDE, SIDE, 3), 90, np.uint8)
    photo[0, 0], photo[-1, 0], photo[0, -1], photo[-1, -1] = 255, 0, 0, 0
    (found,) = FaceFinder(InAMargin(0.96), 40).find(photo).faces
    assert found.attempt == "margin"
    np.testing.assert_allclose(found.points, FIVE, atol=1e-3)
    assert FaceFinder(InAMargin(0.94), 40).find(photo).kind == "no_head"


def test_an_attempt_that_fails_stops_no_other() -> None:
    found, _ = search([], [face(0.99)], error=0)
    assert by(found) == {"turned_90"}
    found, _ = search(error=0)
    assert found.kind == "unusable"
    assert found.why.startswith("as it is: the face detector failed")


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(FaceDetector(), 40)


def test_what_failed_is_said_of_a_photograph_without_a_face(finder: FaceFinder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 140, 3), dtype=np.uint8)
    found = finder.find(noise)
    assert (found.faces, found.kind) == ([], "no_face")
    assert found.why == "as it is, turned, with a black margin, smaller: nothing"
    assert finder.find(np.zeros((1, 1, 3), np.uint8)).faces == []


def turned(photo: np.ndarray, points: np.ndarray, turns: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph against the clock by quarters, and where its points are then."""
    image = np.ascontiguousarray(np.rot90(photo, turns))
    return image, transform_points(points.astype(np.float32), quarters(turns, *image.shape[:2]))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_drawn_faces_are_found_whichever_way_they_lie(
    finder: FaceFinder, draw_face: Callable[..., tuple[np.ndarray, np.ndarray]], turns: int
) -> None:
    photo, five = draw_face()
    image, points = turned(photo, five, turns)
    (found,) = finder.find(image).faces
    assert found.attempt == f"turned_{90 * turns}"
    np.testing.assert_allclose(found.points, points, atol=4)


@pytest.mark.parametrize("name", ["portrait_1.jpg", "celeba_hq_3.jpg", "celeba_hq_8.jpg", "group.jpg"])
def test_turned_photographs_give_the_faces_of_upright_ones(finder: FaceFinder, photos: Path, name: str) -> None:
    photo = read_image(photos / name)
    photo = np.asarray(cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    upright = finder.find(photo).faces
    assert {each.attempt for each in upright} == {"as_it_is"}
    aligned = align_face(photo, upright[0].points, DEFAULT_ALIGNMENT).image.astype(float)
    for turns in (1, 2, 3):
        image, points = turned(photo, upright[0].points, turns)
        found = finder.find(image).faces
        assert {each.attempt for each in found} == {f"turned_{90 * turns}"}
        eyes = np.linalg.norm(points[1] - points[0])
        assert np.abs(found[0].points - points).max() < 0.25 * eyes
        assert np.abs(align_face(image, found[0].points, DEFAULT_ALIGNMENT).image - aligned).mean() < 20
        assert len(found) == len(upright)
