import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legan.serve.study.assign import assign, item_order, model_order


@given(st.data(), st.lists(st.integers(1, 30), max_size=60), st.integers(1, 12), st.integers(0, 2**20))
def test_every_unit_gets_its_raters_and_loads_are_even(data: st.DataObject, sizes: list[int], raters: int, seed: int) -> None:
    per_unit = data.draw(st.integers(1, raters))
    chosen = assign(sizes, raters, per_unit, seed)
    load = [0] * raters
    for size, unit in zip(sizes, chosen, strict=True):
        assert len(set(unit)) == len(unit) == per_unit
        for rater in unit:
            load[rater] += size
    assert max(load) - min(load) <= max(sizes, default=0)
    assert assign(sizes, raters, per_unit, seed) == chosen


def test_more_raters_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cannot give 3 for each unit"):
        assign([1], 2, 3, 0)


def test_all_pairs_of_raters_meet() -> None:
    """Dealing in turns would make the same three people judge together throughout."""
    together = {pair for unit in assign([1] * 200, 6, 3, 0) for pair in itertools.combinations(unit, 2)}
    assert together == set(itertools.combinations(range(6), 2))


@given(st.lists(st.integers(), unique=True, max_size=30), st.integers(0, 50), st.integers(0, 99))
def test_orders_are_permutations_fixed_by_the_seed(items: list[int], rater: int, seed: int) -> None:
    order = item_order(items, rater, seed)
    assert sorted(order) == sorted(items)
    assert order == item_order(items, rater, seed)


def test_each_model_takes_each_place_about_equally_often() -> None:
    orders = [model_order(("x", "y", "z"), rater, item, 0) for rater in range(30) for item in range(30)]
    for model in "xyz":
        for place in range(3):
            assert 250 <= sum(order[place] == model for order in orders) <= 350  # 300 ± 3.5 σ
