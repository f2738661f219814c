import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from legan.models.expression import AttributeClassifier
from legan.models.generator import Generator
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.commands import evaluate
from legan.platform.data.align import DEFAULT_ALIGNMENT
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import CheckpointError, ConfigError
from legan.platform.evaluation.paired import Evaluation, Judges, choose_pairs, evaluate_pairs
from legan.platform.evaluation.report import markdown_report, tracked_metrics, write_report
from legan.platform.model import Model, save_network, write_model
from legan.platform.tracking import mlflow_access

CPU = torch.device("cpu")
CLASSIFIER = {"expressions": 3, "lightings": 4, "image_size": 32, "width": 4}
MATCHER = {"layers": 9, "classes": 3, "image_size": 32, "width": 0.125, "features": 16}


@pytest.fixture
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


def tiny_model(data: Dataset, *, disentangled: bool = True, **info: str) -> Model:
    generator = Generator(3, 4, width=4, blocks=0, upsampling="bilinear", disentangled=disentangled)
    quality = QualityModel(image_size=32, width=4, layers=3, hidden=8)
    return Model(generator, quality, data.schema, 32, DEFAULT_ALIGNMENT, info)


def evaluated(model: Model, data: Dataset) -> Evaluation:
    judges = Judges(AttributeClassifier(**CLASSIFIER).eval(), LightCNN(**MATCHER).eval())
    return evaluate_pairs(model, data, choose_pairs(data, 20, seed=0), judges, CPU)


def test_the_files_hold_the_same_numbers(data: Dataset, tmp_path: Path) -> None:
    model = tiny_model(data)
    evaluation = evaluated(model, data)
    files = write_report(tmp_path / "out", evaluation, model, data, {"model": "m", "seed": 0}, CPU)
    assert sorted(path.name for path in files) == sorted(path.name for path in (tmp_path / "out").iterdir())
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert values["seed"] == 0
    assert values["reference"] == "target"
    table = pd.read_csv(tmp_path / "out" / "table.csv", index_col="method")
    for method in ("output", "copy input", "real images"):
        for metric, value in evaluation.table.loc[method].items():
            assert values["methods"][method][metric] == pytest.approx(value)
            assert table.loc[method, metric] == pytest.approx(value)
    assert len(pd.read_csv(tmp_path / "out" / "scores.csv")) == 60
    assert len(pd.read_csv(tmp_path / "out" / "pairs.csv")) == 20
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert f"{evaluation.table.loc['output', 'ssim_to_target']:.3f}" in text
    assert "| copy input |" in text
    assert "| real images |" in text


@pytest.mark.parametrize("disentangled", [True, False])
def test_the_picture_shows_five_columns_of_eight_pairs(data: Dataset, tmp_path: Path, disentangled: bool) -> None:
    model = tiny_model(data, disentangled=disentangled)
    write_report(tmp_path, evaluated(model, data), model, data, {}, CPU)
    picture = np.asarray(Image.open(tmp_path / "pictures.png"))
    assert picture.shape[0] > 8 * 100
    assert picture.shape[1] > 5 * 100
    masks = picture[-60:-8, -60:-8]
    assert (masks == 235).all() != disentangled, "grey where there is no mask"


def test_metrics_are_named_by_method(data: Dataset) -> None:
    evaluation = evaluated(tiny_model(data), data)
    metrics = tracked_metrics(evaluation)
    assert len(metrics) == 18
    assert metrics["eval/match_to_target"] == pytest.approx(evaluation.table.loc["output", "match_to_target"])
    assert metrics["eval/copy_input/ssim_to_target"] == pytest.approx(evaluation.table.loc["copy input", "ssim_to_target"])
    assert metrics["eval/real_images/quality"] == pytest.approx(evaluation.table.loc["real images", "quality"])


def test_unpaired_reports_say_so(data: Dataset) -> None:
    evaluation = evaluated(tiny_model(data), data)
    unpaired = Evaluation("source", evaluation.pairs, evaluation.scores, evaluation.table, evaluation.classes, 0.25)
    assert "Unpaired" in markdown_report(unpaired, {})
    assert "different people match by 0.250" in markdown_report(unpaired, {})
    assert tracked_metrics(unpaired)["eval/strangers/match_to_source"] == 0.25
    assert "Unpaired" not in markdown_report(evaluation, {})
    assert "different people" not in markdown_report(evaluation, {})


# The command


@pytest.fixture
def folders(data: Dataset, tmp_path: Path) -> dict[str, Path]:
    write_model(tmp_path / "model", tiny_model(data))
    classifier, matcher = AttributeClassifier(**CLASSIFIER), LightCNN(**MATCHER)
    save_network(tmp_path / "classifier", "attribute_classifier", CLASSIFIER, classifier, schema=data.schema.to_dict())
    save_network(tmp_path / "matcher", "lightcnn", MATCHER, matcher)
    return {name: tmp_path / name for name in ("model", "classifier", "matcher")}


def run(folders: dict[str, Path], data: Dataset, *more: str) -> object:
    app = typer.Typer()
    app.callback()(lambda: None)
    evaluate.mount(app)
    judges = ["--classifier", str(folders["classifier"]), "--matcher", str(folders["matcher"])]
    arguments = ["evaluate", str(folders["model"]), "--data", str(data.path), *judges, "--pairs", "10", *more]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)


def test_the_command_prints_the_table_and_where_the_pictures_are(data: Dataset, folders: dict[str, Path], tmp_path: Path) -> None:
    result = run(folders, data, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0
    for word in ("10 held-out images of 1 subject ", "copy input", "real images", "ssim to target", str(tmp_path / "out")):
        assert word in result.output
    assert (tmp_path / "out" / "pictures.png").is_file()
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert values["data_hash"] == data.content_hash
    assert values["matcher_is_not_the_trained_T"].startswith("unknown")


def test_files_go_beside_the_runs_by_default(data: Dataset, folders: dict[str, Path], home: Path) -> None:
    assert run(folders, data).exit_code == 0
    assert (home / "evaluations" / f"{folders['model'].parent.name}-on-tiny" / "evaluation.md").is_file()


def test_results_are_logged_to_the_models_run(
    data: Dataset, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(folders["model"], tiny_model(data, run_id="run7", identity_weights="another"))
    calls = []
    monkeypatch.setattr(mlflow_access, "log_to_run", lambda *given: calls.append(given))
    result = run(folders, data, "--out", str(tmp_path / "out"))
    ((run_id, metrics, files),) = calls
    assert run_id == "run7"
    assert "eval/expression_accuracy" in metrics
    assert tmp_path / "out" / "pictures.png" in files
    assert "run7" in result.output


@pytest.mark.parametrize(("uri", "why"), [("http://127.0.0.1:9", "it does not answer"), (None, "run7")])
def test_scores_are_kept_when_mlflow_cannot_take_them(
    uri: str | None, why: str, data: Dataset, folders: dict[str, Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(folders["model"], tiny_model(data, run_id="run7", identity_weights="another"))
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    else:
        home.mkdir()
    result = run(folders, data, "--out", str(home / "out"))
    assert result.exit_code == 0
    last = result.output.splitlines()[-1]
    assert last.startswith("The scores are in these files and not in MLflow: nothing can be added to the MLflow run run7: ")
    assert why in last
    assert (home / "out" / "evaluation.json").is_file()


def test_wrong_folders_are_refused_before_computing(data: Dataset, folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="--classifier is a lightcnn"):
        run(folders | {"classifier": folders["matcher"]}, data)
    with pytest.raises(CheckpointError, match=r"nowhere is no model folder"):
        run(folders | {"model": Path("nowhere")}, data)
