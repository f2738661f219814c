import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import Dataset
from legan.platform.data.ratings.batches import choose_faces, deal, read_groups, write_study
from legan.platform.data.write import write_dataset
from legan.platform.errors import DataError

N = 60


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """60 noise faces; yaw runs from -30 to 29 degrees, face 40 is a copy of 35."""
    rng = np.random.default_rng(0)
    faces = pd.DataFrame(
        {
            "subject": [f"s{i}" for i in range(N)], "expression": "any", "lighting": "any", "split": "train",
            "landmarks": [np.zeros(10, np.float32)] * N, "yaw": np.arange(N) - 30.0,
            "source_path": [f"gan/{i}.png" for i in range(N)], "source": ["gan" if i % 2 else "swap" for i in range(N)],
            "duplicate_of": pd.array([35 if i == 40 else pd.NA for i in range(N)], dtype="Int64"),
        }
    )  # fmt: skip
    hull = np.zeros((16, 16), np.bool_)
    hull[4:12, 4:12] = True
    return write_dataset(
        tmp_path_factory.mktemp("faces") / "faces", name="synthetic", schema=AttributeSchema(("any",), ("any",)), faces=faces,
        images=rng.integers(1, 256, (N, 16, 16, 3), dtype=np.uint8), hulls=np.stack([hull] * N), source="test",
    )  # fmt: skip


SIDE = np.array(["natural" if i % 3 else "unnatural" for i in range(N)])
GROUP = np.array(["" if i == 20 else "f" if i % 2 else "m" for i in range(N)])


def test_yaw_copies_and_balance_by_hand(data: Dataset) -> None:
    choice = choose_faces(data, side=SIDE, group=GROUP, seed=1)
    # Rows 15 to 45 have |yaw| ≤ 15; without 20 (no group) and 40 (copy) 29 are left. Of these, unnatural (multiples of 3)
    # are 15, 18, …, 45: the even ones 18, 24, 30, 36, 42 are m, the odd ones 15, 21, 27, 33, 39, 45 are f.
    assert choice.dropped == {"turned by more than 15°": 29, "exact copies": 1, "without a group": 1, "for balance": 9}
    assert choice.cells.to_dict("records") == [
        {"side": "natural", "group": "f", "found": 10, "chosen": 5},
        {"side": "natural", "group": "m", "found": 8, "chosen": 5},
        {"side": "unnatural", "group": "f", "found": 6, "chosen": 5},
        {"side": "unnatural", "group": "m", "found": 5, "chosen": 5},
    ]
    assert len(set(choice.rows)) == 20
    assert set(choice.rows) <= set(range(15, 46)) - {20, 40}
    assert pd.Series(SIDE[choice.rows]).value_counts().to_dict() == {"natural": 10, "unnatural": 10}
    assert np.array_equal(choice.rows, choose_faces(data, side=SIDE, group=GROUP, seed=1).rows)
    assert not np.array_equal(choice.rows, choose_faces(data, side=SIDE, group=GROUP, seed=2).rows)


def test_without_sides_and_groups_only_the_filters_count(data: Dataset) -> None:
    assert sorted(choose_faces(data).rows) == [row for row in range(15, 46) if row != 40]
    assert len(choose_faces(data, max_yaw=180).rows) == N - 1
    assert len(choose_faces(data, side=SIDE, count=9).rows) == 8


def test_what_cannot_be_balanced_is_told(data: Dataset) -> None:
    with pytest.raises(DataError, match=r"there is no natural face after leaving out 29 \(turned by more than 15°\)"):
        choose_faces(data, side=np.full(N, "unnatural"))
    with pytest.raises(DataError, match="1 image cannot be shared by 2 sides and groups"):
        choose_faces(data, side=SIDE, count=1)
    with pytest.raises(DataError, match=r"60 of 60 faces .* have no yaw"):
        choose_faces(_without_yaw(data))
    assert len(choose_faces(_without_yaw(data), max_yaw=180).rows) == N - 1


def _without_yaw(data: Dataset) -> Dataset:
    return Dataset(**{**vars(data), "faces": data.faces.assign(yaw=np.nan)})


@settings(deadline=None)
@given(count=st.integers(1, 200), batches=st.integers(1, 80), raters=st.integers(1, 5), seed=st.integers(0, 99))
def test_every_image_is_in_one_batch_and_seen_by_its_raters(count: int, batches: int, raters: int, seed: int) -> None:
    batch, seats = deal(count, batches, raters, seed)
    sizes = np.bincount(batch)[1:]
    assert sizes.max() - sizes.min() <= 1
    assert len(sizes) == min(count, batches)
    assert len(seats) == count * raters
    assert not seats.duplicated(["rater", "index"]).any()
    assert (batch[seats["index"]] == seats["batch"]).all()
    assert (seats.groupby("index")["rater"].nunique() == raters).all()
    for _, seat in seats.groupby("rater"):
        assert seat["position"].tolist() == list(range(1, len(seat) + 1))


def test_the_papers_numbers() -> None:
    batch, seats = deal(37_267, 72, 3, 0)
    assert set(np.bincount(batch)[1:]) == {517, 518}
    assert seats["rater"].nunique() == 216


def test_study_folder(data: Dataset, tmp_path: Path) -> None:
    distance = np.linspace(-1, 1, N)
    choice = choose_faces(data, side=SIDE, group=GROUP, seed=1)
    write_study(data, tmp_path / "study", choice, batches=5, distance=distance, side=SIDE, group=GROUP, about={"max_yaw": 15.0})
    record = json.loads((tmp_path / "study" / "batches.json").read_text())
    assert (record["images"], record["batches"], record["raters"], record["masked"], record["max_yaw"]) == (20, 5, 3, True, 15.0)
    images = pd.read_csv(tmp_path / "study" / "images.csv")
    assert sorted(images["row"]) == sorted(choice.rows)
    for row in images.itertuples():
        with Image.open(tmp_path / "study" / row.image) as opened:
            pixels = np.asarray(opened)
        assert np.array_equal(pixels, data.images[row.row] * data.hulls([row.row])[0][..., None])
        assert (row.source, row.subject, row.yaw) == ("gan" if row.row % 2 else "swap", f"s{row.row}", row.row - 30)
        assert (row.side, row.group, row.distance) == (SIDE[row.row], GROUP[row.row], pytest.approx(distance[row.row]))
    # Each batch of four has one of each cell.
    assert (images.groupby(["batch", "side", "group"]).size() == 1).all()
    assignments = pd.read_csv(tmp_path / "study" / "assignments.csv")
    assert assignments.columns.tolist() == ["batch", "rater", "position", "image", "score"]
    assert len(assignments) == 60
    assert assignments["score"].isna().all()
    with pytest.raises(DataError, match="already exists"):
        write_study(data, tmp_path / "study", choice, batches=5)
    write_study(data, tmp_path / "study", choice, batches=4, masked=False, overwrite=True)
    again = pd.read_csv(tmp_path / "study" / "images.csv")
    assert not set(images["image"]) & set(again["image"]), "whole faces are another study"
    with Image.open(tmp_path / "study" / again["image"][0]) as opened:
        assert np.asarray(opened).min() > 0
    with pytest.raises(DataError, match="20 images cannot be divided into 72 batches"):
        write_study(data, tmp_path / "other", choice)


def test_scores_and_other_peoples_files_are_not_overwritten(data: Dataset, tmp_path: Path) -> None:
    out, choice = tmp_path / "study", choose_faces(data, count=4)
    write_study(data, out, choice, batches=1)
    filled = (out / "assignments.csv").read_text().replace(",\n", ",7\n", 1)
    for file, text, message in (
        ("filled.csv", filled, "study also holds filled.csv, so --overwrite leaves it alone"),
        ("assignments.csv", filled, r"assignments\.csv holds scores, so --overwrite leaves it alone"),
        ("assignments.csv", filled.replace(",", ";"), r"assignments\.csv holds scores"),
        ("assignments.csv", "image|score\n", r"assignments\.csv holds scores"),
    ):
        (out / file).write_text(text)
        with pytest.raises(DataError, match=message):
            write_study(data, out, choice, batches=1, overwrite=True)
        (out / "filled.csv").unlink(missing_ok=True)
    (tmp_path / "web").mkdir()
    for name in ("study.json", "study.sqlite"):
        (tmp_path / "web" / name).touch()
    with pytest.raises(DataError, match=r"has no batches\.json, so --overwrite leaves it alone"):
        write_study(data, tmp_path / "web", choice, batches=1, overwrite=True)


def test_groups_from_a_table_or_the_data_set(data: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "gender.csv"
    file.write_text("image,gender\ngan/3.png,f\ngan/1.png,m\nelsewhere.png,m\n")
    groups = read_groups(file, "gender", data)
    assert {row: group for row, group in enumerate(groups) if group} == {1: "m", 3: "f"}
    assert read_groups(None, "source", data).tolist() == data.faces["source"].tolist()
    for text, message in [
        ("image,sex\na,f\n", "cannot be used: it has no column gender; its columns are: image, sex"),
        ("image,gender\na,f\na,m\n", "names a more than once"),
        ("image,gender\n3.png,f\n", r"no image of the table .* for example gan/0\.png"),
    ]:
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            read_groups(file, "gender", data)
    with pytest.raises(DataError, match="has no column gender; give a table with --groups"):
        read_groups(None, "gender", data)
