"""A study on Mechanical Turk and back: pages with attention checks, and results in each of the forms that projects have."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from legan.cli import app
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.data.ratings.batches import choose_faces, write_study
from legan.platform.data.ratings.labels import collect
from legan.platform.data.ratings.mturk import deal_pages, write_mturk
from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.errors import ConfigError, DataError

URL = "https://faces.example.org/study 1"
HEAD = ["HITId", "HITTypeId", "Title", "Reward", "AssignmentId", "WorkerId", "AssignmentStatus", "WorkTimeInSeconds"]


@pytest.fixture
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


@pytest.fixture
def study(data: Dataset, tmp_path: Path) -> Path:
    write_study(data, tmp_path / "study", choose_faces(data, max_yaw=180), batches=2)
    return tmp_path / "study"


@pytest.fixture
def turk(study: Path, data: Dataset) -> Path:
    return write_mturk(study, URL, data.path, per_page=7).folder


def true_score(image: str, row: "pd.Series[int]") -> int:
    """What an attentive worker gives to an image of the study."""
    return int(row[image]) % 5 + 3


def results(turk: Path, form: str, careless: str = "", **changed: dict[str, str]) -> pd.DataFrame:
    """What Mechanical Turk hands back of three workers a page; a ``careless`` one answers 0 and 10 in turn."""
    pages, key = pd.read_csv(turk / "input.csv"), pd.read_csv(turk / "key.csv").set_index("file")
    row = pd.read_csv(turk.parent / "images.csv").set_index("image")["row"]
    rows = []
    for page, shown in enumerate(pages.to_dict("records")):
        for worker in ("W1", "W2", "W3"):
            scores: dict[str, int] = {}
            for column, address in shown.items():
                face = key.loc[address.rpartition("/")[2]]
                number = int(column.removeprefix("image_"))
                score = 9 if face["kind"] == "real" else true_score(face["image"], row)
                if worker == careless:
                    score = 10 * (number % 2)
                scores[f"score_{number}"] = score
            head = [f"H{page}", "T", "Faces", "$0.50", f"A{page}{worker}", worker, "Approved", str(60 + page)]
            rows.append(dict(zip(HEAD, head, strict=True)) | {f"Input.{column}": address for column, address in shown.items()})
            rows[-1] |= answers(scores, form) | {"Approve": "", "Reject": ""} | changed.get(f"A{page}{worker}", {})
    return pd.DataFrame(rows)


def answers(scores: dict[str, int], form: str) -> dict[str, str]:
    if form == "plain":
        return {f"Answer.{name}": str(score) for name, score in scores.items()}
    if form == "radio":
        return {f"Answer.{name}.{each}": str(each == score).lower() for name, score in scores.items() for each in range(11)}
    if form == "json":
        return {"Answer.taskAnswers": json.dumps([{name: str(score) for name, score in scores.items()}])}
    chosen = {name: {str(each): each == score for each in range(11)} for name, score in scores.items()}
    return {"Answer.taskAnswers": json.dumps([chosen])}


def test_every_image_is_rated_and_each_page_has_its_checks(study: Path, turk: Path, data: Dataset) -> None:
    images = pd.read_csv(study / "images.csv")
    key, pages = pd.read_csv(turk / "key.csv"), pd.read_csv(turk / "input.csv")
    rated = key[key["kind"] == "rated"]
    assert set(rated["image"]) == set(images["image"])
    assert len(rated) == 77, "72 images on 11 pages of 7: five come once more"
    assert key.groupby("page")["kind"].value_counts().unstack().to_numpy().tolist() == [[7, 1, 1]] * 11
    for _, page in key.groupby("page"):
        assert not page[page["kind"] == "rated"]["image"].duplicated().any()
        repeat = page[page["kind"] == "repeat"].iloc[0]
        first = page[(page["kind"] == "rated") & (page["image"] == repeat["image"])].iloc[0]
        assert repeat["position"] > first["position"]
        assert repeat["file"] != first["file"]
    assert list(pages) == [f"image_{number}" for number in range(1, 10)]
    assert pages.stack().tolist() == [f"{URL}/{name}" for name in key["file"]]

    assert sorted(path.name for path in (turk / "images").iterdir()) == sorted(key["file"])
    for shown in key.itertuples():
        pixels = np.asarray(Image.open(turk / "images" / shown.file))
        if shown.kind == "real":
            assert np.array_equal(pixels, data.images[int(shown.image)] * data.hulls([int(shown.image)])[0][..., None])
        else:
            assert np.array_equal(pixels, np.asarray(Image.open(study / shown.image)))


def test_the_page_shows_all_columns_and_asks_for_a_score_of_each(turk: Path) -> None:
    page = (turk / "layout.html").read_text()
    columns = list(pd.read_csv(turk / "input.csv"))
    assert re.findall(r"\$\{(\w+)\}", page) == columns
    assert re.findall(r'select name="(\w+)" required', page) == [column.replace("image", "score") for column in columns]
    assert page.count("<option>10</option>") == len(columns)
    assert "{{" not in page


def test_pages_follow_the_seed_and_repeats_are_apart() -> None:
    images = [f"images/{number}.png" for number in range(20)]
    first, again, other = (deal_pages(images, [], 5, seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)
    assert first["kind"].value_counts().to_dict() == {"rated": 20, "repeat": 4}
    places = first.groupby(["page", "image"])["position"].agg(list)
    assert all(max(place) - min(place) >= 2 for place in places if len(place) == 2)


@pytest.mark.parametrize("form", ["plain", "radio", "json", "json radio"])
def test_scores_come_back_in_every_form(form: str, study: Path, turk: Path, tmp_path: Path) -> None:
    results(turk, form).to_csv(tmp_path / "Batch_1_batch_results.csv", index=False)
    done = collect(study, [tmp_path / "Batch_1_batch_results.csv"], tmp_path / "ratings")
    ratings = read_ratings(tmp_path / "ratings")
    row = pd.read_csv(study / "images.csv").set_index("image")["row"]
    assert len(ratings) == 72
    assert ratings.mean.tolist() == [true_score(name, row) for name in ratings.name]
    assert (ratings.std == 0).all()
    assert done.batches["complete"].sum() == 72
    assert done.notes == ()
    workers = pd.read_csv(turk / "workers.csv")
    assert workers["worker"].tolist() == ["W1", "W2", "W3"]
    assert workers[["assignments", "repeats", "real", "apart", "natural"]].drop_duplicates().to_numpy().tolist() == [
        [11, 11, 11, 0.0, 1.0]
    ]
    assert set(workers["checks"]) == {"passed"}
    assert workers["seconds"].tolist() == [pytest.approx(65 / 9)] * 3


def test_who_fails_the_checks_is_told_and_can_be_left_out(study: Path, turk: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    results(turk, "plain", careless="W2").to_csv(file, index=False)
    kept = collect(study, [file], tmp_path / "all")
    assert kept.workers["worker"].tolist() == ["W2", "W1", "W3"]
    assert kept.workers["checks"].tolist() == ["failed", "passed", "passed"]
    assert (read_ratings(tmp_path / "all").std > 0).any()

    command = ["ratings", "collect", str(study), "--scores", str(file), "--out", str(tmp_path / "some"), "--attentive"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "1 worker failed the attention checks, and their scores are left out" in done.output
    assert "3 workers, of whom 1 failed the attention checks" in done.output
    assert "A worker fails who scores repeated images more than 2 apart in the mean" in done.output
    ratings = read_ratings(tmp_path / "some")
    assert (ratings.std == 0).all()
    assert "rater_3" not in pd.read_parquet(tmp_path / "some" / "ratings.parquet")


def test_the_rule_of_the_checks(study: Path, turk: Path, tmp_path: Path) -> None:
    """The mean distance of repeats and the share of natural real faces count, each by itself."""
    table = results(turk, "plain")
    key = pd.read_csv(turk / "key.csv")
    real = key[(key["page"] == 1) & (key["kind"] == "real")]["position"].iloc[0]
    again = key[(key["page"] == 2) & (key["kind"] == "repeat")].iloc[0]
    first = key[(key["page"] == 2) & (key["kind"] == "rated") & (key["image"] == again["image"])]["position"].iloc[0]
    changes = [
        ("blind", "A0W1", {real: "4"}),
        ("seeing", "A0W2", {real: "5"}),
        ("hasty", "A1W1", {again["position"]: "3", first: "0"}),
        ("near", "A1W2", {again["position"]: "2", first: "0"}),
    ]
    for worker, assignment, scores in changes:
        own = table["AssignmentId"] == assignment
        table.loc[own, "WorkerId"] = worker
        for position, score in scores.items():
            table.loc[own, f"Answer.score_{position}"] = score
    table.to_csv(tmp_path / "results.csv", index=False)
    workers = collect(study, [tmp_path / "results.csv"], tmp_path / "out").workers.set_index("worker")
    assert workers.index[workers["checks"] == "failed"].tolist() == ["blind", "hasty"]
    assert workers.index[workers["checks"] == "passed"].tolist() == ["W1", "W2", "W3", "near", "seeing"]
    assert workers.loc["hasty", "apart"] == 3
    assert workers.loc["blind", "natural"] == 0


def test_what_is_no_score_is_left_out_and_told(study: Path, turk: Path, tmp_path: Path) -> None:
    table = results(turk, "plain", A0W1={"AssignmentStatus": "Rejected"}, A1W2={"Answer.score_2": ""})
    table.to_csv(tmp_path / "one.csv", index=False)
    table.head(3).to_csv(tmp_path / "two.csv", index=False)
    done = collect(study, [tmp_path / "one.csv", tmp_path / "two.csv"], tmp_path / "out")
    assert done.notes == (
        "Mechanical Turk: 2 assignments were rejected and are left out",
        "Mechanical Turk: 2 assignments are there twice and once left out",
        "Mechanical Turk: 1 image has no answer and is left out",
    )
    assert done.batches["partial"].sum() == 3, "five of the rejected page's images were rated on another one, too"


def test_wrong_results_are_all_told(study: Path, turk: Path, tmp_path: Path) -> None:
    changed = {"A0W1": {"Answer.score_1": "11", "Answer.score_2": "good"}, "A0W2": {"Input.image_3": f"{URL}/other.png"}}
    results(turk, "plain", **changed).to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(DataError) as caught:
        collect(study, [tmp_path / "results.csv"], tmp_path / "out")
    assert str(caught.value) == (
        "the scores cannot be used: results.csv, row 1: the score of image 1 is 11, not a number from 0 to 10; "
        "results.csv, row 1: the score of image 2 is good, not a number from 0 to 10; "
        f"results.csv, row 2: other.png is none of the images of {turk}."
    )
    filled = pd.read_csv(study / "assignments.csv").assign(score=5)
    filled.to_csv(tmp_path / "filled.csv", index=False)
    with pytest.raises(DataError, match="--attentive: only results of Mechanical Turk have attention checks; leave it out"):
        collect(study, [tmp_path / "filled.csv"], tmp_path / "out", attentive=True)
    results(turk, "plain").to_csv(tmp_path / "results.csv", index=False)
    (turk / "key.csv").unlink()
    with pytest.raises(DataError, match=r"has no mturk/key.csv, which says what workers saw"):
        collect(study, [tmp_path / "results.csv"], tmp_path / "out")


def test_a_batch_that_cannot_be_made_is_refused_with_every_reason(study: Path, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        write_mturk(study, "http://faces.example.org", tmp_path / "none", per_page=80)
    told = [str(problem) for problem in caught.value.problems]
    assert told[0] == (
        "--images-at: http://faces.example.org does not begin with https://, and pages of Mechanical Turk load nothing else"
    )
    assert told[1].startswith(f"--photographs: {tmp_path / 'none'} is no data set")
    assert told[2] == "--per-page: 80 is more than the study's 72 images"
    assert not (study / "mturk").exists()

    made = CliRunner().invoke(
        app, ["ratings", "mturk", str(study), "--images-at", URL, "--per-page", "8"], catch_exceptions=False
    )
    assert made.output.startswith("9 pages of 9 images: 72 to rate, 9 repeated, 0 of real faces; written to ")
    with pytest.raises(DataError, match="already exists"):
        write_mturk(study, URL)
    with pytest.raises(ConfigError, match="is no study"):
        write_mturk(data.path, URL, overwrite=True)
