from dataclasses import replace

import numpy as np
import pytest
import torch

from legan.models.quality import QUALITY_LOSSES
from legan.platform.data.dataset import open_dataset
from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.data.ratings.simulated import make_simulated_ratings
from legan.platform.model import load_network
from legan.platform.settings import ClassifierSettings, IdentitySettings, QualitySettings
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.loop import Listener, train
from legan.platform.training.parallel import Ranks
from legan.platform.training.tasks.classifier import classifier_task
from legan.platform.training.tasks.identity import identity_task
from legan.platform.training.tasks.quality import quality_task
from legan.platform.training.tasks.supervised import unlearnt

ADAM = {"learning_rate": 3e-3, "beta1": 0.9}


def common(**values):
    return {"steps": 60, "batch_size": 12, "adam": ADAM, "validate_every": 60, "checkpoint_every": 60, "log_every": 60, **values}


def test_judge_learns_and_is_exported_with_its_schema(tiny_data, tmp_path):
    data = open_dataset(tiny_data)
    torch.manual_seed(0)
    task = classifier_task(ClassifierSettings.model_validate(common(width=8, flip=True)), data, Ranks())
    losses = [float(task.step(task.batch(0), 0)["loss/total"]) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    metrics = task.validate()
    assert set(metrics) == {"val/expression_accuracy", "val/lighting_accuracy", "val/both_accuracy"}
    task.export(tmp_path / "judge", {"run": "x"})
    stored = load_network(tmp_path / "judge")
    assert stored.kind == "attribute_classifier"
    assert stored.info["schema"] == data.schema.to_dict()
    assert stored.info["people"] == list(data.people("train"))
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(stored.module(x)[0], task.network(x)[0])


def test_identity_learns_the_training_subjects(tiny_data):
    torch.manual_seed(0)
    settings = IdentitySettings.model_validate(common(network="lightcnn9", width=0.25, features=32, adam={"learning_rate": 1e-3}))
    task = identity_task(settings, open_dataset(tiny_data), Ranks())
    losses = [float(task.step(task.batch(0), 0)["loss/total"]) for _ in range(60)]
    assert min(losses[-5:]) < 0.8 * losses[0]
    assert task.numbers["classes"] == 4


def test_t_that_has_learnt_nothing_says_so(tiny_data):
    torch.manual_seed(0)
    small = {"network": "lightcnn9", "width": 0.25, "features": 32, "steps": 400, "adam": ADAM}
    task = identity_task(IdentitySettings.model_validate(common(**small)), open_dataset(tiny_data), Ranks())
    (remark,) = task.remarks()
    assert remark.startswith("T has learnt nothing of the people: it names the right one for ")
    assert "where always the commonest would be right for 25.0%; train it longer (--from)" in remark
    for step in range(400):
        task.step(task.batch(step), step)
    assert task.remarks() == []


def test_a_judge_says_which_of_its_two_answers_it_has_not_learnt(tiny_data):
    torch.manual_seed(0)
    data = open_dataset(tiny_data)
    one = replace(data, schema=replace(data.schema, expressions=("any",)), faces=data.faces.assign(expression="any"))
    task = classifier_task(ClassifierSettings.model_validate(common(width=8)), one, Ranks())
    assert [remark.partition(":")[0] for remark in task.remarks()] == ["the judge has learnt nothing of the lightings"]
    task = classifier_task(ClassifierSettings.model_validate(common(width=8)), data, Ranks())
    assert len(task.remarks()) == 2
    for step in range(60):
        task.step(task.batch(step), step)
    assert task.remarks() == []


def test_more_than_chance_is_more_than_its_standard_error():
    labels = torch.arange(100) % 4
    half = torch.where(torch.arange(100) < 40, labels, (labels + 1) % 4)
    assert unlearnt("T", "the people", half, labels) == []
    third = torch.where(torch.arange(100) < 33, labels, (labels + 1) % 4)
    (said,) = unlearnt("T", "the people", third, labels)
    assert "for 33.0% of its training images, where always the commonest would be right for 25.0%" in said
    skewed = torch.zeros(100, dtype=torch.int64)
    assert unlearnt("T", "the people", skewed, torch.where(torch.arange(100) < 80, 0, 1))


def test_translations_are_not_validated_on(tiny_data):
    data = open_dataset(tiny_data)
    two = replace(data, faces=data.faces.assign(split=["val" if name in "ef" else "train" for name in data.subject]))
    made = replace(two, faces=two.faces.assign(synthetic=data.subject == "f"))
    settings = IdentitySettings.model_validate(common(network="lightcnn9", width=0.25, features=32))
    assert set(identity_task(settings, two, Ranks()).validate()) == {"val/verification_auc"}
    assert identity_task(settings, made, Ranks()).validate() == {}  # one subject is left, so there is nobody to tell apart
    judge = ClassifierSettings.model_validate(common(width=8))
    assert classifier_task(judge, replace(two, faces=two.faces.assign(synthetic=True)), Ranks()).validate() == {}


@pytest.fixture(scope="module")
def ratings(tiny_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ratings") / "simulated"
    make_simulated_ratings(open_dataset(tiny_data), folder, count=72, seed=0)
    return read_ratings(folder, 32)


@pytest.mark.parametrize("loss", QUALITY_LOSSES)
def test_quality_trains_with_every_loss_and_reports_on_held_out_ratings(ratings, tmp_path, loss):
    torch.manual_seed(0)
    settings = QualitySettings.model_validate(common(image_size=32, width=8, layers=3, hidden=8, loss=loss, flip=True))
    task = quality_task(settings, ratings, Ranks())
    train(task, settings, tmp_path, Ranks(), Listener(None, str))
    metrics = list_checkpoints(tmp_path)[-1].metrics
    assert set(metrics) == {"val/rating_error", "val/rating_correlation", "val/share_inside_margin"}
    assert 0 < metrics["val/rating_error"] < 4
    assert task.numbers["mean_rating"] == pytest.approx(float(np.mean(ratings.mean[ratings.split == "train"])), abs=1e-3)


@pytest.mark.parametrize("loss", QUALITY_LOSSES)
def test_every_loss_can_be_brought_down(ratings, loss):
    """On one batch, by much; and the errors with it, as far as the margin wants them small."""
    torch.manual_seed(0)
    settings = QualitySettings.model_validate(common(image_size=32, width=8, layers=3, hidden=8, loss=loss))
    task = quality_task(settings, ratings, Ranks())
    batch = task.batch(0)
    terms = [{name: float(value) for name, value in task.step(batch, 0).items()} for _ in range(150)]
    assert min(term["loss/total"] for term in terms[-20:]) < 0.25 * terms[0]["loss/total"]
    assert min(term["loss/absolute_error"] for term in terms[-20:]) < 0.6 * terms[0]["loss/absolute_error"]


def test_q_that_rates_no_better_than_the_mean_says_so(ratings):
    torch.manual_seed(0)
    small = {"image_size": 32, "width": 8, "layers": 3, "hidden": 8, "steps": 150}
    task = quality_task(QualitySettings.model_validate(common(loss="squared", **small)), ratings, Ranks())
    with torch.no_grad():
        task.network.fc1.bias.add_(1.0)
    assert task.remarks()[0].startswith("Q has learnt nothing: it misses the ratings of its training images by ")
    for step in range(150):
        task.step(task.batch(step), step)
    assert task.remarks() == []


def test_two_workers_share_a_batch(tiny_data):
    data = open_dataset(tiny_data)
    settings = IdentitySettings.model_validate(common(network="lightcnn9", width=0.25, features=32, flip=True))
    whole = identity_task(settings, data, Ranks()).batch(3)
    parts = [identity_task(settings, data, Ranks(rank, 2)).batch(3) for rank in range(2)]
    for name in whole:
        assert torch.equal(torch.cat([part[name] for part in parts]), whole[name])
