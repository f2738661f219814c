import pytest

from legan.platform.evaluation.tables.paper import PAPER as MAIN_TABLES
from legan.sweeps.ablations import SUITES
from legan.sweeps.report.paper_tables import FULL_MODEL, PAPER

OURS = ["wo/ disentangling, matched"]
"""Rows that the paper does not have."""


@pytest.mark.parametrize("suite", PAPER)
def test_the_rows_are_the_suites_variants(suite: str) -> None:
    assert list(PAPER[suite].numbers) == [name for name in SUITES[suite] if name not in OURS]
    assert all(list(row) == ["FID", "LPIPS", "SSIM", "Match", "Quality"] for row in PAPER[suite].numbers.values())


@pytest.mark.parametrize(
    ("suite", "number", "sums"),
    [
        ("losses", 11, [574.283, 1.310, 3.643, 4.327, 35.340]),
        ("upsampling", 12, [88.482, 0.373, 1.914, 1.946, 17.511]),
        ("q", 13, [243.728, 0.808, 3.595, 3.847, 33.510]),
    ],
)
def test_the_columns_add_up_to_those_of_the_printed_tables(suite: str, number: int, sums: list[float]) -> None:
    assert PAPER[suite].number == number
    columns = zip(*(row.values() for row in PAPER[suite].numbers.values()), strict=True)
    assert [sum(column) for column in columns] == pytest.approx(sums)


@pytest.mark.parametrize("suite", PAPER)
def test_the_full_model_is_the_one_of_table_1(suite: str) -> None:
    of_table_1 = dict(MAIN_TABLES[1].numbers["LEGAN"])
    del of_table_1["Human preference"]
    assert PAPER[suite].numbers[FULL_MODEL[suite]] == of_table_1
