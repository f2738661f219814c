import numpy as np
import pandas as pd
import pytest

from legan.platform.evaluation.bootstrap import averages, intervals_table, subject_interval, weighted_medians


def test_the_interval_is_that_of_subjects_drawn_one_by_one() -> None:
    rng = np.random.default_rng(1)
    subjects = np.repeat(list("abcdefgh"), 5)
    values = rng.normal(size=8).repeat(5) + rng.normal(scale=0.1, size=40)
    means = []
    for _ in range(4000):
        drawn = rng.choice(list("abcdefgh"), 8)
        means.append(np.concatenate([values[subjects == name] for name in drawn]).mean())
    low, high = subject_interval(values, subjects) or (0.0, 0.0)
    assert [low, high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.06)


def test_images_of_one_person_are_not_taken_for_independent() -> None:
    values = np.random.default_rng(2).normal(size=10).repeat(20)
    by_subject = subject_interval(values, np.repeat([f"s{i}" for i in range(10)], 20))
    by_image = subject_interval(values, np.array([f"image {i}" for i in range(200)]))
    assert by_subject is not None
    assert by_image is not None
    assert by_subject[1] - by_subject[0] > 3 * (by_image[1] - by_image[0])


def test_subjects_count_by_their_images() -> None:
    """Four images of one person at 1, one of another at 0: means of the draws are 1, 0.8 and 0."""
    low, high = subject_interval(np.array([1.0, 1, 1, 1, 0]), np.array(["a", "a", "a", "a", "b"])) or (9.0, 9.0)
    assert (low, high) == (0.0, 1.0)


def test_there_is_no_interval_for_one_subject_or_missing_values() -> None:
    assert subject_interval(np.ones(3), np.array(["a", "a", "a"])) is None
    assert subject_interval(np.array([1.0, np.nan]), np.array(["a", "b"])) is None


def test_the_table_has_an_interval_per_method_and_metric() -> None:
    scores = pd.DataFrame({"pair": [0, 1, 0, 1], "method": ["output", "output", "copy", "copy"], "l1": [0.0, 1.0, 2.0, 2.0]})
    table = intervals_table(scores.assign(gone=np.nan), pd.Series(["a", "b"]))
    assert table == {"output": {"l1": (0.0, 1.0)}, "copy": {"l1": (2.0, 2.0)}}


def test_the_interval_of_a_median_is_that_of_medians_of_subjects_drawn_one_by_one() -> None:
    rng = np.random.default_rng(3)
    subjects = np.repeat(list("abcdefg"), 4)
    values = rng.normal(size=7).repeat(4) + rng.normal(scale=0.3, size=28)
    medians = [
        np.median(np.concatenate([values[subjects == name] for name in rng.choice(list("abcdefg"), 7)])) for _ in range(4000)
    ]
    found = subject_interval(np.append(values, np.nan), np.append(subjects, "h"), average="median")
    assert found == pytest.approx(np.quantile(medians, [0.025, 0.975]), abs=0.06)


@pytest.mark.parametrize("times", [[[1, 1, 1, 1]], [[0, 3, 1, 0]], [[2, 0, 0, 2]], [[0, 0, 5, 0]]])
def test_values_count_as_often_as_they_are_drawn(times: list[list[int]]) -> None:
    values = np.array([3.0, 1.0, 2.0, 8.0])
    assert weighted_medians(values, np.array(times))[0] == np.median(np.repeat(values, times[0]))


def test_averages_are_those_of_the_metric() -> None:
    scores = pd.DataFrame({"mask_lighting": [0.0, 0.1, 1.0, np.nan], "quality": [0.0, 0.1, 1.0, 0.9]})
    assert averages(scores).to_dict() == pytest.approx({"mask_lighting": 0.1, "quality": 0.5})
