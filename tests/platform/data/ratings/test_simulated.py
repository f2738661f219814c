import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legan.platform.data.dataset import Dataset
from legan.platform.data.ratings.distortions import DISTORTIONS
from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.data.ratings.simulated import PANELS, make_simulated_ratings, simulated_quality, simulated_raters
from legan.platform.errors import DataError


def test_folder_says_that_nobody_was_asked(folder: Path) -> None:
    about = json.loads((folder / "ratings.json").read_text())
    assert about["simulated"] is True
    assert "SIMULATED" in about["note"]
    assert len(about["raters"]) == len(PANELS["training"].raters) == 3
    ratings = read_ratings(folder)
    assert ratings.simulated
    assert all(source.startswith("simulated: ") for source in ratings.source)
    assert all(values.flags.writeable and type(values) is np.ndarray for values in (ratings.images, ratings.mean, ratings.std))


def test_labels_are_mean_and_population_deviation_of_three_whole_scores(folder: Path) -> None:
    table = pd.read_parquet(folder / "ratings.parquet")
    scores = table[["rater_1", "rater_2", "rater_3"]].to_numpy()
    assert scores.dtype == np.int64
    assert scores.min() >= 0
    assert scores.max() <= 10
    mean = scores.sum(axis=1) / 3
    assert np.allclose(table["mean"], mean)
    assert np.allclose(table["std"], np.sqrt(((scores - mean[:, None]) ** 2).sum(axis=1) / 3))


def test_ratings_fall_with_strength_and_are_spread_like_figure_7(folder: Path) -> None:
    table = pd.read_parquet(folder / "ratings.parquet")
    single = table[~table["kind"].str.contains(r"\+")]
    bins = pd.cut(single["strength"], [-0.01, 0.0, 0.1, 0.3, 0.6, 1.0])
    by_strength = single.groupby(bins, observed=True)["mean"].mean().tolist()
    assert len(by_strength) == 5
    assert by_strength == sorted(by_strength, reverse=True)
    counts = np.histogram(table["mean"], bins=np.arange(11))[0]
    assert counts[5:].sum() > 2 * counts[:5].sum()
    assert counts[7:9].sum() == max(counts[i : i + 2].sum() for i in range(9))
    assert 0 < counts[9] < counts[8]


def test_splits_are_the_data_sets_own_subjects(folder: Path, dataset: Dataset) -> None:
    table = pd.read_parquet(folder / "ratings.parquet")
    for split, subjects in dataset.splits.items():
        assert set(table.loc[table["split"] == split, "subject"]) == set(subjects)
    share = table["split"].value_counts(normalize=True)
    assert share["train"] == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("gone", "drawn_from_train"),
    [({"val": "train"}, {"val"}), ({"test": "train"}, {"test"}), ({"val": "train", "test": "train"}, {"val", "test"})],
)
def test_people_are_never_split_anew_over_those_whom_legan_tests_on(
    dataset: Dataset, tmp_path: Path, gone: dict[str, str], drawn_from_train: set[str]
) -> None:
    faces = dataset.faces.assign(split=dataset.faces["split"].replace(gone))
    other = replace(dataset, faces=faces)
    table = pd.read_parquet(make_simulated_ratings(other, tmp_path / "ratings", count=200, seed=3).path / "ratings.parquet")
    split_of = table.drop_duplicates("subject").set_index("subject")["split"]
    assert set(split_of) == {"train", "val", "test"}
    for split in {"val", "test"} - drawn_from_train:
        assert {name for name in split_of.index if split_of[name] == split} == set(other.splits[split])


def test_a_data_set_of_test_people_alone_is_not_rated(dataset: Dataset, tmp_path: Path) -> None:
    tested = replace(dataset, faces=dataset.faces.assign(split="test"))
    with pytest.raises(DataError, match="is in the split train, so Q would learn from people whom LEGAN is tested on"):
        make_simulated_ratings(tested, tmp_path / "ratings")


def test_those_who_judge_are_others_and_rate_other_faults(dataset: Dataset, tmp_path: Path) -> None:
    training, judging = PANELS["training"], PANELS["judging"]
    assert not set(training.raters) & set(judging.raters)
    for panel in (training, judging):
        assert set(panel.penalty) == set(panel.distortions)
    made = make_simulated_ratings(dataset, tmp_path / "judging", count=200, panel="judging")
    kinds = {kind for kinds in pd.read_parquet(made.path / "ratings.parquet")["kind"] for kind in kinds.split("+")}
    assert kinds - {"untouched"} == set(judging.distortions)
    assert not kinds & set(training.distortions)
    assert made.provenance["ratings_panel"] == "judging"
    about = json.loads((made.path / "ratings.json").read_text())
    about.pop("panel")
    (made.path / "ratings.json").write_text(json.dumps(about))
    assert read_ratings(made.path).provenance["ratings_panel"] == "training", "older folders don't say who rated"


def test_images_are_black_outside_the_hull_and_untouched_ones_are_the_faces(folder: Path, dataset: Dataset) -> None:
    ratings = read_ratings(folder)
    assert ratings.images.shape == (1500, 32, 32, 3)
    assert (ratings.images[:, 0] == 0).all()
    untouched = np.flatnonzero(ratings.source == "simulated: untouched")
    assert 0.1 < len(untouched) / len(ratings) < 0.25
    every = dataset.images * dataset.hulls(dataset.rows())[..., None]
    assert (np.abs(every.astype(int) - ratings.images[untouched[0]]).sum(axis=(1, 2, 3)) == 0).any()


def test_a_write_that_fails_leaves_the_old_ratings_whole(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_simulated_ratings(dataset, tmp_path / "ratings", count=5)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        make_simulated_ratings(dataset, tmp_path / "ratings", count=6, overwrite=True)
    assert np.array_equal(read_ratings(tmp_path / "ratings").images, first.images)
    assert [path.name for path in tmp_path.iterdir()] == ["ratings"]


def test_same_seed_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    first, again, other = (
        make_simulated_ratings(dataset, tmp_path / name, count=40, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.mean, again.mean)
    assert (tmp_path / "a" / "ratings.parquet").read_bytes() == (tmp_path / "b" / "ratings.parquet").read_bytes()
    assert not np.array_equal(first.images, other.images)


def test_every_distortion_costs_quality_and_bad_generators_cost_most() -> None:
    assert simulated_quality((), ()) > 8
    for kind in DISTORTIONS:
        falling = [simulated_quality((kind,), (strength,)) for strength in (0.0, 0.25, 0.5, 1.0)]
        assert falling == sorted(falling, reverse=True)
        assert falling[-1] < 4
    assert max(simulated_quality((kind,), (1.0,)) for kind in ("average_face", "smear", "flat")) < 2


@given(quality=st.lists(st.floats(0, 10), min_size=1, max_size=20), seed=st.integers(0, 1000))
def test_raters_answer_in_whole_numbers_from_0_to_10(quality: list[float], seed: int) -> None:
    scores = simulated_raters(np.array(quality), np.random.default_rng(seed))
    assert scores.shape == (len(quality), 3)
    assert scores.dtype == np.int64
    assert ((scores >= 0) & (scores <= 10)).all()


def test_raters_have_biases_and_scales_of_their_own() -> None:
    rng = np.random.default_rng(0)
    low, high = (simulated_raters(np.full(20_000, quality), rng).mean(axis=0) for quality in (3.0, 7.0))
    assert np.allclose((high - low) / 4, [rater.scale for rater in PANELS["training"].raters], atol=0.03)
    assert np.allclose((high + low) / 2 - 5, [rater.bias for rater in PANELS["training"].raters], atol=0.03)


def test_written_whole_or_not_at_all(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("legan.platform.data.ratings.ratings.pq.write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        make_simulated_ratings(dataset, tmp_path / "ratings", count=5)
    assert not list(tmp_path.iterdir())


def test_existing_folders_are_kept(dataset: Dataset, tmp_path: Path) -> None:
    make_simulated_ratings(dataset, tmp_path / "ratings", count=5)
    with pytest.raises(DataError, match="already exists; choose another folder"):
        make_simulated_ratings(dataset, tmp_path / "ratings", count=5)
    assert len(make_simulated_ratings(dataset, tmp_path / "ratings", count=6, overwrite=True)) == 6
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(DataError, match=r"has no ratings\.json, so --overwrite leaves it alone"):
        make_simulated_ratings(dataset, tmp_path / "mine", count=5, overwrite=True)
    with pytest.raises(DataError, match="at least one image"):
        make_simulated_ratings(dataset, tmp_path / "none", count=0)
