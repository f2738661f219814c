import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from legan.models.expression import AttributeClassifier, ExpressionClassifier
from legan.platform.config import resolve
from legan.platform.data.dataset import open_dataset
from legan.platform.errors import ConfigError
from legan.platform.evaluation.expression.evaluate import (
    ExpressionRequest,
    default_expression_folder,
    evaluate_expression,
    prepare_expression,
)
from legan.platform.model import save_network
from legan.platform.tracking.places import default_tracking_uri
from legan.platform.training.start import start_training

CPU = torch.device("cpu")
SMALL = ["width=4", "hidden=8", "steps=4", "batch_size=8", "validate_every=2", "checkpoint_every=2", "workers=0"]


def saved(folder: Path, expressions: list[str], size: int = 32) -> Path:
    """An untrained classifier of these expressions."""
    torch.manual_seed(0)
    numbers = {"expressions": len(expressions), "image_size": size, "width": 4, "hidden": 8, "dropout": 0.0}
    save_network(folder, "expression_classifier", numbers, ExpressionClassifier(**numbers), schema={"expressions": expressions})
    return folder


def test_a_trained_classifier_is_scored_and_logged_to_its_run(home, tiny_data, capsys):
    start_training("expression", resolve("expression", "quick", SMALL, {"data": tiny_data}), "faces", None, dry_run=False)
    bench = prepare_expression(ExpressionRequest(home / "faces", tiny_data))
    out = default_expression_folder(bench)
    assert out.name == f"expression-faces-{bench.data.name}-test"
    said: list[str] = []
    rows = evaluate_expression(bench, out, CPU, said.append)

    data = open_dataset(tiny_data)
    test = data.real_rows("test")
    images = torch.from_numpy(np.asarray(data.images[test])).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        scores = bench.network.module(images).softmax(1).numpy()
    expected = [roc_auc_score(data.expression[test] == k, scores[:, k]) for k in range(3)]
    assert [row.auc for row in rows] == pytest.approx([*expected, np.mean(expected)], abs=1e-5)
    assert [row.name for row in rows] == ["neutral", "smile", "scream", "mean of all"]

    told = json.loads((out / "expression.json").read_text())
    assert told["mean_auc"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert told["times_scored_on_test"] == 1
    assert "| smile | 4 |" in (out / "expression.md").read_text()
    metrics = mlflow.MlflowClient(tracking_uri=default_tracking_uri()).get_run(bench.run.run_id).data.metrics
    assert metrics["eval/expression_auc"] == pytest.approx(told["mean_auc"])
    assert metrics["eval/expression_auc/scream"] == pytest.approx(expected[2], abs=1e-5)


def test_all_that_does_not_fit_is_said_at_once(home, tiny_data, tmp_path):
    asked = ExpressionRequest(saved(tmp_path / "other", ["neutral", "smile", "disgust"], size=64), tiny_data)
    with pytest.raises(ConfigError) as caught:
        prepare_expression(asked)
    said = str(caught.value)
    assert "it is for 64×64 images, the data set has 32×32" in said
    assert "the classifier knows neutral, smile, disgust, and not scream; leave these out" in said
    assert "its split test has no real image of disgust; ROC AUC needs some of each" in said


def test_a_network_of_another_kind_is_named(home, tiny_data, tmp_path):
    numbers = {"expressions": 3, "lightings": 4, "image_size": 32, "width": 4}
    save_network(tmp_path / "judge", "attribute_classifier", numbers, AttributeClassifier(**numbers))
    with pytest.raises(ConfigError, match=r"RUN: .*a classifier of expression and lighting.*legan train expression"):
        prepare_expression(ExpressionRequest(tmp_path / "judge", tiny_data))


@pytest.mark.parametrize("info", [{}, {"schema": {"expressions": ["neutral"]}}, {"schema": ["neutral", "smile", "scream"]}])
def test_a_network_that_does_not_name_its_expressions_is_told(home, tiny_data, tmp_path, info):
    numbers = {"expressions": 3, "image_size": 32, "width": 4, "hidden": 8}
    save_network(tmp_path / "net", "expression_classifier", numbers, ExpressionClassifier(**numbers), **info)
    with pytest.raises(ConfigError) as caught:
        prepare_expression(ExpressionRequest(tmp_path / "net", tiny_data))
    assert [str(problem) for problem in caught.value.problems] == [
        "RUN: it does not say which expressions it knows; train it anew with `legan train expression`"
    ]
