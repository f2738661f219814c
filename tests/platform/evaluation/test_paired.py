from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator, Translation
from legan.models.quality import QualityModel
from legan.platform.data.dataset import Dataset
from legan.platform.errors import CheckpointError
from legan.platform.evaluation import paired
from legan.platform.evaluation.distances import frechet_distance_of_few
from legan.platform.evaluation.features import identity_extractor
from legan.platform.evaluation.paired import evaluate_pairs, match_of_strangers, reference_rows
from legan.platform.evaluation.pairs import choose_pairs, load_batch
from legan.platform.evaluation.reference import split_features
from legan.platform.evaluation.report import markdown_report

CPU = torch.device("cpu")


def test_the_match_of_strangers_is_the_mean_over_pairs_of_different_subjects() -> None:
    features = np.random.default_rng(0).normal(size=(4, 8))
    pairs = [(0, 2), (0, 3), (1, 2), (1, 3)]
    expected = np.mean([np.corrcoef(features[i], features[j])[0, 1] for i, j in pairs])
    assert match_of_strangers(torch.from_numpy(features), np.array(["a", "a", "b", "b"])) == pytest.approx(expected)
    assert match_of_strangers(torch.from_numpy(features), np.array(["a", "a", "a", "a"])) is None


def test_the_match_of_strangers_of_many_images_fits_in_memory() -> None:
    """Two people of 150,000 images each: a matrix of all pairs would have 720 GB."""
    features = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]).repeat_interleave(150_000, dim=0)
    subjects = np.repeat(np.array(["a", "b"]), 150_000)
    assert match_of_strangers(features, subjects) == pytest.approx(-0.5)


def test_a_model_whose_pictures_are_no_numbers_is_refused(data: Dataset, tiny: Any) -> None:
    model = tiny.model()
    with torch.no_grad():
        next(model.generator.parameters()).fill_(torch.nan)
    with pytest.raises(CheckpointError, match=r"not numbers \(NaN\), so it cannot be scored"):
        tiny.evaluate(model, choose_pairs(data, 4, seed=0))


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


def test_a_perfect_generator_scores_as_the_real_images_do_and_a_copying_one_as_its_input(data: Dataset, tiny: Any) -> None:
    pairs = choose_pairs(data, 70, seed=0)
    perfect = tiny.evaluate(replace(tiny.model(), generator=Oracle(data, copy=False)), pairs).table
    for metric in perfect.columns.drop("quality"):  # Q sees the source's hull, not the target's
        assert perfect.loc["output", metric] == pytest.approx(perfect.loc["real images", metric], abs=1e-5), metric
    assert perfect.loc["output", "ssim_to_target"] == pytest.approx(1.0, abs=1e-4)  # float32
    assert perfect.loc["output", "match_to_target"] == pytest.approx(1.0)
    assert perfect.loc["output", "l1_to_target"] == pytest.approx(0.0, abs=1e-6)
    assert perfect.loc["copy input", "ssim_to_target"] < 0.99
    copying = tiny.evaluate(replace(tiny.model(), generator=Oracle(data, copy=True)), pairs).table
    assert copying.loc["output"].to_dict() == pytest.approx(copying.loc["copy input"].to_dict())


def test_copied_inputs_score_what_other_libraries_say(data: Dataset, tiny: Any) -> None:
    pairs = choose_pairs(data, 9, seed=1)
    scores = tiny.evaluate(tiny.model(), pairs).scores
    copied = scores[scores["method"] == "copy input"].set_index("pair")
    for pair in pairs.itertuples():
        a, b = data.images[pair.source_row], data.images[pair.target_row]
        ssim = structural_similarity(
            a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        assert copied.loc[pair.Index, "ssim_to_target"] == pytest.approx(ssim, abs=1e-4)
        l1 = np.abs(a.astype(float) - b).mean() / 127.5
        assert copied.loc[pair.Index, "l1_to_target"] == pytest.approx(l1, abs=1e-5)


def test_quality_is_asked_of_the_face_alone_and_left_out_without_q(data: Dataset, tiny: Any) -> None:
    seen = []

    class Watching(QualityModel):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.mean((1, 2, 3))

    pairs = choose_pairs(data, 5, seed=0)
    watching = Watching(image_size=data.image_size, width=4, layers=3, hidden=8)
    tiny.evaluate(tiny.model(), pairs, judges=replace(tiny.judges(), quality=watching))
    outside = ~torch.from_numpy(data.hulls(pairs["source_row"].to_numpy()))
    assert (seen[0].permute(0, 2, 3, 1)[outside] == -1).all()
    assert "quality" not in tiny.evaluate(tiny.model(), pairs, judges=tiny.judges(quality=False)).table


def test_the_table_is_the_mean_of_the_scores_and_the_classes_are_shares_of_them(data: Dataset, tiny: Any) -> None:
    pairs = choose_pairs(data, 100, seed=0)
    evaluation = tiny.evaluate(tiny.model(), pairs)
    output = evaluation.scores[evaluation.scores["method"] == "output"]
    assert evaluation.table.loc["output", "match_to_target"] == pytest.approx(output["match_to_target"].mean())
    assert (evaluation.table["pairs"] == 100).all()
    metrics = [name for name in evaluation.table.columns if name != "pairs" and "identity" not in name and "mask" not in name]
    for attribute in ("expression", "lighting"):
        part = evaluation.classes[evaluation.classes["attribute"] == attribute]
        for method in ("output", "copy input", "real images"):
            of_method = part[part["method"] == method]
            assert of_method["pairs"].sum() == 100
            for metric in metrics:
                mean = (of_method[metric] * of_method["pairs"]).sum() / 100
                assert mean == pytest.approx(evaluation.table.loc[method, metric]), metric


def test_distances_are_to_the_whole_split_and_of_a_class_to_the_real_images_of_that_class(data: Dataset, tiny: Any) -> None:
    pairs = choose_pairs(data, 60, seed=0)
    evaluation = tiny.evaluate(tiny.model(), pairs)
    matcher = tiny.matcher().module

    def features(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return matcher.features(load_batch(data, rows, CPU)).double().numpy()

    def frechet(x: np.ndarray, y: np.ndarray) -> float:
        a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
        root = np.sqrt(np.linalg.eigvals(a @ b).astype(complex)).real.sum()
        return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * root)

    copied, real = pairs["source_row"].to_numpy(), data.rows("test")
    expected = frechet(features(copied), features(real))
    assert evaluation.table.loc["copy input", "fd_identity"] == pytest.approx(expected, rel=1e-3)
    assert evaluation.real_images == 12
    asked = (pairs["lighting"] == "left").to_numpy()
    of_class = real[data.faces["lighting"].to_numpy()[real] == "left"]
    row = evaluation.classes.query("attribute == 'lighting' and name == 'left' and method == 'copy input'").iloc[0]
    assert row["fd_identity"] == pytest.approx(frechet(features(copied[asked]), features(of_class)), rel=1e-3)
    assert row["pairs"] == asked.sum()


def test_sets_are_compared_with_real_images_in_no_pair_where_there_are_enough(
    data: Dataset, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = choose_pairs(data, 3, seed=0)
    seen = {int(row) for row in pairs[["source_row", "target_row"]].to_numpy().ravel()}
    everybody = set(data.rows("test").tolist())
    rows, alone = reference_rows(data, pairs, "test")
    assert (set(rows.tolist()), alone) == (everybody, False), "12 images are too few to leave some out"
    assert not tiny.evaluate(tiny.model(), pairs).in_no_pair
    monkeypatch.setattr(paired, "LEAST_APART", 3)
    rows, alone = reference_rows(data, pairs, "test")
    assert (set(rows.tolist()), alone) == (everybody - seen, True)
    evaluation = tiny.evaluate(tiny.model(), pairs)
    assert (evaluation.real_images, evaluation.in_no_pair) == (len(rows), True)
    matcher = tiny.matcher().module
    with torch.inference_mode():
        copied, others = (matcher.features(load_batch(data, each, CPU)) for each in (pairs["source_row"].to_numpy(), rows))
    assert evaluation.table.loc["copy input", "fd_identity"] == pytest.approx(frechet_distance_of_few(copied, others), rel=1e-3)


def test_a_person_whose_every_image_is_in_a_pair_has_a_skin_tone_all_the_same(
    data: Dataset, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "LEAST_APART", 3)
    rows = data.rows("train")
    subject = str(data.subject[rows[0]])
    pairs = choose_pairs(data, 400, seed=0, split="train")
    pairs = pairs[pairs["subject"].astype(str) == subject].reset_index(drop=True)
    assert set(pairs["source_row"]) == set(rows[data.subject[rows] == subject])
    judges = tiny.judges()
    real = {each.name: split_features(data, "train", each, CPU, tiny.folder / "all") for each in judges.extractors()}
    evaluation = evaluate_pairs(tiny.model(), data, pairs, judges, real, CPU, "train")
    assert evaluation.in_no_pair
    tones = evaluation.classes.query("attribute == 'skin tone' and method == 'output'")
    assert tones["pairs"].tolist() == [len(pairs)]


def test_numbers_are_by_the_turn_of_the_head_where_heads_are_turned_differently(data: Dataset, tiny: Any) -> None:
    pairs, judges = choose_pairs(data, 12, seed=0), tiny.judges()
    source, evaluation = pairs["source_row"].to_numpy(), tiny.evaluate(tiny.model(), pairs, judges=judges)
    assert "head turn" not in set(evaluation.classes["attribute"]), "nobody knows the yaw of one"

    yaw = np.full(len(data), np.nan)
    yaw[source] = np.where(np.arange(len(pairs)) < 5, 3.0, -40.0)
    turned = tiny.evaluate(tiny.model(), pairs, replace(data, faces=data.faces.assign(yaw=yaw)), judges)
    outputs = turned.classes.query("attribute == 'head turn' and method == 'output'").set_index("name")
    in_all = dict(zip(source, yaw[source], strict=True))
    frontal = np.array([abs(in_all[row]) < 15 for row in source])
    assert outputs["pairs"].to_dict() == {"0–15°": frontal.sum(), "30–45°": (~frontal).sum()}
    scores = turned.scores.query("method == 'output'")["ssim_to_target"].to_numpy()
    assert outputs.loc["30–45°", "ssim_to_target"] == pytest.approx(scores[~frontal].mean())
    assert "By how far the head of the source is turned (|yaw|):" in markdown_report(turned, {})


def test_sets_are_compared_with_training_images_too(data: Dataset, tiny: Any) -> None:
    pairs, judges = choose_pairs(data, 8, seed=0), tiny.judges()
    train = {each.name: split_features(data, "train", each, CPU, tiny.folder / "train", 20) for each in judges.extractors()}
    evaluation = evaluate_pairs(tiny.model(), data, pairs, judges, tiny.real(data, judges), CPU, "test", train)
    assert evaluation.train_images == 20
    with torch.inference_mode():
        copied = tiny.matcher().module.features(load_batch(data, pairs["source_row"].to_numpy(), CPU))
    expected = frechet_distance_of_few(copied, train["identity"])
    assert evaluation.table.loc["copy input", "fd_identity_to_train"] == pytest.approx(expected, rel=1e-3)
    sizes = evaluation.sizes.set_index(["metric", "method"])
    assert sizes.loc[("fd_identity_to_train", "copy input"), "distance"] == pytest.approx(expected, rel=1e-3)
    assert sizes.loc[("fd_identity_to_train", "copy input"), "images"] == 8
    assert set(evaluation.sizes["metric"]) == {"fd_identity", "fd_identity_to_train"}


def test_fid_kid_and_lpips_are_there_with_their_networks(data: Dataset, tiny: Any) -> None:
    class Difference(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return (x - y).square().mean((1, 2, 3), keepdim=True)

    stand_in = identity_extractor(tiny.matcher(seed=8).module)
    stand_in = replace(stand_in, name="inception", frechet="fid", kernel="kid")
    judges = replace(tiny.judges(), inception=stand_in, perceptual=Difference())
    table = tiny.evaluate(tiny.model(), choose_pairs(data, 30, seed=0), judges=judges).table
    assert {"fid", "kid", "fd_identity", "kd_identity", "lpips_to_target"} <= set(table.columns)
    assert table.loc["output", "fid"] > table.loc["copy input", "fid"] >= 0
    assert table.loc["real images", "lpips_to_target"] == 0 < table.loc["copy input", "lpips_to_target"]
    assert not {"fid", "kid", "lpips_to_target"} & set(tiny.evaluate(tiny.model(), choose_pairs(data, 5, seed=0)).table.columns)


def test_bf16_and_odd_generators_are_scored_as_pictures(data: Dataset, tiny: Any) -> None:
    class Loud(Generator):
        def forward(self, x: Tensor, f: Tensor) -> Translation:
            return Translation((x * 3).bfloat16(), None, None)

    pairs = choose_pairs(data, 5, seed=0)
    table = tiny.evaluate(replace(tiny.model(), generator=Loud(3, 4, width=4, blocks=0)), pairs).table
    assert table.loc["output", "l1_to_target"] <= 2
    assert table.notna().all().all()


def test_unpaired_scores_say_so_and_real_images_are_judged_by_their_own_labels(
    data: Dataset, tiny: Any, one_image_each: Callable[[Dataset], Dataset]
) -> None:
    data = one_image_each(data)
    pairs = choose_pairs(data, 12, seed=0)
    table = tiny.evaluate(tiny.model(), pairs, data).table
    assert [name for name in table.columns if "target" in name] == []
    assert table.loc["copy input", "ssim_to_source"] == pytest.approx(1.0, abs=1e-4)
    judges, right = tiny.judges(), 0
    for row in pairs["source_row"]:
        image = torch.from_numpy(data.images[row].copy()).permute(2, 0, 1)[None] / 127.5 - 1
        right += int(judges.classifier(image)[1].argmax()) == data.lighting[row]
    assert table.loc["real images", "lighting_accuracy"] == pytest.approx(right / 12)


def test_faces_without_labels_are_translated_to_the_models_classes_and_held_against_the_source(data: Dataset, tiny: Any) -> None:
    any_one = data.faces.assign(expression="any", lighting="any")
    wild = replace(data, schema=AttributeSchema(("any",), ("any",)), faces=any_one)
    pairs = choose_pairs(wild, 12, seed=0, schema=data.schema)
    evaluation = tiny.evaluate(tiny.model(), pairs, wild)
    assert evaluation.reference == "source"
    assert evaluation.table.loc[["output", "copy input"], "lighting_accuracy"].notna().all()
    assert np.isnan(evaluation.table.loc["real images", "lighting_accuracy"]), "nobody knows what they show"
    classes = evaluation.classes[evaluation.classes["attribute"] != "skin tone"]
    assert set(classes["name"]) <= {*data.schema.expressions, *data.schema.lightings}
    assert classes["fd_identity"].isna().all(), "there are no real images of these classes"


def test_intervals_are_over_subjects(data: Dataset, tiny: Any, one_image_each: Callable[[Dataset], Dataset]) -> None:
    assert tiny.evaluate(tiny.model(), choose_pairs(data, 20, seed=0)).intervals["output"] == {}, "one subject"
    many = one_image_each(data)
    evaluation = tiny.evaluate(tiny.model(), choose_pairs(many, 12, seed=0), many)
    low, high = evaluation.intervals["output"]["l1_to_source"]
    assert low < evaluation.table.loc["output", "l1_to_source"] < high
