import csv
import io

from PIL import Image

from legan.platform.evaluation.tables.sheets import Place, RunLine, Sheet, csv_text, markdown, picture, run_places

SHEET = Sheet(
    "A title",
    ("SSIM ↑", "FID ↓"),
    ("first", "second"),
    ((Place("0.5", ("paper 0.6", "worse"), telling=True), Place("–")), (Place("0.7", best=True), Place("1.0"))),
    ("A note.",),
    (RunLine("abc", "http://host/#/runs/abc", "first, seed 0"), RunLine("def")),
    ("More:",),
)


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
