from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.platform.evaluation.conftest import CPU

from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.features import identity_extractor
from legan.platform.evaluation.measures.real_images import judges_on_real_images
from legan.platform.evaluation.measures.same_person import has_strangers, set_on_val, told_same_person
from legan.platform.evaluation.pairs import choose_pairs, load_batch


@pytest.fixture
def several(data: Dataset) -> Dataset:
    """The tiny data, its hash too, with three people in val."""
    people = data.faces["subject"].isin(("c", "d", "e"))
    faces = data.faces.assign(split=np.where(people, "val", data.faces["split"]))
    return replace(data, faces=faces, content_hash="3" * 64)


def correlations(judges: Any, data: Dataset, split: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Of all pairs of a split: how they match, and whether they are one person."""
    rows = data.real_rows(split)
    with torch.inference_mode():
        alike = np.corrcoef(judges.matcher.features(load_batch(data, rows, CPU)).double().numpy())
    first, second = np.triu_indices(len(rows), 1)
    return alike[first, second], data.subject[rows][first] == data.subject[rows][second]


def test_one_stranger_of_val_in_a_hundred_is_taken_for_one_person(several: Dataset, tiny: Any, tmp_path: Path) -> None:
    judges = tiny.judges()
    known = set_on_val(several, identity_extractor(judges.matcher), CPU, tmp_path)
    alike, same = correlations(judges, several, "val")
    assert (known["people"], known["strangers"]) == (3, (~same).sum())
    assert (alike[~same] >= known["from"] - 1e-9).sum() == int(0.01 * known["strangers"])
    assert has_strangers(several)


def test_outputs_and_real_images_are_held_against_it(several: Dataset, tiny: Any, tmp_path: Path) -> None:
    judges = tiny.judges()
    known = set_on_val(several, identity_extractor(judges.matcher), CPU, tmp_path)
    judges = replace(judges, one_person_from=known["from"])
    pairs = choose_pairs(several, 12, seed=0)
    evaluation = tiny.evaluate(tiny.model(), pairs, several, judges)
    scores = evaluation.scores
    expected = scores["match_to_target"] >= known["from"]
    pd.testing.assert_series_equal(scores["same_person_to_target"], expected.astype(float), check_names=False)
    assert evaluation.table.loc["real images", "same_person_to_target"] == 1

    real = tiny.real(several, judges)["identity"]
    found = judges_on_real_images(tiny.model(), several, judges, real, "test", CPU)
    alike, same = correlations(judges, several, "test")
    assert found["one_person_found"] == pytest.approx((alike[same] >= known["from"]).mean())
    assert "strangers_mistaken" not in found  # one person is in test
    said = told_same_person({"one_person": known, "judges_on_real_images": found, "split": "test"})
    assert said.startswith(f"Faces that match by {known['from']:.3f} or more count as one person: 1% of the 432 pairs")
    assert said.endswith(f"Of the real images of test {found['one_person_found']:.1%} of pairs of one person do.")


def test_one_person_in_val_sets_nothing(data: Dataset, tiny: Any, tmp_path: Path) -> None:
    known = set_on_val(data, identity_extractor(tiny.judges().matcher), CPU, tmp_path)
    assert known == {"people": 1, "strangers": 0}
    assert not has_strangers(data)
    said = told_same_person({"one_person": known, "split": "test"})
    assert said == "From which match on two faces are one person is not told: val has 0 pairs of strangers, and 100 are needed."
    assert told_same_person({}) == ""
    few = {"one_person": {"people": 4, "strangers": 630, "from": 0.918}, "split": "test"}
    for mistaken, is_lax in ((0.317, True), (0.05, False)):
        said = told_same_person({**few, "judges_on_real_images": {"strangers_mistaken": mistaken}})
        assert said.startswith(
            "Faces that match by 0.918 or more count as one person: 1% of the 630 pairs of strangers (4 people) on val"
        )
        assert f"Of the real images of test {mistaken:.1%} of strangers do." in said
        assert ("so *same person* is lax" in said) is is_lax
    nobody = replace(data, faces=data.faces.assign(split="train"))
    assert set_on_val(nobody, identity_extractor(tiny.judges().matcher), CPU, tmp_path) == {"people": 0, "strangers": 0}
    evaluation = tiny.evaluate(tiny.model(), choose_pairs(data, 4, seed=0))
    assert "same_person_to_target" not in evaluation.table
