from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legan.serve.augment.plan import UNKNOWN, Balance, Labels, Wanted, count_jobs, missing_of_each, plan_jobs

E, L = 3, 4


@st.composite
def labels(draw: st.DrawFn) -> Labels:
    row = st.tuples(st.integers(UNKNOWN, E - 1), st.integers(UNKNOWN, L - 1), st.booleans())
    rows = draw(st.lists(row, min_size=1, max_size=40))
    expression, lighting, training = zip(*rows, strict=True)
    return Labels(np.array(expression, np.int16), np.array(lighting, np.int16), np.array(training, np.bool_))


def planned(wanted: Wanted, source: Labels, attempts: int = 3, seed: int = 0) -> np.ndarray:
    pieces = list(plan_jobs(wanted, source, expressions=E, lightings=L, attempts=attempts, seed=seed))
    jobs = np.concatenate([np.zeros((0, attempts, 3), np.int32), *pieces]) if wanted.attempts_matter else np.concatenate(pieces)
    assert len(jobs) == count_jobs(wanted, source, expressions=E, lightings=L)
    return jobs


def candidates(jobs: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(each) for each in jobs.reshape(-1, 3).tolist() if each[0] != UNKNOWN]


@settings(deadline=None, max_examples=60)
@given(labels(), st.sampled_from(["expression", "lighting", "both"]), st.integers(0, 5))
def test_balancing_fills_every_class_that_occurs_up_to_the_largest(source: Labels, balance: Balance, seed: int) -> None:
    jobs = planned(Wanted(balance=balance), source, seed=seed)
    train = np.flatnonzero(source.training)
    sides = {"expression": (0,), "lighting": (1,), "both": (0, 1)}[balance]

    def class_of(e: int, light: int) -> tuple[int, ...]:
        return tuple((e, light)[side] for side in sides)

    own = {int(row): class_of(int(source.expression[row]), int(source.lighting[row])) for row in train}
    own = {row: name for row, name in own.items() if UNKNOWN not in name}
    after = Counter(own.values()) + Counter(class_of(e, light) for _, e, light in jobs[:, 0].tolist())
    if own:
        largest = max(Counter(own.values()).values())
        assert after == dict.fromkeys(own.values(), largest)
    else:
        assert len(jobs) == 0
    every = candidates(jobs)
    assert len(set(every)) == len(every)  # never the same translation twice, retries included
    for row, e, light in every:
        assert row in own
        assert own[row] != class_of(e, light)  # from another class
        assert 0 <= e < E
        assert 0 <= light < L
        if balance == "expression" and source.lighting[row] != UNKNOWN:
            assert light == source.lighting[row]
        if balance == "lighting" and source.expression[row] != UNKNOWN:
            assert e == source.expression[row]


@settings(deadline=None, max_examples=40)
@given(labels(), st.integers(1, 3))
def test_of_training_faces_alone_the_jobs_are_those_that_they_get_among_all(source: Labels, count: int) -> None:
    whole, part = planned(Wanted(random=count), source), planned(Wanted(random=count, train_only=True), source)
    np.testing.assert_array_equal(part, whole[source.training[whole[:, 0, 0]]])
    listed = planned(Wanted(labels=((0, 1),), train_only=True), source) if source.training.any() else None
    assert listed is None or listed[:, 0, 0].tolist() == np.flatnonzero(source.training).tolist()


@settings(deadline=None, max_examples=40)
@given(labels(), st.integers(1, E * L - 1), st.integers(1, 10), st.integers(0, 5))
def test_random_jobs_are_other_combinations_and_never_the_same_twice(
    source: Labels, count: int, attempts: int, seed: int
) -> None:
    jobs = planned(Wanted(random=count), source, attempts, seed)
    np.testing.assert_array_equal(jobs[:, 0, 0], np.repeat(np.arange(len(source)), count))
    every = candidates(jobs)
    assert len(set(every)) == len(every)
    for row, e, light in every:
        assert (e, light) != (source.expression[row], source.lighting[row])
    # All that is left for retries is used, up to the attempts.
    for row in range(len(source)):
        known = UNKNOWN not in (source.expression[row], source.lighting[row])
        assert sum(each[0] == row for each in every) == min(E * L - known, count * attempts)
    np.testing.assert_array_equal(jobs, planned(Wanted(random=count), source, attempts, seed))


def test_another_seed_is_another_plan() -> None:
    source = Labels(np.zeros(30, np.int16), np.zeros(30, np.int16), np.ones(30, np.bool_))
    assert not np.array_equal(planned(Wanted(random=2), source, seed=0), planned(Wanted(random=2), source, seed=1))


def test_listed_labels_and_all_are_made_of_every_face_in_order() -> None:
    source = Labels(np.array([0, 1]), np.array([2, UNKNOWN]), np.array([True, False]))
    jobs = planned(Wanted(labels=((1, 3), (0, 0))), source)
    assert jobs.tolist() == [[[0, 1, 3]], [[0, 0, 0]], [[1, 1, 3]], [[1, 0, 0]]]
    everything = planned(Wanted(all=True), source)
    assert everything.shape == (2 * E * L, 1, 3)
    assert len(set(candidates(everything))) == 2 * E * L


def test_the_papers_affectnet_counts_become_equal() -> None:
    # Section 5: 59 % happy, 6.2 % surprise, 1.6 % disgust; here a thousandth of the 204,325 images, and a class without any.
    counts = {0: 68, 1: 121, 2: 13, 3: 3}
    expression = np.repeat(list(counts), list(counts.values()))
    source = Labels(expression, np.full(len(expression), UNKNOWN), np.ones(len(expression), np.bool_))
    lacking = missing_of_each("expression", source, 20)
    assert lacking == {(0, UNKNOWN): 53, (1, UNKNOWN): 0, (2, UNKNOWN): 108, (3, UNKNOWN): 118}
    jobs = np.concatenate(list(plan_jobs(Wanted(balance="expression"), source, expressions=6, lightings=20, attempts=1, seed=0)))
    assert len(jobs) == 279  # a thousandth of the paper's 279,324 synthetic images
    assert len(set(jobs[:, 0, 2].tolist())) == 20  # lightings are drawn where the source's is unknown


def test_a_faces_own_class_is_kept() -> None:
    source = Labels(np.array([2, 0, 1]), np.array([3, 3, 0]), np.ones(3, bool))
    jobs = planned(Wanted(labels=((UNKNOWN, 1), (0, UNKNOWN))), source)
    assert jobs[:, 0].tolist() == [[0, 2, 1], [0, 0, 3], [1, 0, 1], [1, 0, 3], [2, 1, 1], [2, 0, 0]]


@pytest.mark.parametrize("wanted", [Wanted(labels=((0, 0),)), Wanted(all=True)])
def test_where_nothing_can_be_chosen_attempts_do_not_matter(wanted: Wanted) -> None:
    assert not wanted.attempts_matter
