from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from legan.platform.evaluation.intervals import (
    ScoredImages,
    averages,
    chance_note,
    intervals_table,
    paired_difference,
    people_interval,
    read_scored_images,
    subject_interval,
    weighted_medians,
)

FULL = {0: 0.5, 1: 0.6, 2: 0.7}


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


def scored(folder: Path, values: list[float], subjects: str = "aabbcc") -> ScoredImages:
    """An evaluation's folder with an output's SSIM for each pair, and what is read of it."""
    folder.mkdir()
    rows = [{"pair": pair, "method": "output", "ssim_to_target": value} for pair, value in enumerate(values)]
    rows += [{"pair": pair, "method": "copy input", "ssim_to_target": 0.0} for pair in range(len(values))]
    pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)
    pd.DataFrame({"pair": range(len(values)), "subject": list(subjects)}).to_csv(folder / "pairs.csv", index=False)
    made = read_scored_images(folder)
    assert made is not None
    return made


def test_the_interval_over_people_is_that_of_the_mean_differences_of_their_images(tmp_path: Path) -> None:
    full = [scored(tmp_path / f"full{seed}", [0.5] * 6) for seed in range(2)]
    ours = [
        scored(tmp_path / "ours0", [0.6, 0.6, 0.7, 0.7, 0.8, 0.8]),
        scored(tmp_path / "ours1", [0.6, 0.6, 0.7, 0.7, 1.0, 1.0]),
    ]
    # Per person 0.1, 0.2 and 0.4 in the mean over both seeds: the draws' ends are three times one person, 1 in 27 each.
    assert people_interval(ours, full, "ssim_to_target") == pytest.approx((0.1, 0.4))
    assert people_interval(full, ours, "ssim_to_target") == pytest.approx((-0.4, -0.1))
    assert people_interval(ours, full, "fid") is None
    assert people_interval(ours, [full[0], None], "ssim_to_target") is None
    other = scored(tmp_path / "other", [0.5] * 6, subjects="abbbcc")
    assert people_interval(ours, [full[0], other], "ssim_to_target") is None
    assert read_scored_images(tmp_path / "nothing") is None


def test_better_needs_both_intervals() -> None:
    three = {0: 0.6, 1: 0.61, 2: 0.62}
    full = {0: 0.5, 1: 0.51, 2: 0.52}
    verdicts = {
        people: paired_difference({0: 0.6, 1: 0.61, 2: 0.63}, full, people).verdict(lower_is_better=False)
        for people in (None, (0.01, 0.2), (-0.01, 0.2))
    }
    assert list(verdicts.values()) == ["better", "better", "within people's spread"]
    assert paired_difference(three, {0: 0.5, 1: 0.7, 2: 0.6}, (0.01, 0.2)).verdict(lower_is_better=False) == "within seed spread"


def test_the_note_says_how_many_would_stand_out_by_chance() -> None:
    assert "Of 40 such comparisons, about 2.0 would be called better or worse by chance alone" in chance_note(40, "LEGAN")
