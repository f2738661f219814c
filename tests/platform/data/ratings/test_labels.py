import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from legan.models.attributes import AttributeSchema
from legan.platform.data.ratings.batches import choose_faces, write_study
from legan.platform.data.ratings.labels import collect
from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.data.write import write_dataset
from legan.platform.errors import DataError

N = 40


@pytest.fixture
def study(tmp_path: Path) -> Path:
    faces = pd.DataFrame(
        {
            "subject": [f"s{i // 2}" for i in range(N)], "expression": "any", "lighting": "any", "split": "train",
            "landmarks": [np.zeros(10, np.float32)] * N, "yaw": 0.0, "source": [("gan", "swap")[i % 2] for i in range(N)],
            "source_path": [f"{i}.png" for i in range(N)],
        }
    )  # fmt: skip
    images = np.stack([np.full((16, 16, 3), i, np.uint8) for i in range(N)])
    data = write_dataset(
        tmp_path / "faces", name="synthetic", schema=AttributeSchema(("any",), ("any",)), faces=faces, images=images,
        hulls=np.ones((N, 16, 16), np.bool_), source="test",
    )  # fmt: skip
    write_study(data, tmp_path / "study", choose_faces(data), batches=4)
    return tmp_path / "study"


def scores(study: Path) -> pd.DataFrame:
    """Row r of the data set gets r mod 9 from the first seat, one more from the second, and two more from the third."""
    table = pd.read_csv(study / "assignments.csv")
    row = pd.read_csv(study / "images.csv").set_index("image")["row"]
    table["score"] = table["image"].map(row) % 9 + table["rater"].str[-1].astype(int) - 1
    return table


def test_scores_become_labels(study: Path, tmp_path: Path) -> None:
    scores(study).to_csv(tmp_path / "filled.csv", index=False)
    done = collect(study, [tmp_path / "filled.csv"], tmp_path / "ratings")
    ratings = read_ratings(tmp_path / "ratings")
    assert len(ratings) == N
    row = ratings.images[:, 0, 0, 0].astype(int)
    assert sorted(row) == list(range(N))
    np.testing.assert_allclose(ratings.mean, row % 9 + 1)
    np.testing.assert_allclose(ratings.std, np.sqrt(2 / 3), rtol=1e-6)
    assert ratings.source.tolist() == [("gan", "swap")[i % 2] for i in row]
    assert (ratings.masked, ratings.simulated) == (True, False)
    assert pd.Series(ratings.split).value_counts().to_dict() == {"train": 32, "val": 4, "test": 4}
    table = pd.read_parquet(tmp_path / "ratings" / "ratings.parquet")
    assert (table.groupby("subject")["split"].nunique() == 1).all()
    assert (table["rater_3"] - table["rater_1"] == 2).all()
    assert done.batches.to_dict("list") == {
        "batch": [1, 2, 3, 4], "images": [10] * 4, "complete": [10] * 4, "partial": [0] * 4, "left_out": [0] * 4,
    }  # fmt: skip
    collect(study, [tmp_path / "filled.csv"], tmp_path / "sample", deviation="sample", seed=1)
    assert json.loads((tmp_path / "sample" / "ratings.json").read_text())["std"].startswith("sample")
    sample = read_ratings(tmp_path / "sample")
    np.testing.assert_allclose(sample.std, 1.0)
    assert not np.array_equal(sample.split, ratings.split)


def test_what_is_rated_so_far_is_used_and_counted(study: Path, tmp_path: Path) -> None:
    table = scores(study)
    image = table["image"].drop_duplicates().to_numpy()[:3]
    table.loc[(table["image"] == image[0]) & table["rater"].str.endswith("r2"), "score"] = None
    table.loc[(table["image"] == image[1]) & ~table["rater"].str.endswith("r1"), "score"] = None
    half = table["batch"] < 4
    table[half & (table["batch"] % 2 == 0)].to_csv(tmp_path / "even.csv", index=False)
    table[half & (table["batch"] % 2 == 1)].to_parquet(tmp_path / "odd.parquet")
    done = collect(study, [tmp_path / "even.csv", tmp_path / "odd.parquet"], tmp_path / "ratings")
    assert len(done.ratings) == 29
    assert done.batches.set_index("batch").to_dict("index") == {
        1: {"images": 10, "complete": 8, "partial": 1, "left_out": 1},
        2: {"images": 10, "complete": 10, "partial": 0, "left_out": 0},
        3: {"images": 10, "complete": 10, "partial": 0, "left_out": 0},
        4: {"images": 10, "complete": 0, "partial": 0, "left_out": 10},
    }
    parquet = pd.read_parquet(tmp_path / "ratings" / "ratings.parquet").set_index("name")
    assert parquet["scores"].value_counts().to_dict() == {3: 28, 2: 1}
    one = parquet.loc[image[0]]
    assert (one["rater_2"] - one["rater_1"], one["mean"] - one["rater_1"], one["std"]) == (2, 1, 1)
    assert np.isnan(one["rater_3"])
    with pytest.raises(DataError, match=r"no image of .* has 4 scores yet"):
        collect(study, [tmp_path / "even.csv"], tmp_path / "four", least=4)


def test_a_column_per_rater_is_as_good(study: Path, tmp_path: Path) -> None:
    table = scores(study)
    wide = table.assign(rater="rater_" + table["rater"].str[-1]).pivot_table(index="image", columns="rater", values="score")
    wide.reset_index().to_csv(tmp_path / "wide.csv", index=False)
    ratings = collect(study, [tmp_path / "wide.csv"], tmp_path / "ratings").ratings
    np.testing.assert_allclose(ratings.mean, ratings.images[:, 0, 0, 0].astype(int) % 9 + 1)


def test_everything_wrong_is_told_at_once(study: Path, tmp_path: Path) -> None:
    table = scores(study).astype({"score": object}).head(3)
    table.loc[0, "score"] = 11
    table.loc[1, "image"] = "images/x.png"
    table.loc[2, "rater"] = "b02-r1"
    table.to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"image": ["x"], "points": [1]}).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError) as caught:
        collect(study, [tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "ratings")
    for part in (
        "a.csv: row 1: the score of b01-r1 is 11",
        "a.csv: row 2: images/x.png is not an image of the study",
        f"a.csv: row 3: {table.loc[2, 'image']} was not given to b02-r1",
        "b.csv: it has no columns image, rater and score, nor image, rater_1, rater_2, …; its columns are: image, points",
    ):
        assert part in str(caught.value)
    scores(study).to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(DataError, match="120 scores are in more than one file"):
        collect(study, [tmp_path / "all.csv", tmp_path / "all.csv"], tmp_path / "ratings")
    with pytest.raises(DataError, match=r"there is no score in assignments\.csv yet"):
        collect(study, [study / "assignments.csv"], tmp_path / "ratings")
    with pytest.raises(DataError, match="is no study"):
        collect(tmp_path, [tmp_path / "all.csv"], tmp_path / "ratings")
    (tmp_path / "study.sqlite").touch()
    with pytest.raises(DataError, match="is a web study, whose answers `legan study report` writes"):
        collect(tmp_path, [tmp_path / "all.csv"], tmp_path / "ratings")
    (study / "images.csv").write_text("image\n")
    with pytest.raises(DataError, match="is damaged"):
        collect(study, [tmp_path / "all.csv"], tmp_path / "ratings")
    assert not (tmp_path / "ratings").exists()


def test_scores_of_label_studio_are_collected(study: Path, tmp_path: Path) -> None:
    table = scores(study)
    seats = {rater: str(number) for number, rater in enumerate(sorted(table["rater"].unique()))}
    tasks = [
        {
            "id": number,
            "data": {"image": f"/data/upload/1/0a1b2c3d-{image.rpartition('/')[2]}"},
            "annotations": [
                {
                    "id": f"{number}-{row.rater}", "completed_by": int(seats[row.rater]),
                    "result": [{"from_name": "q", "type": "number", "value": {"number": row.score}}],
                }
                for row in rows.itertuples()
            ],
        }
        for number, (image, rows) in enumerate(table.groupby("image"))
    ]  # fmt: skip
    tasks[0]["annotations"][0]["was_cancelled"] = True
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    done = collect(study, [tmp_path / "export.json"], tmp_path / "ratings")
    assert done.notes == ("export.json: 1 annotation without a score is left out",)
    assert (len(done.ratings), done.batches["partial"].sum()) == (N, 1)
