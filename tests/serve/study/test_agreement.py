from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legan.serve.study.agreement import fleiss_kappa, krippendorff_alpha, two_way_bootstrap, wilson_interval


def test_alpha_by_hand() -> None:
    """Units (1, 2), (4, 4), (3): D_o = (1 + 1) / 4; the ordered pairs of 1, 2, 4, 4 give D_e = 2·(1 + 9 + 9 + 4 + 4 + 0) / 12."""
    assert krippendorff_alpha([[1, 2], [4, 4], [3]]) == pytest.approx(1 - 0.5 / 4.5)


def test_alpha_of_krippendorffs_published_example() -> None:
    """Four observers, twelve units with gaps: α for interval data is printed as 0.849."""
    observers = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    units = [[float(value) for value in unit if value != "."] for unit in zip(*observers, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.849, abs=5e-4)


@given(st.lists(st.lists(st.integers(0, 10), max_size=5), max_size=12))
def test_alpha_against_its_definition_in_fractions(units: list[list[int]]) -> None:
    rated = [unit for unit in units if len(unit) > 1]
    values = [value for unit in rated for value in unit]
    expected = sum((a - b) ** 2 for a, b in permutations(values, 2))
    if not expected:
        assert krippendorff_alpha(units) is None
        return
    observed = sum(Fraction(sum((a - b) ** 2 for a, b in permutations(unit, 2)), len(unit) - 1) for unit in rated)
    n = len(values)
    assert krippendorff_alpha(units) == pytest.approx(float(1 - observed / n / Fraction(expected, n * (n - 1))), abs=1e-9)


def test_kappa_of_a_published_example() -> None:
    """Ten subjects, fourteen raters, five categories: κ is printed as 0.210."""
    votes = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
             [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip
    assert fleiss_kappa(np.array(votes)) == pytest.approx(0.210, abs=5e-4)


def test_kappa_by_hand_and_where_it_is_undefined() -> None:
    """(2, 0), (1, 1), and (1, 0), which says nothing: P̄ = 1/2, shares 3/4 and 1/4, P_e = 10/16, κ = (1/2 − 5/8) / (3/8)."""
    assert fleiss_kappa(np.array([[2, 0], [1, 1], [1, 0]])) == pytest.approx(-1 / 3)
    assert fleiss_kappa(np.array([[2, 0], [3, 0]])) is None
    assert fleiss_kappa(np.array([[1, 0]])) is None


def test_wilson_by_hand() -> None:
    """10 of 20 with z = 1.959964: centre 1/2, half width z / (20 + z²) · sqrt(20/4 + z²/4) = z / (2 sqrt(20 + z²))."""
    z = 1.959963985
    half = z / (2 * np.sqrt(20 + z * z))
    assert wilson_interval(10, 20) == pytest.approx((0.5 - half, 0.5 + half))
    assert wilson_interval(0, 0) == (0, 1)


def test_bootstrap_knows_that_a_raters_votes_hang_together() -> None:
    alike = np.full((10, 4, 2), 5)
    assert two_way_bootstrap(alike, 0) == pytest.approx(np.full((2, 2), 0.5))
    # Ten raters who vote all one way or the other: a share is that of a binomial(10, 1/2) / 10.
    divided = np.array([[[10, 0]] * 3, [[0, 10]] * 3] * 5)
    low, high = two_way_bootstrap(divided, 0)
    assert low == pytest.approx([0.2, 0.2], abs=1e-9)
    assert high == pytest.approx([0.8, 0.8], abs=1e-9)


def test_bootstrap_knows_that_votes_on_a_subject_hang_together() -> None:
    """All raters agree, and subjects differ: more raters make the interval no narrower."""
    for raters in (3, 30):
        divided = np.array([[[1, 0], [0, 1]] * 5] * raters)
        low, high = two_way_bootstrap(divided, 0)
        assert low == pytest.approx([0.2, 0.2], abs=1e-9)
        assert high == pytest.approx([0.8, 0.8], abs=1e-9)


def test_bootstrap_against_all_draws_there_are() -> None:
    """Two raters and three subjects: 4 × 27 draws, equally likely; those in which nobody voted are left out."""
    votes = np.array([[[1, 0], [1, 0], [0, 1]], [[1, 0], [0, 0], [0, 1]]])
    shares = []
    for raters in product(range(2), repeat=2):
        for subjects in product(range(3), repeat=3):
            sums = sum(votes[rater, subject] for rater in raters for subject in subjects)
            if sums.sum():
                shares.append(sums / sums.sum())
    assert len(shares) == 4 * 27 - 1
    assert two_way_bootstrap(votes, 0) == pytest.approx(np.percentile(shares, (2.5, 97.5), axis=0), abs=0.03)
