import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from legan.models.expression import ExpressionClassifier
from legan.platform.data.dataset import open_dataset
from legan.platform.model import load_network
from legan.platform.settings import ExpressionSettings
from legan.platform.training.parallel import Ranks
from legan.platform.training.tasks.expression import expression_task

CPU = torch.device("cpu")


def make_task(data, **changes):
    given = {"steps": 4, "batch_size": 8, "width": 4, "hidden": 8, "dropout": 0.0, "flip": False, "precision": "fp32"}
    torch.manual_seed(0)
    return expression_task(ExpressionSettings.model_validate(given | changes), open_dataset(data), Ranks(device=CPU))


def test_the_loss_is_cross_entropy_and_steps_lower_it(tiny_data):
    task = make_task(tiny_data, adam={"learning_rate": 0.003})
    batch = task.batch(0)
    logits = task.network((batch["x"].float() / 127.5) - 1).detach()
    losses = [float(task.step(dict(batch), 0)["loss/total"]) for _ in range(30)]
    assert losses[0] == pytest.approx(float(F.cross_entropy(logits, batch["expression"])), rel=1e-4)
    assert losses[-1] < 0.5 * losses[0]


def test_it_is_validated_by_the_mean_auc_of_real_faces(tiny_data):
    task, data = make_task(tiny_data), open_dataset(tiny_data)
    rows = data.real_rows("val")
    images = torch.from_numpy(np.asarray(data.images[rows])).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        scores = task.network.eval()(images).softmax(1).numpy()
    given = data.expression[rows]
    expected = np.mean([roc_auc_score(given == k, scores[:, k]) for k in range(3)])
    found = task.validate()
    assert found["val/expression_auc"] == pytest.approx(expected, abs=1e-5)
    assert found["val/expression_accuracy"] == pytest.approx((scores.argmax(1) == given).mean())


def test_mirroring_keeps_the_expression(tiny_data):
    plain, mirrored = make_task(tiny_data).batch(1), make_task(tiny_data, flip=True).batch(1)
    turned = [not torch.equal(a, b) for a, b in zip(plain["x"], mirrored["x"], strict=True)]
    assert any(turned)
    assert not all(turned)
    assert torch.equal(plain["expression"], mirrored["expression"])


def test_what_it_learned_comes_back_from_its_folder(tiny_data, tmp_path):
    task = make_task(tiny_data)
    task.export(tmp_path / "network", {"run": "one"})
    stored = load_network(tmp_path / "network", "expression_classifier")
    assert isinstance(stored.module, ExpressionClassifier)
    assert stored.info["schema"]["expressions"] == ["neutral", "smile", "scream"]
    x = torch.zeros(1, 3, 32, 32)
    assert torch.equal(stored.module(x), task.network.eval()(x))
