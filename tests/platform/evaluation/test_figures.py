import csv
import io

import numpy as np
import pytest
from PIL import Image

from legan.platform.evaluation.figures import (
    GAP,
    Place,
    RunLine,
    Sheet,
    csv_text,
    labelled_grid,
    markdown,
    picture,
    run_places,
)

SHEET = Sheet(
    "A title",
    ("SSIM ↑", "FID ↓"),
    ("first", "second"),
    ((Place("0.5", ("paper 0.6", "worse"), telling=True), Place("–")), (Place("0.7", best=True), Place("1.0"))),
    ("A note.",),
    (RunLine("abc", "http://host/#/runs/abc", "first, seed 0"), RunLine("def")),
    ("More:",),
)


def face(value: int, size: int = 32) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def test_every_picture_is_in_its_place_unchanged_but_for_whole_factors() -> None:
    rng = np.random.default_rng(0)
    pictures = [[rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(3)] for _ in range(2)]
    grid = labelled_grid(pictures, ["input", "output", "target"], ["first", "second"])
    tile = 96
    left, top = grid.shape[1] - 3 * (tile + GAP), grid.shape[0] - 2 * (tile + GAP)
    for i, row in enumerate(pictures):
        for j, face_shown in enumerate(row):
            y, x = top + i * (tile + GAP), left + j * (tile + GAP)
            np.testing.assert_array_equal(grid[y : y + tile : 3, x : x + tile : 3], face_shown)


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


def test_markdown_marks_the_best_and_lists_runs_with_their_pages() -> None:
    assert markdown(SHEET).splitlines() == [
        "# A title", "", "|  | SSIM ↑ | FID ↓ |", "| --- | --- | --- |", "| first | 0.5<br>paper 0.6<br>*worse* | – |",
        "| second | **0.7** | 1.0 |", "", "- A note.", "", "More:", "", "MLflow runs:", "",
        "1. [`abc`](http://host/#/runs/abc) first, seed 0", "2. `def`",
    ]  # fmt: skip


def test_csv_has_empty_fields_for_what_is_absent_and_quotes_commas() -> None:
    text = csv_text(["a", "b"], [["x, y", None], [1.5, 0]])
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ["x, y", ""], ["1.5", "0"]]


def test_runs_beside_each_other_are_a_span() -> None:
    numbers = {name: i for i, name in enumerate("abcdef", start=1)}
    assert [run_places(runs, numbers) for runs in ("bcd", "ab", "acd", "e")] == ["2–4", "1,2", "1,3,4", "5"]


def test_a_row_is_as_high_as_its_lines() -> None:
    taller = Sheet(SHEET.title, SHEET.columns, SHEET.rows, ((Place("1", ("a", "b", "c")),) * 2,) * 2, SHEET.notes, SHEET.runs)
    heights = [Image.open(io.BytesIO(picture(sheet))).size[1] for sheet in (SHEET, taller)]
    assert heights[1] - heights[0] == 2 * 0.2 * 150
