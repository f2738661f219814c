import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.serve.study.conftest import draw, make
from typer import Typer
from typer.testing import CliRunner

from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.errors import DataError
from legan.platform.evaluation.tables.evaluated import read_preferences
from legan.serve.commands.study import mount
from legan.serve.study.report import write_report
from legan.serve.study.store import Study

SCORES = {"one/0.png": (1, 2), "one/1.png": (4, 4), "two/2.png": (3, None), "two/3.png": (None, None)}


def answer(study: Study, rater: int, choose: dict[str, int | str | None]) -> None:
    """Answer all of a rater's tasks by the items' names, each in as many seconds as its number says; None lets time run out."""
    while tasks := study.pending(rater, 1):
        task, value = tasks[0], choose[tasks[0].item.name]
        place = task.models.index(value) + 1 if isinstance(value, str) else value
        study.record(rater, task.task, task.round, place, 60 if value is None else float(task.task))


@pytest.fixture
def rated(rating_images: Path, tmp_path: Path) -> Study:
    study = make(tmp_path / "study", ratings=rating_images)
    for rater in (0, 1):
        answer(study, rater + 1, {name: scores[rater] for name, scores in SCORES.items()})
    return study


def test_ratings_by_hand(rated: Study, tmp_path: Path) -> None:
    said = write_report(rated, tmp_path / "report")
    assert said == (tmp_path / "report" / "report.md").read_text()
    assert said.startswith("# Ratings: 5 of 8 answers\n")
    assert "4 items judged, 2 raters intended for each, 60 s for each. 2 of 2 raters answered" in said
    assert "Time-outs: 6, 3 of them for good." in said
    # (1.5 + 4 + 3) / 3; units (1, 2), (4, 4): D_o = 1/2, D_e = 54/12.
    assert "Mean rating 2.83 over 3 images. Agreement: Krippendorff's α (interval) = 0.889." in said
    images = pd.read_csv(tmp_path / "report" / "images.csv").set_index("image")
    assert images["mean"].to_dict() == {"one/0.png": 1.5, "one/1.png": 4, "two/2.png": 3}
    assert images["std"].to_dict() == {"one/0.png": 0.5, "one/1.png": 0, "two/2.png": 0}
    assert images["timeouts"].to_dict() == {"one/0.png": 0, "one/1.png": 0, "two/2.png": 2}
    sources = pd.read_csv(tmp_path / "report" / "sources.csv").set_index("source")
    assert sources["images"].to_dict() == {"one": 2, "two": 1}
    assert sources["mean"].to_dict() == {"one": 2.75, "two": 3}
    assert sources["sd_between_images"]["one"] == pytest.approx(np.sqrt(2 * 1.25**2))
    raters = pd.read_csv(tmp_path / "report" / "raters.csv").set_index("rater")
    assert raters[["asked", "answered", "timeouts", "given_up"]].to_numpy().tolist() == [[4, 3, 2, 1], [4, 2, 4, 2]]
    assert raters["mean"].tolist() == pytest.approx([8 / 3, 3])
    assert raters["sd"].tolist() == pytest.approx([np.sqrt(14 / 9), 1])
    answers = pd.read_csv(tmp_path / "report" / "answers.csv")
    assert len(answers) == 5 + 6
    assert answers["score"].sum() == 14
    given = answers[~answers["timed_out"]]
    assert raters["median_s"].tolist() == given.groupby("rater")["seconds"].median().tolist()


def test_ratings_for_q_are_read_by_its_training(rated: Study, rating_images: Path, tmp_path: Path) -> None:
    said = write_report(rated, tmp_path / "report")
    assert "ratings.csv holds 2 images; 1 with a single rating are left out." in said
    ratings = read_ratings(tmp_path / "report" / "ratings.csv", image_size=32)
    assert ratings.mean.tolist() == [1.5, 4]
    assert ratings.std.tolist() == [0.5, 0]
    assert ratings.source.tolist() == ["one", "one"]
    assert not ratings.simulated
    assert ratings.images[:, 0, 0].tolist() == [[0, 100, 100], [50, 100, 100]]


def test_one_rater_per_image_gives_no_labels(rating_images: Path, tmp_path: Path) -> None:
    study = make(tmp_path / "study", ratings=rating_images, raters_per_item=1)
    for rater in (1, 2):
        answer(study, rater, dict.fromkeys(SCORES, 5))
    assert "No image has two ratings, which a standard deviation needs" in write_report(study, tmp_path / "report")
    assert not (tmp_path / "report" / "ratings.csv").exists()


def test_splits_are_the_tables_or_80_10_10(rating_images: Path, tmp_path: Path) -> None:
    for number in range(20):
        draw(tmp_path / "many" / f"{number}.png", (number, 0, 0))
    study = make(tmp_path / "study", ratings=tmp_path / "many")
    for rater in (1, 2):
        answer(study, rater, {f"{number}.png": 5 for number in range(20)})
    said = write_report(study, tmp_path / "report")
    assert "undefined (too few answers, or no differences)" in said
    assert pd.read_csv(tmp_path / "report" / "ratings.csv")["split"].value_counts().to_dict() == {
        "train": 16,
        "val": 2,
        "test": 2,
    }
    table = rating_images / "table.csv"
    table.write_text("image,split\none/0.png,val\none/1.png,test\n")
    study = make(tmp_path / "other", ratings=table)
    for rater in (1, 2):
        answer(study, rater, {"one/0.png": 1, "one/1.png": 9})
    write_report(study, tmp_path / "other_report")
    assert pd.read_csv(tmp_path / "other_report" / "ratings.csv")["split"].tolist() == ["val", "test"]


def test_preferences_by_hand(lineup_images: Path, tmp_path: Path) -> None:
    study = make(tmp_path / "study", lineup=lineup_images, raters=2)
    answer(study, 1, {"a": "LEGAN", "b": "LEGAN", "c": "StarGAN"})
    answer(study, 2, {"a": "LEGAN", "b": "StarGAN", "c": "StarGAN"})
    said = write_report(study, tmp_path / "report")
    assert said.startswith("# Line-ups: 6 of 6 answers\n")
    # Per line-up (2,0,0), (1,1,0), (0,2,0): P̄ = 2/3, shares 1/2 and 1/2, P_e = 1/2.
    assert "Fleiss' κ = 0.333 over 3 line-ups." in said
    table = pd.read_csv(tmp_path / "report" / "preferences.csv").set_index("model")
    assert table["votes"].to_dict() == {"LEGAN": 3, "StarGAN": 3, "other": 0}
    assert read_preferences(tmp_path / "report" / "preferences.csv") == table["votes"].to_dict()
    assert table["share"].to_dict() == {"LEGAN": 0.5, "StarGAN": 0.5, "other": 0}
    # Wilson at n = 6: 1/2 ± z / (2 sqrt(6 + z²)), and for 0 of 6 from 0 to z² / (6 + z²).
    z2 = 1.959963985**2
    half = np.sqrt(z2 / (6 + z2)) / 2
    assert table.loc["LEGAN", ["low", "high"]].tolist() == pytest.approx([0.5 - half, 0.5 + half])
    assert table.loc["other", ["low", "high"]].tolist() == pytest.approx([0, z2 / (6 + z2)], abs=1e-9)
    # Raters and photographs are drawn: of a alone LEGAN gets all votes, of c alone none, each in one of 27 draws.
    assert table.loc["LEGAN", ["bootstrap_low", "bootstrap_high"]].tolist() == pytest.approx([0, 1])
    assert "anew both of 2 raters and 3 subjects (photographs that name nobody count as one each)." in said
    lineups = pd.read_csv(tmp_path / "report" / "lineups.csv")
    assert lineups.to_numpy().tolist() == [["a", "smile", "top_left", 2, 0, 0], ["b", "smile", "top_left", 1, 1, 0],
                                           ["c", "smile", "right", 0, 2, 0]]  # fmt: skip
    answers = pd.read_csv(tmp_path / "report" / "answers.csv")
    places = pd.read_csv(tmp_path / "report" / "places.csv")
    assert places["place"].tolist() == [1, 2, 3]
    assert places["votes"].tolist() == [(answers["place"] == place).sum() for place in (1, 2, 3)]
    assert places["votes"].sum() == 6


def test_photographs_of_one_person_are_drawn_together(lineup_images: Path, tmp_path: Path) -> None:
    targets = lineup_images / "targets.csv"
    targets.write_text("image,expression,lighting,subject\na,smile,right,ann\nb,smile,right,ann\nc,smile,right,ann\n")
    study = make(tmp_path / "study", lineup=lineup_images, raters=2)
    for rater in (1, 2):
        answer(study, rater, {"a": "LEGAN", "b": "LEGAN", "c": "StarGAN"})
    assert "anew both of 2 raters and 1 subject." in write_report(study, tmp_path / "report")
    table = pd.read_csv(tmp_path / "report" / "preferences.csv").set_index("model")
    assert table.loc["LEGAN", ["bootstrap_low", "bootstrap_high"]].tolist() == pytest.approx([2 / 3, 2 / 3])


def test_a_rater_who_has_not_begun_is_listed(rating_images: Path, tmp_path: Path) -> None:
    study = make(tmp_path / "study", ratings=rating_images)
    answer(study, 1, dict.fromkeys(SCORES, 5))
    said = write_report(study, tmp_path / "report")
    assert "1 of 2 raters answered" in said
    assert re.search(r"\| R2 \| 4 \| 0 \| 0 \| 0 \| – \| – \| – \| – \|", said)
    assert "No image has two ratings, which a standard deviation needs, so there is no ratings.csv." in said
    assert not (tmp_path / "report" / "ratings.csv").exists()


def test_reports_are_not_replaced_unasked_and_need_answers(rated: Study, rating_images: Path, tmp_path: Path) -> None:
    write_report(rated, tmp_path / "report")
    with pytest.raises(DataError, match="already exists"):
        write_report(rated, tmp_path / "report")
    write_report(rated, tmp_path / "report", overwrite=True)
    with pytest.raises(DataError, match="nobody has answered in the study"):
        write_report(make(tmp_path / "empty", ratings=rating_images), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_the_command(rated: Study, tmp_path: Path) -> None:
    app = Typer()
    mount(app)
    out = tmp_path / "report"
    said = CliRunner().invoke(app, ["study", "report", str(rated.folder), "--out", str(out)]).stdout
    assert said.endswith(f"written to {out}\nTrain Q with them: legan train quality --ratings {out / 'ratings.csv'}\n")
