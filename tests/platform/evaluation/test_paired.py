from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.models.generator import Generator, Translation
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.align import DEFAULT_ALIGNMENT
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import ConfigError, DataError
from legan.platform.evaluation.paired import Judges, check_judges, choose_pairs, evaluate_pairs, match_of_strangers, reference_of
from legan.platform.model import Model, StoredNetwork, weights_hash

CPU = torch.device("cpu")


@pytest.fixture
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


def tiny_generator(schema: AttributeSchema) -> Generator:
    torch.manual_seed(0)
    return Generator(len(schema.expressions), len(schema.lightings), width=4, blocks=0, upsampling="bilinear")


def model_for(data: Dataset, *, quality: bool = True, **info: Any) -> Model:
    q = QualityModel(image_size=data.image_size, width=4, layers=3, hidden=8) if quality else None
    return Model(tiny_generator(data.schema), q, data.schema, data.image_size, DEFAULT_ALIGNMENT, info)


def classifier_for(data: Dataset, **info: Any) -> StoredNetwork:
    torch.manual_seed(1)
    numbers = {
        "expressions": len(data.schema.expressions),
        "lightings": len(data.schema.lightings),
        "image_size": data.image_size,
        "width": 4,
    }
    return StoredNetwork(
        "attribute_classifier", AttributeClassifier(**numbers).eval(), numbers, {"schema": data.schema.to_dict()} | info
    )


def matcher_for(data: Dataset, seed: int = 2) -> StoredNetwork:
    torch.manual_seed(seed)
    numbers = {"layers": 9, "classes": 3, "image_size": data.image_size, "width": 0.125, "features": 16}
    return StoredNetwork("lightcnn", LightCNN(**numbers).eval(), numbers, {})


def judges_for(data: Dataset) -> Judges:
    return check_judges(model_for(data), data, classifier_for(data), matcher_for(data))


# Choice of pairs


def test_pairs_are_of_one_held_out_subject_and_ask_for_what_the_target_shows(data: Dataset) -> None:
    pairs = choose_pairs(data, 40, seed=0)
    assert len(pairs) == 40
    assert reference_of(pairs) == "target"
    source, target = pairs["source_row"].to_numpy(), pairs["target_row"].to_numpy(np.int64)
    held_out = set(data.rows("test"))
    assert set(source) | set(target) <= held_out
    assert (data.subject[source] == data.subject[target]).all()
    assert (data.subject[source] == pairs["subject"]).all()
    assert (data.faces["expression"].to_numpy()[target] == pairs["expression"]).all()
    assert (data.faces["lighting"].to_numpy()[target] == pairs["lighting"]).all()
    assert (data.faces["expression"].to_numpy()[source] == pairs["source_expression"]).all()
    same = (pairs["expression"] == pairs["source_expression"]) & (pairs["lighting"] == pairs["source_lighting"])
    assert not same.any()
    assert not pairs.duplicated(["source_row", "target_row"]).any()


def test_all_targets_come_once_before_any_comes_twice(data: Dataset) -> None:
    pairs = choose_pairs(data, 24, seed=3)
    assert (pairs.head(12)["target_row"].value_counts() == 1).all()
    assert (pairs["target_row"].value_counts() == 2).all()
    assert (pairs[["expression", "lighting"]].value_counts() == 2).all()


def test_pairs_are_decided_by_the_seed(data: Dataset) -> None:
    pd.testing.assert_frame_equal(choose_pairs(data, 30, seed=5), choose_pairs(data, 30, seed=5))
    assert not choose_pairs(data, 30, seed=5).equals(choose_pairs(data, 30, seed=6))


def test_there_are_no_more_pairs_than_the_data_has(data: Dataset) -> None:
    assert len(choose_pairs(data, 10_000, seed=0)) == 12 * 11


def test_exact_duplicates_are_neither_source_nor_target(data: Dataset) -> None:
    held_out = data.rows("test")
    faces = data.faces.copy()
    faces.loc[held_out[5], "duplicate_of"] = held_out[4]
    pairs = choose_pairs(replace(data, faces=faces), 10_000, seed=0)
    assert held_out[5] not in set(pairs["source_row"]) | set(pairs["target_row"])
    assert len(pairs) == 11 * 10


def test_sources_of_the_targets_session_go_first(data: Dataset) -> None:
    session = np.arange(len(data)) % 2
    data = replace(data, faces=data.faces.assign(session=session))
    pairs = choose_pairs(data, 12, seed=0)
    assert (session[pairs["source_row"]] == session[pairs["target_row"].to_numpy(np.int64)]).all()


def one_image_each(data: Dataset) -> Dataset:
    """The same data, its held-out subject split into one subject per image."""
    faces = data.faces.copy()
    held_out = data.rows("test")
    faces.loc[held_out, "subject"] = [f"s{row}" for row in held_out]
    return replace(data, faces=faces)


def test_without_targets_pairs_are_unpaired(data: Dataset) -> None:
    pairs = choose_pairs(one_image_each(data), 7, seed=0)
    assert len(pairs) == 7
    assert reference_of(pairs) == "source"
    assert pairs["target_row"].isna().all()
    assert set(pairs["expression"]) <= set(data.schema.expressions)


def test_a_data_set_without_held_out_subjects_is_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match="has no test split to evaluate on"):
        choose_pairs(replace(data, faces=data.faces.assign(split="train")), 5, seed=0)


# Judges


def test_a_matcher_that_was_trained_with_is_refused(data: Dataset) -> None:
    matcher = matcher_for(data)
    model = model_for(data, identity_weights=weights_hash(matcher.module))
    with pytest.raises(ConfigError, match="--matcher is the T that the generator was trained with"):
        check_judges(model, data, classifier_for(data), matcher)
    assert check_judges(model, data, classifier_for(data), matcher_for(data, seed=3)).matcher is not matcher.module


def test_everything_that_does_not_fit_is_said_at_once(data: Dataset) -> None:
    other = AttributeSchema(("neutral", "smile", "grin"), data.schema.lightings)
    model = replace(model_for(data), schema=other, image_size=64)
    with pytest.raises(ConfigError) as caught:
        check_judges(model, data, matcher_for(data), classifier_for(data))
    text = str(caught.value)
    assert len(caught.value.problems) == 6
    assert "its expressions: neutral, smile, scream; the model's: neutral, smile, grin" in text
    assert "the data set is for 32×32 images, the model for 64×64" in text
    assert "--classifier is a lightcnn" in text
    assert "--matcher is a attribute_classifier" in text


def test_a_classifier_of_other_or_unknown_classes_is_refused(data: Dataset) -> None:
    swapped = {"expressions": list(data.schema.expressions), "lightings": list(data.schema.lightings)[::-1]}
    with pytest.raises(ConfigError, match="--classifier knows other classes than the model; its lightings: ambient"):
        check_judges(model_for(data), data, classifier_for(data, schema=swapped), matcher_for(data))
    with pytest.raises(ConfigError, match="does not say which classes it knows"):
        check_judges(model_for(data), data, classifier_for(data)._replace(info={}), matcher_for(data))


# Scores


def test_the_match_of_strangers_is_the_mean_over_pairs_of_different_subjects() -> None:
    features = np.random.default_rng(0).normal(size=(4, 8))
    pairs = [(0, 2), (0, 3), (1, 2), (1, 3)]
    expected = np.mean([np.corrcoef(features[i], features[j])[0, 1] for i, j in pairs])
    assert match_of_strangers(torch.from_numpy(features), np.array(["a", "a", "b", "b"])) == pytest.approx(expected)
    assert match_of_strangers(torch.from_numpy(features), np.array(["a", "a", "a", "a"])) is None


class Oracle(Generator):
    """Gives the true target: looks the wanted image up by subject (its mean colour) and label."""

    def __init__(self, data: Dataset, *, copy: bool):
        super().__init__(len(data.schema.expressions), len(data.schema.lightings), width=4, blocks=0)
        self.data, self.copy = data, copy

    def forward(self, x: Tensor, f: Tensor) -> Translation:
        if self.copy:
            return Translation(x, None, None)
        E = len(self.data.schema.expressions)
        images = []
        for label in f:
            wanted = (self.data.expression == int(label[:E].argmax())) & (self.data.lighting == int(label[E:].argmax()))
            row = next(row for row in self.data.rows("test") if wanted[row])
            images.append(torch.from_numpy(self.data.images[row].copy()).permute(2, 0, 1) / 127.5 - 1)
        return Translation(torch.stack(images), None, None)


def test_a_perfect_generator_scores_as_the_real_images_do_and_a_copying_one_as_its_input(data: Dataset) -> None:
    pairs = choose_pairs(data, 70, seed=0)
    perfect = evaluate_pairs(
        replace(model_for(data), generator=Oracle(data, copy=False)), data, pairs, judges_for(data), CPU
    ).table
    for metric in perfect.columns.drop("quality"):
        assert perfect.loc["output", metric] == pytest.approx(perfect.loc["real images", metric], abs=1e-6), metric
    assert perfect.loc["output", "ssim_to_target"] == pytest.approx(1.0)
    assert perfect.loc["output", "match_to_target"] == pytest.approx(1.0)
    assert perfect.loc["output", "l1_to_target"] == pytest.approx(0.0, abs=1e-6)
    assert perfect.loc["copy input", "ssim_to_target"] < 0.99
    copying = evaluate_pairs(
        replace(model_for(data), generator=Oracle(data, copy=True)), data, pairs, judges_for(data), CPU
    ).table
    assert copying.loc["output"].to_dict() == pytest.approx(copying.loc["copy input"].to_dict())


def test_copied_inputs_score_what_other_libraries_say(data: Dataset) -> None:
    pairs = choose_pairs(data, 9, seed=1)
    scores = evaluate_pairs(model_for(data), data, pairs, judges_for(data), CPU).scores
    copied = scores[scores["method"] == "copy input"].set_index("pair")
    for pair in pairs.itertuples():
        a, b = data.images[pair.source_row], data.images[pair.target_row]
        ssim = structural_similarity(
            a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        assert copied.loc[pair.Index, "ssim_to_target"] == pytest.approx(ssim, abs=1e-4)
        l1 = np.abs(a.astype(float) - b).mean() / 127.5
        assert copied.loc[pair.Index, "l1_to_target"] == pytest.approx(l1, abs=1e-5)


def test_quality_is_asked_of_the_face_alone_and_left_out_without_q(data: Dataset) -> None:
    seen = []

    class Watching(QualityModel):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.mean((1, 2, 3))

    pairs = choose_pairs(data, 5, seed=0)
    watching = Watching(image_size=data.image_size, width=4, layers=3, hidden=8)
    evaluate_pairs(replace(model_for(data), quality=watching), data, pairs, judges_for(data), CPU)
    outside = ~torch.from_numpy(data.hulls(pairs["source_row"].to_numpy()))
    assert (seen[0].permute(0, 2, 3, 1)[outside] == -1).all()
    assert "quality" not in evaluate_pairs(model_for(data, quality=False), data, pairs, judges_for(data), CPU).table


def test_the_table_is_the_mean_of_the_scores_and_the_classes_are_shares_of_them(data: Dataset) -> None:
    pairs = choose_pairs(data, 100, seed=0)
    evaluation = evaluate_pairs(model_for(data), data, pairs, judges_for(data), CPU)
    output = evaluation.scores[evaluation.scores["method"] == "output"]
    assert evaluation.table.loc["output", "match_to_target"] == pytest.approx(output["match_to_target"].mean())
    assert (evaluation.table["pairs"] == 100).all()
    for attribute in ("expression", "lighting"):
        part = evaluation.classes[evaluation.classes["attribute"] == attribute]
        assert part["pairs"].sum() == 100
        for method in ("output", "copy input", "real images"):
            mean = (part[method] * part["pairs"]).sum() / 100
            assert mean == pytest.approx(evaluation.table.loc[method, f"{attribute}_accuracy"])


def test_unpaired_scores_say_so_and_real_images_are_judged_by_their_own_labels(data: Dataset) -> None:
    data = one_image_each(data)
    pairs = choose_pairs(data, 12, seed=0)
    table = evaluate_pairs(model_for(data), data, pairs, judges_for(data), CPU).table
    assert [name for name in table.columns if "target" in name] == []
    assert table.loc["copy input", "ssim_to_source"] == pytest.approx(1.0)
    judges, right = judges_for(data), 0
    for row in pairs["source_row"]:
        image = torch.from_numpy(data.images[row].copy()).permute(2, 0, 1)[None] / 127.5 - 1
        right += int(judges.classifier(image)[1].argmax()) == data.lighting[row]
    assert table.loc["real images", "lighting_accuracy"] == pytest.approx(right / 12)
