import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.tiny import keep_faces

from legan.platform.data.dataset import Dataset, LeftOut, open_dataset
from legan.platform.data.labels.classes import (
    class_counts,
    count_lines,
    left_out_notes,
    pair_notes,
    people_notes,
    split_notes,
    unshown,
)
from legan.platform.data.show import describe


@pytest.fixture
def rare(rare_data: Path) -> Dataset:
    return open_dataset(rare_data)


def test_faces_are_counted_by_class_and_split(rare: Dataset) -> None:
    counts = class_counts(rare)
    assert counts["expression", "scream"] == {"train": 0, "val": 0, "test": 4}
    assert counts["lighting", "right"] == {"train": 0, "val": 2, "test": 3}
    lines = [" ".join(line.split()) for line in count_lines(rare)]
    assert lines[0] == "faces train val test all"
    assert lines[-2:] == ["together 24 6 12 42", "subjects 4 1 1 6"]


def test_a_class_counts_as_shown_where_mirroring_shows_it(rare: Dataset) -> None:
    assert unshown(rare, mirrored=True) == LeftOut(("scream",))
    assert unshown(rare, mirrored=False) == LeftOut(("scream",), ("right",))


def test_what_is_left_out_is_in_no_split_and_keeps_its_row(rare: Dataset) -> None:
    trained = rare.without(LeftOut(("scream",), ("right",)))
    assert trained.schema.expressions == ("neutral", "smile")
    assert trained.schema.lightings == ("left", "front", "ambient")
    assert trained.schema.flip == {}, "left would become right"
    assert len(trained) == len(rare)
    assert {split: len(trained.rows(split)) for split in ("train", "val", "test")} == {"train": 24, "val": 4, "test": 6}
    assert trained.content_hash == rare.content_hash
    rows = trained.rows()
    assert (trained.expression[rows] == -1).sum() == 4
    np.testing.assert_array_equal(trained.expression[trained.rows("test")], rare.expression[trained.rows("test")])
    sent = pickle.loads(pickle.dumps(trained))  # noqa: S301
    assert (sent.schema, sent.left_out) == (trained.schema, trained.left_out)
    assert rare.without(LeftOut()) is rare
    assert rare.without(LeftOut(("scream",))).schema.flip == rare.schema.flip
    assert rare.without(LeftOut(("scream",))).without(LeftOut((), ("right",))).left_out == trained.left_out


def test_a_data_set_is_seen_with_the_classes_that_somebody_knows(rare: Dataset) -> None:
    schema = rare.schema.without(["scream"], [])
    assert rare.known_to(schema).left_out == LeftOut(("scream",))
    assert rare.known_to(rare.schema) is rare
    assert rare.known_to(schema.from_dict({"expressions": ["grin"], "lightings": ["left"]})) is rare


def test_each_class_that_is_left_out_is_named_with_its_counts(rare: Dataset) -> None:
    assert left_out_notes(rare, unshown(rare, mirrored=False)) == [
        "note: no training image shows expression scream (0 in train, 0 in val, 4 in test), so this is left out; to train it, "
        "put people who show that into the split train.",
        "note: no training image shows lighting right (0 in train, 2 in val, 3 in test), so this is left out; to train it, set "
        "flip=true.",
    ]


def test_several_classes_are_told_in_one_sentence(rare: Dataset, tmp_path: Path) -> None:
    kept = (rare.faces["split"] != "train") | (rare.faces["expression"] == "neutral")
    bored = open_dataset(keep_faces(rare, tmp_path / "bored", kept))
    assert left_out_notes(bored, unshown(bored, mirrored=True)) == [
        "note: no training image shows expression smile (0 in train, 3 in val, 4 in test), expression scream (0 in train, 0 in "
        "val, 4 in test), so these are left out; to train them, put people who show that into the split train."
    ]


def test_a_class_without_val_or_test_people_is_named(rare: Dataset, tmp_path: Path) -> None:
    assert split_notes(rare) == ["note: nobody in the split val of rare shows expression scream, lighting front."]
    assert split_notes(rare, lighting=False) == ["note: nobody in the split val of rare shows expression scream."]
    text = describe(rare)
    assert split_notes(rare)[0] in text
    assert "no training image shows expression scream" in text
    only_train = open_dataset(keep_faces(rare, tmp_path / "some", rare.faces["split"] == "train"))
    assert split_notes(only_train) == [
        "note: nobody is in the split val of some, so no checkpoint can be called best.",
        "note: nobody is in the split test of some, so no model can be evaluated on it.",
    ]
    only_test = open_dataset(keep_faces(rare, tmp_path / "other", rare.faces["split"] == "test"))
    assert "nobody is in the split train of other, so nothing can be trained on it." in describe(only_test)
    assert "no training image" not in describe(only_test)


def test_domains_that_no_training_image_shows_are_named(rare: Dataset, tiny_data: Path) -> None:
    trained = rare.without(LeftOut(("scream",)))
    assert pair_notes(trained, mirrored=True) == []
    assert pair_notes(trained, mirrored=False) == [
        "note: no training image shows 2 of 8 domains, which are not learned: neutral × right, smile × right."
    ]


def test_one_person_is_not_enough_to_validate_t(rare: Dataset) -> None:
    assert people_notes(rare) == ["note: T is not validated: that takes two people in the split val of rare, which has 1."]
