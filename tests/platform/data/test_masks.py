import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import ConvexHull, Delaunay

from legan.platform.data.masks import five_points, hull_mask, mean_shape, pack_mask, place_mean_shape, unpack_mask

SIZE = 64


def reference_hull(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels whose centre lies in the hull, by triangles instead of polygon filling."""
    y, x = np.mgrid[:size, :size]
    return Delaunay(points[ConvexHull(points).vertices]).find_simplex(np.stack([x, y], -1)) >= 0


scattered = arrays(np.float32, (12, 2), elements=st.floats(8, SIZE - 9, width=32)).filter(
    lambda points: min(np.linalg.svd(points - points.mean(0), compute_uv=False)) > 8
)


@settings(max_examples=60, deadline=None)
@given(scattered)
def test_hull_contains_its_landmarks_and_matches_an_independent_hull(points: np.ndarray) -> None:
    tight = hull_mask(points, SIZE, dilate=0)
    # They may differ by half a pixel of outline, never inside or far off.
    assert (tight != reference_hull(points, SIZE)).sum() <= 1.5 * np.hypot(*np.ptp(points, axis=0)) * 2
    grown = hull_mask(points, SIZE, dilate=0.04)
    rounded = np.round(points).astype(int)
    assert grown[rounded[:, 1], rounded[:, 0]].all()
    assert not (reference_hull(points, SIZE) & ~grown).any()
    assert not (tight & ~grown).any()


@settings(max_examples=40, deadline=None)
@given(scattered, st.integers(-8, 8), st.integers(-8, 8))
def test_hull_moves_with_its_landmarks(points: np.ndarray, dx: int, dy: int) -> None:
    here = hull_mask(points, SIZE + 16)
    there = hull_mask(points + np.array([dx + 8, dy + 8], np.float32), SIZE + 16)
    np.testing.assert_array_equal(np.roll(here, (dy + 8, dx + 8), (0, 1)), there)


def test_hull_scales_with_the_image() -> None:
    small = mean_shape() * 20 + 30
    small_share = hull_mask(small.astype(np.float32), 64).mean()
    large_share = hull_mask((small * 4 + 1.5).astype(np.float32), 256).mean()
    assert abs(small_share - large_share) < 0.005


def test_dilation_is_a_share_of_the_size() -> None:
    square = np.array([[50, 50], [150, 50], [150, 150], [50, 150]], np.float32)
    mask = hull_mask(square, 200, dilate=0.05)
    across = np.flatnonzero(mask[100])
    assert abs(across[0] - 40) <= 1
    assert abs(across[-1] - 160) <= 1


def test_hull_is_clipped_to_the_image() -> None:
    assert hull_mask(np.array([[-50, -50], [200, -50], [200, 200], [-50, 200]], np.float32), 32).all()


@given(arrays(np.bool_, st.tuples(st.integers(1, 3), st.just(9), st.just(9))))
def test_packing_round_trip(masks: np.ndarray) -> None:
    packed = pack_mask(masks)
    assert packed.shape == (len(masks), 11)
    np.testing.assert_array_equal(unpack_mask(packed, 9), masks)
    np.testing.assert_array_equal(unpack_mask(packed[0], 9), masks[0])


# iBUG's order: which point each one becomes in a mirror.
MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
]  # fmt: skip


def test_mean_shape_is_symmetric_and_in_ibug_order() -> None:
    shape = mean_shape()
    assert shape.shape == (68, 2)
    np.testing.assert_allclose(shape[MIRROR] * [-1, 1], shape, atol=1e-6)
    assert (np.diff(shape[:17, 0]) > 0).all(), "the jaw runs from the viewer's left to the right"
    assert (np.diff(shape[17:27, 0]) > 0).all(), "and so do the brows"
    assert shape[8, 1] == shape[:, 1].max(), "point 8 is the chin"
    assert shape[36, 0] < shape[39, 0] < 0 < shape[42, 0] < shape[45, 0], "36 and 45 are the outer corners of the eyes"
    assert shape[57, 1] > shape[66, 1] > shape[62, 1] > shape[51, 1], "the lips lie in order"
    np.testing.assert_allclose(five_points(shape)[:2], [[-0.5, 0], [0.5, 0]], atol=0.01)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (2, 2), elements=st.floats(-80, 80)), arrays(np.float64, 2, elements=st.floats(-200, 200)))
def test_placing_recovers_an_affine_map(linear: np.ndarray, shift: np.ndarray) -> None:
    assume(min(np.linalg.svd(linear, compute_uv=False)) > 5)
    moved = mean_shape() @ linear + shift
    placed = place_mean_shape(five_points(moved.astype(np.float32)))
    np.testing.assert_allclose(placed, moved, atol=0.01)


def test_placing_is_the_least_squares_fit() -> None:
    noisy = five_points(mean_shape()) * 50 + np.random.default_rng(1).normal(0, 2, (5, 2)).astype(np.float32)
    residual = five_points(place_mean_shape(noisy)) - noisy
    design = np.column_stack([five_points(mean_shape()), np.ones(5)])
    # What least squares leaves is orthogonal to everything it may use.
    np.testing.assert_allclose(design.T @ residual, 0, atol=1e-3)
    assert np.abs(residual).max() == pytest.approx(0, abs=5)
