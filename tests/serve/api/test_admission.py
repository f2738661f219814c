import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legan.serve.api.admission import ENOUGH, Pace


def kept_busy(places: int, each_s: float, requests: int) -> tuple[Pace, float]:
    """One server that takes ``each_s`` for a request, with ``places`` of them before it all the time."""
    pace, now = Pace(0.0), 0.0
    for _ in range(places):
        pace.begin(now)
    for _ in range(requests):
        now += each_s
        pace.end(now)
        pace.begin(now)
    return pace, now


def test_nothing_is_known_at_first() -> None:
    pace, now = kept_busy(5, 1.0, ENOUGH - 1)
    assert pace.wait_s(now) == 0.0
    pace.end(now + 1)
    assert pace.wait_s(now + 1) > 0


@given(st.integers(1, 64), st.floats(0.01, 2.0), st.integers(60, 90))
def test_the_wait_is_the_places_times_the_time_of_one(places: int, each_s: float, requests: int) -> None:
    pace, now = kept_busy(places, each_s, requests)
    assert pace.wait_s(now) == pytest.approx(places * each_s, rel=0.1)


def test_it_can_be_computed_by_hand() -> None:
    pace, now = kept_busy(4, 10.0, ENOUGH)
    busy, done = 10 * (1 - math.exp(-8)), sum(math.exp(-k) for k in range(8))
    assert pace.wait_s(now) == pytest.approx(4 * busy / done)


def test_batches_count_like_one_after_the_other() -> None:
    pace, now = Pace(0.0), 0.0
    for _ in range(32):
        pace.begin(now)
    for _ in range(20):
        now += 4.0
        for _ in range(16):
            pace.end(now)
        for _ in range(16):
            pace.begin(now)
    assert pace.wait_s(now) == pytest.approx(32 / 4, rel=0.25)


def test_idle_time_is_not_slowness() -> None:
    pace, now = kept_busy(1, 0.1, 50)
    pace.end(now)
    assert pace.wait_s(now + 3600) == 0.0
    pace.begin(now + 3600)
    assert pace.wait_s(now + 3600) == pytest.approx(0.1, rel=0.1)


def test_what_hangs_makes_the_wait_grow_and_quicker_work_makes_it_shrink() -> None:
    pace, now = kept_busy(4, 0.5, 50)
    assert pace.wait_s(now) < pace.wait_s(now + 20) < pace.wait_s(now + 60)
    for _ in range(100):
        now += 0.05
        pace.end(now)
        pace.begin(now)
    assert pace.wait_s(now) < 4 * 0.5
