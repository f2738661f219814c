"""The lines of who was champion, without MLflow."""

import pytest

from legan.platform.tracking.champions import MOST, Reign, before, read_reigns, with_next, write_reigns


def lines(text: str) -> list[Reign]:
    """``1 3 <1`` is 1 promoted, then 3, then 1 rolled back to."""
    words = text.split()
    return [Reign(word.removeprefix("<"), "", "rolled back" if word.startswith("<") else "promoted") for word in words]


@pytest.mark.parametrize(
    ("kept", "present", "there", "back_to"),
    [
        ("1 3 4", "4", "1 3 4", "3"),
        ("1 3 4 <3", "3", "1 3 4", "1"),
        ("1 3 4 <3 <1", "1", "1 3 4", None),
        ("1 4 1", "1", "1 4", "4"),
        ("1 4 1 <4", "4", "1 4", "1"),
        ("1 3 4", "4", "1 4", "1"),  # 3 was deleted
        ("1 3", "2", "1 2 3", "3"),  # somebody chose 2 in MLflow's pages
        ("", "2", "1 2", None),
        ("2", "2", "1 2", None),
    ],
)
def test_a_rollback_goes_to_the_champion_of_before(kept: str, present: str, there: str, back_to: str | None) -> None:
    assert before(lines(kept), present, set(there.split())) == back_to


def test_what_somebody_did_elsewhere_is_filled_in() -> None:
    following = Reign("3", "2026-12-01T10:00:00+00:00", "promoted")
    elsewhere = Reign("1", "", "elsewhere")
    assert with_next([], "1", following) == [elsewhere, following]
    assert with_next([elsewhere], "1", following) == [elsewhere, following]
    assert with_next([], None, following) == [following]
    assert with_next([], "3", following) == [following]


def test_the_tag_fits_into_mlflows_tables_and_is_read_again() -> None:
    kept: list[Reign] = []
    for number in range(1000, 1100):
        kept = with_next(kept, None, Reign(str(number), "2026-12-01T10:00:00+00:00", "rolled back"))
    assert len(kept) == MOST
    assert kept[-1].version == "1099"
    assert len(write_reigns(kept)) < 5000
    assert read_reigns(write_reigns(kept)) == kept


@pytest.mark.parametrize("tag", [None, "", "mine", "{}", "[1]", '[["1"]]', "null"])
def test_a_tag_that_is_somebody_elses_is_no_line(tag: str | None) -> None:
    assert read_reigns(tag) == []
