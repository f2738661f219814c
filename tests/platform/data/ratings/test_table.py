import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.data.ratings.table import labels_of, long_scores, normalise_table
from legan.platform.errors import DataError, Problem

SCORES = {"a.png": (7, 8, 9), "b.png": (0, 10, 5), "c.png": (4, 4, 4)}


def wide(**columns: list[object]) -> pd.DataFrame:
    scores = {f"rater_{k + 1}": [str(row[k]) for row in SCORES.values()] for k in range(3)}
    return pd.DataFrame({"image": list(SCORES), **scores, "source": "gan", "split": ["train", "val", "test"]} | columns)


def said(problems: Sequence[Problem]) -> list[str]:
    return [str(problem) for problem in problems]


def test_scores_in_columns_and_in_rows_give_the_same_labels_by_hand() -> None:
    rows = [(image, f"p{k}", score) for image, scores in SCORES.items() for k, score in enumerate(scores)]
    long = pd.DataFrame(rows, columns=["image", "rater", "score"]).assign(source="gan")
    long["split"] = long["image"].map(dict(zip(SCORES, ["train", "val", "test"], strict=True)))
    for table in (wide(), long.sample(frac=1, random_state=0)):
        found, problems = normalise_table(table)
        assert problems == []
        found = found.set_index("image").loc[list(SCORES)]
        np.testing.assert_allclose(found["mean"], [8.0, 5.0, 4.0])
        # Population: sqrt((1 + 0 + 1) / 3), sqrt((25 + 25 + 0) / 3), 0.
        np.testing.assert_allclose(found["std"], [np.sqrt(2 / 3), np.sqrt(50 / 3), 0.0], atol=1e-12)
        assert found["split"].tolist() == ["train", "val", "test"]


@given(st.lists(st.integers(0, 10), min_size=2, max_size=6))
def test_labels_agree_with_the_standard_library(scores: list[int]) -> None:
    table = pd.DataFrame({"image": "x", "score": [float(score) for score in scores]})
    for deviation, reference in (("population", statistics.pstdev), ("sample", statistics.stdev)):
        (row,) = labels_of(table, deviation).to_dict("records")
        assert row["mean"] == pytest.approx(statistics.fmean(scores))
        assert row["std"] == pytest.approx(reference(scores), abs=1e-9)
        assert row["scores"] == len(scores)


def test_blank_scores_are_left_out() -> None:
    found, problems = normalise_table(wide(rater_3=["", "5", ""]))
    assert problems == []
    np.testing.assert_allclose(found["mean"], [7.5, 5.0, 4.0])
    found, problems = normalise_table(wide(rater_2=[None, 1.0, 2.0], rater_3=[np.nan, 5.0, np.nan]))
    assert said(problems) == ["row 1: a.png has 1 score, and a standard deviation needs 2"]


def test_labels_count_where_there_are_scores_too_and_sd_is_std() -> None:
    found, problems = normalise_table(wide(mean=["1", "2", "3"], sd=["0.5", "1", "7"]))
    assert problems == []
    assert found["mean"].tolist() == [1, 2, 3]
    assert found["std"].tolist() == [0.5, 1, 7]


def test_a_split_is_made_where_there_is_none() -> None:
    many = pd.DataFrame({"image": [f"{i}.png" for i in range(200)], "mean": 5, "std": 1, "source": "gan"})
    found, problems = normalise_table(many)
    assert problems == []
    assert found["split"].value_counts().to_dict() == {"train": 160, "val": 20, "test": 20}
    assert found.equals(normalise_table(many)[0])
    with_subjects = many.assign(subject=[i // 10 for i in range(200)])
    found, _ = normalise_table(with_subjects)
    assert (found.groupby(found.index // 10)["split"].nunique() == 1).all()
    assert found["split"].value_counts().to_dict() == {"train": 160, "val": 20, "test": 20}
    assert "cannot be split" in normalise_table(many.head(2))[1][0].message


def test_everything_wrong_is_told_at_once() -> None:
    table = pd.DataFrame(
        [
            ("a.png", "p1", "11", "gan", "train"),
            ("a.png", "p2", "good", "gan", "train"),
            ("a.png", "p3", "5", "gan", "train"),
            ("a.png", "p3", "6", "gan", "train"),
            ("", "p1", "6", "gan", "train"),
            ("b.png", "", "6", "gan", "dev"),
            ("b.png", "p2", "6", "web", "dev"),
            ("c.png", "p2", "", "web", "val"),
        ],
        columns=["image", "rater", "score", "source", "split"],
    )
    _, problems = normalise_table(table)
    assert set(said(problems)) == {
        "row 1: the score of p1 is 11, not a number from 0 to 10",
        "row 2: the score of p2 is good, not a number from 0 to 10",
        "row 4: a.png has a score by p3 already",
        "row 5: it names no image",
        "row 6: it has a score, but names no rater",
        "b.png: it has more than one source",
        "row 8: c.png has no score, and a standard deviation needs 2",
        "split: 'dev' is not one of train, val, test",
    }


def test_labels_named_twice_and_torn_subjects() -> None:
    table = pd.DataFrame(
        {"image": ["a", "a"], "mean": [1, 2], "std": 1, "source": "x", "split": ["train", "test"], "subject": ["s", "s"]}
    )
    assert said(normalise_table(table)[1]) == ["row 2: it names a once more", "subject s: it is in more than one split"]
    assert "row 1: mean is missing, not a number from 0 to 10" in said(normalise_table(table.assign(mean=[np.nan, 2]))[1])


def test_images_of_nobody_known_are_not_one_person() -> None:
    many = pd.DataFrame({"image": [f"{i}.png" for i in range(20)], "mean": 5, "std": 1, "source": "gan"})
    for blank in ("", None):
        unknown = many.assign(subject=[blank] * 18 + ["p", "p"])
        found, problems = normalise_table(unknown)
        assert problems == []
        assert found["split"].iloc[:18].value_counts()["train"] >= 14
        assert found["split"].nunique() == 3
        assert found["split"].iloc[18] == found["split"].iloc[19]
        assert normalise_table(unknown.assign(split=["train"] * 9 + ["val"] * 9 + ["test"] * 2))[1] == []


def test_missing_columns() -> None:
    assert said(normalise_table(pd.DataFrame({"rater": [1]}))[1]) == [
        "it has no column image and no column source; its columns are: rater",
        "it has neither mean and std (or sd), nor rater_1, rater_2, …, nor rater and score",
    ]
    assert said(normalise_table(wide().head(0))[1]) == ["it has no rows"]


def test_rows_are_counted_from_one_in_both_forms() -> None:
    scores, problems = long_scores(wide(rater_2=["1", "x", "3"]))
    assert said(problems) == ["row 2: the score of rater_2 is x, not a number from 0 to 10"]
    assert scores["row"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("name", ["r.csv", "r.parquet"])
def test_files_are_read_with_names_like_numbers(name: str, tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (16, 16), (80 * i, 0, 0)).save(tmp_path / f"00{i}", format="PNG")
    table = wide(image=["000", "001", "002"])
    table.to_csv(tmp_path / name, index=False) if name.endswith("csv") else table.to_parquet(tmp_path / name)
    ratings = read_ratings(tmp_path / name, 16)
    assert ratings.images[:, 0, 0, 0].tolist() == [0, 80, 160]
    assert ratings.name.tolist() == ["000", "001", "002"]
    assert ratings.mean.tolist() == [8, 5, 4]
    assert not ratings.masked
    table["rater_1"] = ["-1", "a", "3"]
    table.to_csv(tmp_path / "bad.csv", index=False)
    (tmp_path / "002").unlink()
    with pytest.raises(DataError, match=r"rater_1 is -1, .*rater_1 is a, .*row 3: .*002 cannot be read"):
        read_ratings(tmp_path / "bad.csv")
