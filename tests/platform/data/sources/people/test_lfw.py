from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.people.lfw import read_pairs, read_people
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

PEOPLE = {"Ann_Lee": 3, "Bob_Ray": 2, "Cid_Fox": 2, "Dan_Oak": 1, "Eve_Elm": 1}
TRAIN, TEST = ("Ann_Lee", "Bob_Ray", "Eve_Elm"), ("Cid_Fox", "Dan_Oak")


def write_images(folder: Path, image: Image.Image | None = None) -> None:
    for person, count in PEOPLE.items():
        (folder / person).mkdir(parents=True)
        for number in range(1, count + 1):
            (image or Image.new("RGB", (8, 8))).save(folder / person / f"{person}_{number:04d}.jpg")


def write_lists(folder: Path) -> None:
    def people(names: tuple[str, ...]) -> str:
        return "".join([f"{len(names)}\n", *(f"{name}\t{PEOPLE[name]}\n" for name in names)])

    (folder / "peopleDevTrain.txt").write_text(people(TRAIN))
    (folder / "peopleDevTest.txt").write_text(people(TEST))
    (folder / "people.txt").write_text(f"2\n{people(TEST)}{people(TRAIN)}")
    (folder / "pairsDevTrain.txt").write_text("2\nAnn_Lee\t1\t3\nBob_Ray\t1\t2\nAnn_Lee\t1\tBob_Ray\t2\nBob_Ray\t1\tEve_Elm\t1\n")
    (folder / "pairsDevTest.txt").write_text("1\nCid_Fox\t1\t2\nCid_Fox\t2\tDan_Oak\t1\n")
    (folder / "pairs.txt").write_text("2\t1\nCid_Fox\t1\t2\nCid_Fox\t2\tDan_Oak\t1\nAnn_Lee\t2\t3\nEve_Elm\t1\tBob_Ray\t2\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / "lfw")
    write_lists(tmp_path)
    return tmp_path


def test_people_are_split_by_view_1_and_have_their_fold_of_view_2(root: Path) -> None:
    (root / "lfw" / "Ann_Lee" / "Bob_Ray_0001.jpg").write_bytes((root / "lfw" / "Bob_Ray" / "Bob_Ray_0001.jpg").read_bytes())
    records = load_source("lfw", root).records
    assert len(records) == sum(PEOPLE.values())
    assert records["path"][0] == "lfw/Ann_Lee/Ann_Lee_0001.jpg"
    splits = {split: sorted(set(own["subject"])) for split, own in records.groupby("split")}
    assert splits["test"] == list(TEST)
    assert len(splits["val"]) == 1
    assert sorted(splits["train"] + splits["val"]) == sorted(TRAIN)
    assert {fold: sorted(set(own["subject"])) for fold, own in records.groupby("fold")} == {1: list(TEST), 2: sorted(TRAIN)}
    assert set(records["expression"]) == set(records["lighting"]) == {"any"}
    assert [(path, why.kind) for path, why in load_source("lfw", root).unusable] == [("lfw/Ann_Lee/Bob_Ray_0001.jpg", "misnamed")]


def test_without_lists_people_are_split_by_share(tmp_path: Path) -> None:
    write_images(tmp_path / "lfw-deepfunneled")
    found = load_source("lfw", tmp_path)
    assert {"split", "fold"}.isdisjoint(found.records.columns)
    assert found.records["path"][0].startswith("lfw-deepfunneled/")
    inside = load_source("lfw", tmp_path / "lfw-deepfunneled")
    assert inside.records["path"][0] == "Ann_Lee/Ann_Lee_0001.jpg"
    write_lists(tmp_path)
    assert "split" in load_source("lfw", tmp_path / "lfw-deepfunneled").records


def test_who_is_in_no_list_of_view_1_is_left_out(root: Path) -> None:
    (root / "peopleDevTrain.txt").write_text("2\nAnn_Lee\t3\nBob_Ray\t2\n")
    ((path, why),) = load_source("lfw", root).unusable
    assert (path, why.kind) == ("lfw/Eve_Elm/Eve_Elm_0001.jpg", "unlabelled")


def test_both_forms_of_pairs_are_read(root: Path) -> None:
    assert read_pairs(root / "pairs.txt").to_numpy().tolist() == [
        [1, True, "Cid_Fox", 1, "Cid_Fox", 2],
        [1, False, "Cid_Fox", 2, "Dan_Oak", 1],
        [2, True, "Ann_Lee", 2, "Ann_Lee", 3],
        [2, False, "Eve_Elm", 1, "Bob_Ray", 2],
    ]
    assert read_pairs(root / "pairsDevTrain.txt").to_numpy().tolist() == [
        [1, True, "Ann_Lee", 1, "Ann_Lee", 3],
        [1, True, "Bob_Ray", 1, "Bob_Ray", 2],
        [1, False, "Ann_Lee", 1, "Bob_Ray", 2],
        [1, False, "Bob_Ray", 1, "Eve_Elm", 1],
    ]
    assert read_people(root / "people.txt") == [{name: PEOPLE[name] for name in names} for names in (TEST, TRAIN)]


def test_lists_that_name_who_is_not_there_are_told_together_before_anything_is_computed(root: Path) -> None:
    (root / "pairsDevTest.txt").write_text("1\nCid_Fox\t1\t9\nCid_Fox\t2\tNobody\t1\n")
    (root / "peopleDevTest.txt").write_text("2\nCid_Fox\t2\nSomebody_Else\t1\n")
    with pytest.raises(DataError) as caught:
        load_source("lfw", root)
    for part in (
        "pairsDevTest.txt names 1 unknown person (Nobody)",
        "pairsDevTest.txt names images that are not there (Cid_Fox_0009)",
        "peopleDevTest.txt names 1 unknown person (Somebody_Else)",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.txt", "", "pairs.txt, line 1 is not a count"),
        ("pairs.txt", "1\t1\t1\n", "pairs.txt, line 1 is not a count"),
        ("pairs.txt", "1\nAnn_Lee\t1\n", "pairs.txt, line 2 is not name n1 n2"),
        ("pairs.txt", "1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBob_Ray\tx\n", "pairs.txt, line 3 is not name1 n1 name2 n2"),
        ("pairs.txt", "1\nAnn_Lee\t1\t2\n", "pairs.txt ends before name1 n1 name2 n2"),
        ("pairs.txt", "1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBob_Ray\t2\nmore\n", "pairs.txt goes on in line 4"),
        ("pairs.txt", "0\n", "pairs.txt, line 1 is not a count above 0"),
        ("pairs.txt", "10\t0\n", "pairs.txt, line 1 is not a count above 0"),
        ("people.txt", "1\nmany\n", "people.txt, line 2 is not a count"),
        ("people.txt", "2\n1\nAnn_Lee\t3\n", "people.txt ends before a count"),
        ("peopleDevTrain.txt", "1\nAnn_Lee\n", "peopleDevTrain.txt, line 2 is not a name and a number of images"),
        ("peopleDevTrain.txt", "2\nAnn_Lee\t3\nCid_Fox\t2\n", "both name Cid_Fox"),
    ],
)
def test_damaged_lists_are_one_sentence(root: Path, name: str, content: str, message: str) -> None:
    (root / name).write_text(content)
    with pytest.raises(DataError) as caught:
        load_source("lfw", root)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos" / "Ann_Lee").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "Ann_Lee" / "1.jpg")
    with pytest.raises(DataError, match=r"expected lfw/NAME/NAME_0001\.jpg"):
        load_source("lfw", tmp_path / "photos")


def test_drawn_faces_become_a_data_set(tmp_path: Path, draw_face: Callable[..., Any]) -> None:
    write_images(tmp_path / "lfw", Image.fromarray(draw_face(250, 60, (125, 115))[0]))
    write_lists(tmp_path)
    dataset = prepare(load_source("lfw", tmp_path), tmp_path / "out", Options(), workers=0)
    assert len(dataset) == sum(PEOPLE.values())
    assert dataset.faces["fold"].tolist() == [2] * 5 + [1] * 3 + [2]
    assert dataset.faces["source_path"][0] == "lfw/Ann_Lee/Ann_Lee_0001.jpg"
