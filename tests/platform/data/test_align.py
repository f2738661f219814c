import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legan.platform.data.align import (
    DEFAULT_ALIGNMENT,
    Alignment,
    align_face,
    estimate_yaw,
    eye_matrix,
    invert,
    transform_points,
    warp,
)
from legan.platform.errors import ImageError

FIVE = np.array([[40, 50], [85, 52], [63, 75], [45, 98], [82, 99]], np.float32)


@settings(max_examples=80, deadline=None)
@given(st.floats(-180, 180), st.floats(3, 2000), st.floats(-3000, 3000), st.floats(-3000, 3000), st.sampled_from([32, 64, 128]))
def test_eyes_land_where_the_alignment_says(degrees: float, distance: float, x: float, y: float, size: int) -> None:
    turn = np.radians(degrees)
    eyes = np.array([[x, y], [x + distance * np.cos(turn), y + distance * np.sin(turn)]], np.float32)
    alignment = Alignment(size)
    matrix = eye_matrix(eyes, alignment)
    landed = transform_points(eyes, matrix)
    np.testing.assert_allclose(landed, [[0.335 * size - 0.5, 0.4 * size - 0.5], [0.665 * size - 0.5, 0.4 * size - 0.5]], atol=0.1)
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    np.testing.assert_allclose(matrix[:, :2] @ matrix[:, :2].T, scale**2 * np.eye(2), atol=1e-9)
    assert np.linalg.det(matrix[:, :2]) > 0, "it never mirrors"
    there_and_back = transform_points(landed, invert(matrix))
    np.testing.assert_allclose(there_and_back, eyes, atol=0.02 + 1e-5 * distance)


def test_aligned_points_and_matrix_belong_together() -> None:
    face = align_face(np.zeros((150, 130, 3), np.uint8), FIVE)
    assert face.image.shape == (128, 128, 3)
    np.testing.assert_allclose(face.points, transform_points(FIVE, face.matrix))
    np.testing.assert_allclose(face.points[:2], DEFAULT_ALIGNMENT.eyes, atol=0.01)


def test_coinciding_eyes_are_refused() -> None:
    with pytest.raises(ImageError, match="two eyes"):
        align_face(np.zeros((64, 64, 3), np.uint8), np.full((5, 2), 20, np.float32))


def test_alignment_survives_json() -> None:
    alignment = Alignment(64, (0.3, 0.45), (0.7, 0.45))
    assert Alignment.from_dict(alignment.to_dict()) == alignment


@pytest.mark.parametrize("shrink", [0.4, 1.0, 1.6, 2.0, 3.7, 9.3])
def test_a_smooth_picture_stays_in_place_at_every_scale(shrink: float) -> None:
    side = round(140 * shrink)
    y, x = np.mgrid[:side, :side] / side
    picture = np.dstack([255 * x, 255 * y, 127 + 100 * np.sin(6 * x)]).round().astype(np.uint8)
    matrix = np.array([[1 / shrink, 0, -3.0], [0, 1 / shrink, -2.0]])
    small = warp(picture, matrix, 128)
    inverse = invert(matrix)
    grid = np.stack(np.meshgrid(np.arange(8, 120), np.arange(8, 120)), -1).reshape(-1, 2).astype(np.float32)
    at = transform_points(grid, inverse) / side
    expected = np.stack([255 * at[:, 0], 255 * at[:, 1], 127 + 100 * np.sin(6 * at[:, 0])], -1)
    got = small[8:120, 8:120].reshape(-1, 3)
    assert np.abs(got - expected).max() < 2.0


@pytest.mark.parametrize("shrink", [1.5, 2.3, 4.0, 7.7])
def test_shrinking_does_not_alias(shrink: float) -> None:
    # A one-pixel checkerboard is grey from afar; sampling it without averaging gives black and white moiré.
    side = round(150 * shrink)
    board = np.indices((side, side)).sum(0) % 2 * 255
    picture = np.dstack([board] * 3).astype(np.uint8)
    matrix = np.array([[1 / shrink, 0, -5.0], [0, 1 / shrink, -5.0]])
    spread = float(warp(picture, matrix, 128).std())
    naive = float(cv2.warpAffine(picture, matrix, (128, 128), flags=cv2.INTER_LINEAR).std())
    assert spread < 25
    assert spread < 0.6 * naive or naive < 1


def test_outside_of_the_photograph_repeats_its_edge() -> None:
    picture = np.full((40, 40, 3), 90, np.uint8)
    picture[:, 20:] = 200
    moved = warp(picture, np.array([[1.0, 0, 30], [0, 1.0, 30]]), 128)
    assert (moved[:, :45] == 90).all()
    assert (moved[:, 60:] == 200).all()


def test_a_face_far_outside_of_the_photograph_gives_an_image() -> None:
    assert (
        warp(np.full((10, 10, 3), 7, np.uint8), np.array([[1.0, 0, 5000], [0, 1.0, -5000]]), 32).tolist() == [[[7] * 3] * 32] * 32
    )


def head(yaw: float, pitch: float, roll: float, size: float) -> np.ndarray:
    """Five points of an average head, turned by yaw, then pitch, then roll, seen from far away: image coordinates."""
    points = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, -0.58, 0.45], [-0.42, -1.07, 0.1], [0.42, -1.07, 0.1]])
    y, p, r = np.radians([yaw, pitch, roll])
    turn_yaw = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    turn_pitch = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    turn_roll = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    seen = points @ (turn_roll @ turn_pitch @ turn_yaw).T * size
    return (seen[:, :2] * [1, -1] + [200, 150]).astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(st.floats(-40, 40), st.floats(-25, 25), st.floats(-60, 60), st.floats(10, 500))
def test_yaw_of_a_turned_head(yaw: float, pitch: float, roll: float, size: float) -> None:
    assert estimate_yaw(head(yaw, pitch, roll, size)) == pytest.approx(yaw, abs=3)


def test_yaw_sign_and_symmetry() -> None:
    frontal = head(0, 0, 0, 60)
    to_the_right = frontal.copy()
    to_the_right[2, 0] += 8
    assert estimate_yaw(to_the_right) > 5, "the nose nearer to the viewer's right eye: turned to the viewer's right"
    mirrored = (to_the_right * [-1, 1])[[1, 0, 2, 4, 3]].astype(np.float32)
    assert estimate_yaw(mirrored) == pytest.approx(-estimate_yaw(to_the_right), abs=1e-3)
    assert estimate_yaw(np.zeros((5, 2), np.float32)) == 0
