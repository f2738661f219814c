import numpy as np
import pytest

from legan.platform.evaluation.figures import GAP, labelled_grid


def face(value: int, size: int = 32) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def test_every_picture_is_in_its_place_unchanged_but_for_whole_factors() -> None:
    rng = np.random.default_rng(0)
    pictures = [[rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(3)] for _ in range(2)]
    grid = labelled_grid(pictures, ["input", "output", "target"], ["first", "second"])
    tile = 96
    left, top = grid.shape[1] - 3 * (tile + GAP), grid.shape[0] - 2 * (tile + GAP)
    for i, row in enumerate(pictures):
        for j, picture in enumerate(row):
            y, x = top + i * (tile + GAP), left + j * (tile + GAP)
            np.testing.assert_array_equal(grid[y : y + tile : 3, x : x + tile : 3], picture)


def test_large_pictures_keep_their_size_and_names_stay_off_them() -> None:
    grid = labelled_grid(
        [[face(0, 128)]], ["a name that is much longer than the picture is wide, so it takes several lines"], ["row"]
    )
    assert (grid[-128 - GAP : -GAP, -128 - GAP : -GAP] == 0).all()
    assert (grid < 250).any(axis=2).sum() > 128 * 128, "the names are drawn"


def test_names_too_long_for_any_size_are_cut_not_drawn_over_neighbours() -> None:
    grid = labelled_grid([[face(0), face(0)]], ["x" * 200, "y"], [""])
    first, second = grid[:, : GAP + 96], grid[:, GAP + 96 :]
    assert first.min() < 250
    head = grid.shape[0] - 96 - GAP
    assert (second[:head, :20] == 255).all()


def test_a_missing_picture_is_grey() -> None:
    grid = labelled_grid([[face(0), None]], ["a", "b"], ["r"])
    assert (grid[-50, -50] == 235).all()


def test_a_title_makes_the_picture_taller() -> None:
    cells = [[face(0)]]
    assert labelled_grid(cells, ["a"], ["r"], "title").shape[0] > labelled_grid(cells, ["a"], ["r"]).shape[0]


@pytest.mark.parametrize(
    ("cells", "columns", "rows"), [([[face(0)]], ["a", "b"], ["r"]), ([[face(0)]], ["a"], []), ([[None]], ["a"], ["r"])]
)
def test_names_that_do_not_fit_the_cells_are_an_error(cells: list, columns: list, rows: list) -> None:
    with pytest.raises(ValueError, match=r"don't fit the cells|at least one picture"):
        labelled_grid(cells, columns, rows)
