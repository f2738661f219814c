import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from legan.platform.data.align import align_face, invert, transform_points
from legan.platform.data.dataset import Alignment
from legan.serve.paste import face_weight, paste_face

SIZE = 64
ALIGNMENT = Alignment(SIZE)
FRONTAL = (np.array([[0.335, 0.40], [0.665, 0.40], [0.5, 0.58], [0.38, 0.76], [0.62, 0.76]]) * SIZE - 0.5).astype(np.float32)


def smooth_photo(height: int = 200, width: int = 260) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 40 + k) + np.cos(y / 33 - k) for k in range(3)]
    return np.stack([127 + 50 * wave for wave in waves], axis=2).astype(np.uint8)


def points_in_photo(scale: float, degrees: float, x: float, y: float) -> NDArray[np.float32]:
    turn = np.radians(degrees)
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return ((FRONTAL - SIZE / 2) @ rotation.T + [x, y]).astype(np.float32)


def test_weight_is_one_on_the_face_zero_at_the_border_and_smooth() -> None:
    weight = face_weight(FRONTAL, SIZE)
    columns, rows = np.round(FRONTAL).astype(int).T
    assert (weight[rows, columns] == 1).all()
    assert weight[round(0.25 * SIZE), SIZE // 2] == 1, "the forehead belongs to the face"
    for edge in (weight[0], weight[-1], weight[:, 0], weight[:, -1]):
        assert (edge == 0).all()
    assert np.abs(np.diff(weight, axis=0)).max() < 0.45
    assert weight.min() >= 0
    assert weight.max() <= 1


@settings(max_examples=25, deadline=None)
@given(
    scale=st.floats(0.5, 2.5), degrees=st.floats(-40, 40), x=st.floats(-20, 280), y=st.floats(-20, 220), value=st.integers(0, 255)
)
def test_outside_of_the_face_the_photograph_keeps_its_bytes(scale: float, degrees: float, x: float, y: float, value: int) -> None:
    photo = smooth_photo()
    before = photo.copy()
    aligned = align_face(photo, points_in_photo(scale, degrees, x, y), ALIGNMENT)
    weight = face_weight(aligned.points, SIZE)
    pasted = paste_face(photo, np.full_like(aligned.image, value), weight, aligned.matrix)
    np.testing.assert_array_equal(photo, before)
    assert pasted.shape == photo.shape
    assert pasted.dtype == np.uint8
    # Where a pixel comes to lie in the aligned face, and whether any weight is near: an independent way to the same answer.
    rows, columns = np.mgrid[0 : photo.shape[0], 0 : photo.shape[1]]
    places = transform_points(np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32), aligned.matrix)
    low = np.floor(places).astype(int) - 1
    near = np.zeros(len(places))
    padded = np.pad(weight, 4)
    for dx in range(4):
        for dy in range(4):
            corner = np.clip(low + np.array([dx, dy]), -4, SIZE + 3) + 4
            near = np.maximum(near, padded[corner[:, 1], corner[:, 0]])
    untouched = (near == 0).reshape(photo.shape[:2])
    np.testing.assert_array_equal(pasted[untouched], photo[untouched])


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (2.0, 15.0), (0.6, -25.0)])
def test_a_face_pasted_back_unchanged_gives_the_photograph_again(scale: float, degrees: float) -> None:
    photo = smooth_photo()
    aligned = align_face(photo, points_in_photo(scale, degrees, 130, 100), ALIGNMENT)
    pasted = paste_face(photo, aligned.image, face_weight(aligned.points, SIZE), aligned.matrix)
    assert np.abs(pasted.astype(int) - photo).max() <= 3


def test_the_middle_of_the_face_becomes_the_translation() -> None:
    photo = smooth_photo()
    points = points_in_photo(1.5, 20, 130, 100)
    aligned = align_face(photo, points, ALIGNMENT)
    face = np.full_like(aligned.image, 0)
    face[..., 0] = 250
    pasted = paste_face(photo, face, face_weight(aligned.points, SIZE), aligned.matrix)
    column, row = np.round(points[2]).astype(int)
    assert pasted[row, column].tolist() == [250, 0, 0]


def test_a_pattern_lands_where_the_matrix_says() -> None:
    photo = np.zeros((120, 120, 3), np.uint8)
    matrix = np.array([[0.5, 0.0, -3.0], [0.0, 0.5, 2.0]])
    face = np.zeros((SIZE, SIZE, 3), np.uint8)
    face[30:33, 20:23] = 255
    pasted = paste_face(photo, face, np.ones((SIZE, SIZE), np.float32), matrix)
    centre = transform_points(np.array([[21.0, 31.0]], np.float32), invert(matrix))[0]
    rows, columns = np.nonzero(pasted[..., 0] > 127)
    assert (columns.mean(), rows.mean()) == pytest.approx(tuple(centre), abs=0.3)


def test_a_face_wholly_outside_changes_nothing() -> None:
    photo = smooth_photo(50, 50)
    matrix = np.array([[1.0, 0.0, 500.0], [0.0, 1.0, 500.0]])
    pasted = paste_face(photo, np.zeros((SIZE, SIZE, 3), np.uint8), np.ones((SIZE, SIZE), np.float32), matrix)
    np.testing.assert_array_equal(pasted, photo)
