from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny import keep_faces
from torch import Tensor

from legan.models.discriminator import Discriminator
from legan.models.expression import AttributeClassifier
from legan.models.generator import Generator
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import open_dataset
from legan.platform.evaluation.pairs import choose_pairs, label_batch, load_batch
from legan.platform.model import weights_hash
from legan.platform.training.tasks.stated import data_facts, matcher_facts, predictor_facts, quality_facts

CPU = torch.device("cpu")


class Knowing(Discriminator):
    """Tells the labels that it was given, in the order of the faces that it is shown."""

    def __init__(self, labels: Tensor):
        super().__init__(labels.shape[1], 32, width=4, layers=3)
        self.labels = labels

    def forward(self, x: Tensor):
        told, self.labels = self.labels[: len(x)], self.labels[len(x) :]
        return super().forward(x)._replace(logits=told)


def test_a_predictors_accuracy_is_that_on_the_validation_split(tiny_data):
    data = open_dataset(tiny_data)
    rows = data.real_rows("val")
    expression, lighting = (torch.from_numpy(own[rows]) for own in (data.expression, data.lighting))
    expression[:3] = (expression[:3] + 1) % 3
    predictor = Knowing(data.schema.encode(expression, lighting))
    assert predictor_facts(predictor, data, CPU) == {
        "network": "discriminator", "weights": weights_hash(predictor), "expression_accuracy": 0.75, "lighting_accuracy": 1.0,
        "faces": 12, "split": "val",
    }  # fmt: skip
    assert predictor_facts(AttributeClassifier(3, 4, 32, width=4).eval(), data, CPU)["network"] == "judge"


def test_an_axis_of_one_class_has_no_accuracy(tiny_data, tmp_path):
    data = open_dataset(tiny_data)
    front = open_dataset(keep_faces(data, tmp_path / "front", data.faces["lighting"] == "front"))
    front = replace(front, schema=data.schema.without((), ("left", "right", "ambient")))
    facts = predictor_facts(AttributeClassifier(3, 1, 32, width=4).eval(), front, CPU)
    assert "expression_accuracy" in facts
    assert "lighting_accuracy" not in facts


def test_one_stranger_in_a_hundred_passes_the_matchers_threshold(tiny_data):
    data = open_dataset(tiny_data)
    people = data.faces["subject"].isin(("b", "c", "d", "e"))
    several = replace(data, faces=data.faces.assign(split=np.where(people, "val", "train")))
    torch.manual_seed(0)
    T = LightCNN(9, 4, image_size=32, width=0.125, features=16).eval()
    facts = matcher_facts(T, weights_hash(T), several, CPU)
    assert (facts["network"], facts["pairs"]) == ("T", 6 * 12 * 12)
    assert matcher_facts(T, "another", several, CPU)["network"] == "matcher"

    rows = several.real_rows("val")
    with torch.inference_mode():
        likeness = np.corrcoef(T.features(load_batch(several, rows, CPU)).double().numpy())
    subject = several.subject[rows]
    strangers = likeness[np.triu(subject[:, None] != subject[None, :])]
    assert (strangers >= facts["threshold"] - 1e-12).sum() == int(0.01 * facts["pairs"])


def test_too_few_people_give_no_threshold(tiny_data):
    T = LightCNN(9, 4, image_size=32, width=0.125, features=16).eval()
    assert matcher_facts(T, None, open_dataset(tiny_data), CPU) == {"network": "matcher", "weights": weights_hash(T)}


@pytest.mark.parametrize(("simulated", "raters"), [(True, "simulated"), (False, "people"), (None, None)])
def test_q_says_how_it_rates_real_faces_and_the_models_own(tiny_data, simulated, raters):
    data = open_dataset(tiny_data)
    torch.manual_seed(0)
    Q, G = QualityModel(32, width=4, layers=3, hidden=8).eval(), Generator(3, 4, width=4, blocks=0).eval()
    facts = quality_facts(Q, simulated, G, data, CPU)
    assert (facts["raters"], facts["images"], facts["split"]) == (raters, 12, "val")

    def rated(images: Tensor, rows: np.ndarray) -> np.ndarray:
        outside = ~torch.from_numpy(data.hulls(rows)).unsqueeze(1).expand_as(images)
        return Q(images.masked_fill(outside, -1.0)).numpy()

    rows, pairs = data.real_rows("val"), choose_pairs(data, 200, seed=0, split="val")
    sources = pairs["source_row"].to_numpy(np.int64)
    with torch.inference_mode():
        real = rated(load_batch(data, rows, CPU), rows)
        images = G(load_batch(data, sources, CPU), data.schema.encode(*label_batch(data.schema, pairs, CPU))).image
        fake = rated(images, sources)
    assert facts["mean"] == pytest.approx(real.mean(), abs=1e-4)
    assert facts["sd"] == pytest.approx(real.std(), abs=1e-4)
    assert facts["fake_mean"] == pytest.approx(fake.mean(), abs=1e-4)


def test_where_nobody_is_held_out_the_numbers_are_missing(tiny_data, tmp_path):
    data = open_dataset(tiny_data)
    alone = open_dataset(keep_faces(data, tmp_path / "alone", data.faces["split"] != "val"))
    judge, Q = AttributeClassifier(3, 4, 32, width=4).eval(), QualityModel(32, width=4, layers=3, hidden=8).eval()
    T, G = LightCNN(9, 4, image_size=32, width=0.125, features=16).eval(), Generator(3, 4, width=4, blocks=0).eval()
    assert predictor_facts(judge, alone, CPU) == {"network": "judge", "weights": weights_hash(judge)}
    assert quality_facts(Q, True, G, alone, CPU) == {"raters": "simulated"}
    assert matcher_facts(T, None, alone, CPU) == {"network": "matcher", "weights": weights_hash(T)}


def test_the_datas_terms_are_what_was_said_of_them_or_those_of_their_source(tiny_data):
    data = open_dataset(tiny_data)
    unknown = {"name": "tiny", "source": "drawn for tests", "people": 4, "licence": None, "landmarks": None}
    assert data_facts(data) == unknown
    rendered = data_facts(replace(data, source="rendered"))
    assert (rendered["licence"], rendered["landmarks"]["licence"]) == ("Apache-2.0", "Apache-2.0")
    prepared = replace(data, source="yale", info={"options": {"aligned": False, "landmarks": "mean"}})
    assert data_facts(prepared)["licence"] == "research only (The Yale Face Database)"
    found_by = {"name": "a mean face shape, placed by MTCNN (facenet-pytorch)", "licence": "MIT"}
    assert data_facts(prepared)["landmarks"] == found_by
    own = replace(prepared, info={"licence": "with consent, in-house only"})
    assert data_facts(own)["licence"] == "with consent, in-house only"
