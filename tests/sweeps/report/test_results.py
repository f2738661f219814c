import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from legan.sweeps.report.results import paired_difference

FULL = {0: 0.5, 1: 0.6, 2: 0.7}


def test_the_interval_is_students_of_the_differences_by_seed() -> None:
    made = paired_difference({0: 0.6, 1: 0.8, 2: 1.0}, FULL)  # 0.1, 0.2, 0.3: sd 0.1, t(0.975, 2) = 4.3027
    assert made is not None
    assert made.mean == pytest.approx(0.2)
    assert made.interval == pytest.approx((0.2 - 4.30265 * 0.1 / 3**0.5, 0.2 + 4.30265 * 0.1 / 3**0.5), abs=1e-5)
    assert made.verdict(lower_is_better=False) == "within seed spread"


def test_pairing_finds_what_the_seeds_have_in_common() -> None:
    """All seeds move by 0.02, which is little beside the spread of the seeds themselves."""
    made = paired_difference({seed: value + 0.02 + 0.001 * seed for seed, value in FULL.items()}, FULL)
    assert made is not None
    assert (made.verdict(lower_is_better=False), made.verdict(lower_is_better=True)) == ("better", "worse")


def test_a_worse_number_is_worse_whichever_way_is_better() -> None:
    down = paired_difference({seed: value - 0.3 - 0.001 * seed for seed, value in FULL.items()}, FULL)
    assert down is not None
    assert (down.verdict(lower_is_better=False), down.verdict(lower_is_better=True)) == ("worse", "better")


def test_only_seeds_that_both_have_are_compared() -> None:
    made = paired_difference({1: 0.7, 2: 0.9, 5: 9.0}, FULL)
    assert made is not None
    assert (made.seeds, made.mean) == (2, pytest.approx(0.15))
    assert paired_difference({7: 1.0}, FULL) is None
    single = paired_difference({0: 0.9}, FULL)
    assert single is not None
    assert (single.mean, single.interval) == (pytest.approx(0.4), None)
    assert single.verdict(lower_is_better=False) == "one seed only"


def test_equal_numbers_are_within_the_spread() -> None:
    made = paired_difference(FULL, FULL)
    assert made is not None
    assert made.verdict(lower_is_better=True) == "within seed spread"


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=2, max_size=8))
def test_it_is_scipys_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    ours, full = np.array(pairs).T
    if np.std(ours - full) < 1e-6:
        return
    made = paired_difference(dict(enumerate(ours)), dict(enumerate(full)))
    wanted = ttest_rel(ours, full).confidence_interval(0.95)
    assert made is not None
    assert made.interval == pytest.approx((wanted.low, wanted.high), rel=1e-6, abs=1e-9)
