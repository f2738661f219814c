import numpy as np
import pytest

from legan.platform.data.align import transform_points
from legan.platform.data.faces.attempts import AS_IT_IS, ATTEMPTS, attempt_lines, count_attempts, named


@pytest.mark.parametrize("name", ATTEMPTS)
@pytest.mark.parametrize("shape", [(300, 420), (90, 61), (700, 1201)])
def test_a_view_says_where_its_pixels_are_in_the_photograph(name: str, shape: tuple[int, int]) -> None:
    height, width = shape
    y, x = np.mgrid[:height, :width]
    photo = np.dstack([60 + 150 * x / width, 60 + 150 * y / height, np.full(shape, 200)]).round().astype(np.uint8)
    image, matrix = ATTEMPTS[name].view(photo, 640)
    inside = np.argwhere(image[..., 2] == 200)[:, ::-1]
    chosen = inside[:: max(1, len(inside) // 500)].astype(np.float32)
    there = transform_points(chosen, matrix)
    got = image[chosen[:, 1].astype(int), chosen[:, 0].astype(int)].astype(float)
    assert np.abs(got[:, 0] - (60 + 150 * there[:, 0] / width)).max() < 3
    assert np.abs(got[:, 1] - (60 + 150 * there[:, 1] / height)).max() < 3
    longest = 640 * (1 + 2 * ATTEMPTS[name].margin)
    assert max(image.shape) <= longest
    black = (image == 0).all(axis=2)
    assert black.any() == (ATTEMPTS[name].margin > 0)


def test_the_photograph_itself_is_the_first_view() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    image, matrix = AS_IT_IS.view(photo, float("inf"))
    np.testing.assert_array_equal(image, photo)
    np.testing.assert_array_equal(matrix, np.eye(2, 3))


def test_attempts_are_named_together_where_all_of_a_kind_are_meant() -> None:
    assert ", ".join(named(list(ATTEMPTS.values()))) == "as it is, turned, with a black margin, smaller"
    some = [ATTEMPTS[name] for name in ("turned_180", "margin", "margin_turned_90")]
    assert ", ".join(named(some)) == "turned by 180°, with a black margin, turned by 90° to the right with a black margin"


def test_attempts_are_counted_and_said() -> None:
    counts = count_attempts(["as_it_is", "turned_270", "", "margin", "turned_90", "turned_270"])
    assert counts == {"turned_90": 1, "turned_270": 2, "margin": 1}
    (line,) = attempt_lines(counts)
    assert "1 turned by 90° to the right, 2 turned by 90° to the left, 1 with a black margin" in line
    assert attempt_lines(count_attempts(["as_it_is"])) == []
