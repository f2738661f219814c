"""Exports of Label Studio: those in fixtures/ were written by its version 1.23.2, of a study of four images and three raters."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from legan.platform.data.ratings.label_studio import is_export, read_scores
from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.errors import DataError

EXPORTS = Path(__file__).parents[3] / "fixtures" / "label_studio"
FORMS = ["study.json", "study.min.json", "study.csv", "study.tsv"]
IMAGES = {f"images/3fa91c-{number:05}.png" for number in range(6)}


def by_image(scores: pd.DataFrame) -> dict[int, dict[str, float]]:
    table = scores.assign(number=scores["image"].str[-5].astype(int))
    return {number: dict(zip(rows["rater"], rows["score"], strict=True)) for number, rows in table.groupby("number")}


def number(name: str, value: object) -> dict[str, Any]:
    return {"from_name": name, "to_name": "image", "type": "number", "value": {"number": value}}


def task(*annotations: dict[str, Any], image: str = "images/3fa91c-00000.png", **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "annotations": list(annotations), **more}


def read(folder: Path, document: object) -> tuple[dict[int, dict[str, float]], list[str], list[str]]:
    (folder / "export.json").write_text(json.dumps(document))
    given = read_scores(folder / "export.json", IMAGES)
    return by_image(given.scores), [str(problem) for problem in given.problems], given.notes


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_one_study_has_the_same_scores(form: str) -> None:
    given = read_scores(EXPORTS / form, IMAGES)
    assert is_export(EXPORTS / form)
    assert given.problems == []
    assert by_image(given.scores) == {
        0: {"1": 7.0, "2": 6.0, "3": 10.0},  # 2 has scored it twice
        1: {"1": 6.0, "2": 4.5},  # 3 has skipped it
        2: {"1": 5.0, "2": 3.5},  # 3 has sent it without a score
        3: {"1": 3.0, "2": 2.5, "3": 7.0},  # two tasks show it
    }
    lacking = {"study.json": "2 annotations without a score are"}.get(form, "1 annotation without a score is")
    assert given.notes == [f"{form}: {lacking} left out", f"{form}: 2 earlier scores of an image are left out"]


def test_the_order_of_keys_and_rows_says_nothing(tmp_path: Path) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(each) for each in reversed(value)] if isinstance(value, list) else value

    document = json.loads((EXPORTS / "study.json").read_text())
    assert read(tmp_path, turned(document)) == read(tmp_path, document)
    table = pd.read_csv(EXPORTS / "study.csv", dtype=str).iloc[::-1, ::-1]
    table.to_csv(tmp_path / "turned.csv", index=False)
    assert by_image(read_scores(tmp_path / "turned.csv", IMAGES).scores) == read(tmp_path, document)[0]


def test_numbers_of_people_and_annotations_may_be_text(tmp_path: Path) -> None:
    first = {"id": "5", "completed_by": "7", "result": [number("score", "4")], "updated_at": "2026-01-01"}
    second = {"id": 6, "completed_by": 7, "result": [number("score", 5)], "updated_at": "2026-01-02"}
    person = {"id": 9, "completed_by": {"id": 3, "email": "c@example.org"}, "result": [number("score", 1.5)]}
    assert read(tmp_path, [task(first, second, person)])[0] == {0: {"7": 5.0, "c@example.org": 1.5}}


def test_what_is_there_twice_counts_once_and_predictions_and_drafts_never(tmp_path: Path) -> None:
    given = {"id": 5, "completed_by": 1, "result": [number("score", 4)]}
    more = {"predictions": [{"result": [number("score", 9)]}], "drafts": [{"result": [number("score", 8)]}]}
    assert read(tmp_path, [task(given, **more), task(given, **more)]) == ({0: {"1": 4.0}}, [], [])


def test_a_file_of_a_storage_is_one_annotation_with_its_task(tmp_path: Path) -> None:
    about = {"id": 1, "data": {"image": "s3://bucket/images/3fa91c-00002.png"}}
    given = {"id": 5, "completed_by": {"id": 4}, "result": [number("score", 4)], "task": about}
    assert read(tmp_path, given) == ({2: {"4": 4.0}}, [], [])


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/4/b0e69b0e-3fa91c-00001.png",
        "/data/local-files/?d=study/images/3fa91c-00001.png",
        "https://host/a%20b/3fa91c-00001.png",
        "3fa91c-00001.png",
    ],
)
def test_an_image_is_known_by_its_name(tmp_path: Path, image: str) -> None:
    given = {"id": 5, "completed_by": 1, "result": [number("score", 4)]}
    assert read(tmp_path, [task(given, image=image)])[0] == {1: {"1": 4.0}}


def test_choices_and_stars_are_scores_too_and_texts_are_none(tmp_path: Path) -> None:
    choices = {"from_name": "q", "type": "choices", "value": {"choices": ["7"]}}
    stars = {"from_name": "q", "type": "rating", "value": {"rating": 8}}
    why = {"from_name": "why", "type": "textarea", "value": {"text": ["5"]}}
    one, two = ({"id": i, "completed_by": i, "result": [why, each]} for i, each in enumerate((choices, stars)))
    assert read(tmp_path, [task(one, two)])[0] == {0: {"0": 7.0, "1": 8.0}}
    rows = [{"annotation_id": 1, "annotator": 1, "image": "3fa91c-00000.png", "batch": 3, "q": [{"rating": 8}], "why": "5"}]
    assert read(tmp_path, rows)[0] == {0: {"1": 8.0}}


def test_scores_out_of_range_and_foreign_images_are_told_by_their_task(tmp_path: Path) -> None:
    wrong = {"id": 5, "completed_by": 1, "result": [number("score", 11)]}
    fine = {"id": 6, "completed_by": 1, "result": [number("score", 1)]}
    assert read(tmp_path, [task(wrong), task(fine, image="other.png")])[1] == [
        "annotation 5: its score 11 is not from 0 to 10",
        "task 1: it shows no image of the study (other.png)",
    ]


def test_of_several_numbers_the_one_called_score_counts(tmp_path: Path) -> None:
    both = {"id": 5, "completed_by": 1, "result": [number("sharpness", 1), number("score", 4)]}
    assert read(tmp_path, [task(both)])[0] == {0: {"1": 4.0}}
    others = {"id": 5, "completed_by": 1, "result": [number("sharpness", 1), number("naturalness", 4)]}
    with pytest.raises(DataError, match=r"several numbers for each image \(naturalness, sharpness\); rename the one"):
        read(tmp_path, [task(others)])


@pytest.mark.parametrize("document", [[{"image": "a", "score": 1}], {"a": 1}, [1], [{"data": {}, "annotations": [1], "id": 1}]])
def test_other_json_is_no_export(tmp_path: Path, document: object) -> None:
    with pytest.raises(DataError, match="are no export of Label Studio"):
        read(tmp_path, document)


def test_a_training_is_told_to_make_labels_of_them_first() -> None:
    for form in FORMS:
        with pytest.raises(DataError, match=r"are scores as Label Studio has them; make labels of them with `legan ratings"):
            read_ratings(EXPORTS / form)
