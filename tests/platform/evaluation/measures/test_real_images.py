from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.platform.evaluation.conftest import CPU

from legan.models.verification import area_under_roc, face_pairs
from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.measures.real_images import judges_on_real_images, told_on_real_images
from legan.platform.evaluation.pairs import choose_pairs, load_batch
from legan.platform.evaluation.report import above, with_intervals


def test_judges_are_measured_on_all_real_images_of_the_split(data: Dataset, tiny: Any) -> None:
    judges, rows = tiny.judges(), data.real_rows("train")
    x = load_batch(data, rows, CPU)
    with torch.inference_mode():
        features, (expression, lighting) = judges.matcher.features(x), judges.classifier(x)
    found = judges_on_real_images(tiny.model(), data, judges, features, "train", CPU)
    right = (
        (expression.argmax(1).numpy() == data.expression[rows]).mean(),
        (lighting.argmax(1).numpy() == data.lighting[rows]).mean(),
    )
    assert (found["expression_accuracy"], found["lighting_accuracy"]) == pytest.approx(right)
    people = torch.tensor([sorted(set(data.subject)).index(name) for name in data.subject[rows]])
    assert found["verification_auc"] == pytest.approx(area_under_roc(face_pairs(features, people)))
    assert found["faces"] == len(rows) == 48
    said = told_on_real_images({"judges_on_real_images": found, "split": "train"})
    assert said.startswith(f"On 48 real images of the train split the classifier is right about the expression in {right[0]:.3f}")
    assert told_on_real_images({}) == ""


def test_one_person_is_nobody_to_tell_apart(data: Dataset, tiny: Any) -> None:
    judges = tiny.judges()
    found = judges_on_real_images(tiny.model(), data, judges, torch.zeros(12, 16), "test", CPU)
    assert set(found) == {"expression_accuracy", "lighting_accuracy", "faces"}


def test_an_accuracy_above_that_of_real_images_is_marked(data: Dataset, tiny: Any) -> None:
    evaluation = tiny.evaluate(tiny.model(), choose_pairs(data, 12, seed=0))
    table = evaluation.table.copy()
    table.loc["real images", ["expression_accuracy", "lighting_accuracy", "ssim_to_target"]] = [0.8, 0.9, 0.1]
    table.loc["output", ["expression_accuracy", "lighting_accuracy", "ssim_to_target"]] = [0.9, 0.9, 0.2]
    marked = replace(evaluation, table=table)
    assert above(marked) == ["expression_accuracy"]
    shown = with_intervals(marked)
    assert shown.loc["output", "expression_accuracy"].startswith("0.900 †")
    assert "†" not in "".join(shown.loc["real images"]) + shown.loc["output", "lighting_accuracy"]
