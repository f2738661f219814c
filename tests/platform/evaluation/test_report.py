import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.paired import Evaluation
from legan.platform.evaluation.pairs import choose_pairs, read_pairs
from legan.platform.evaluation.report import markdown_report, tracked_metrics, worst_pairs, write_report
from legan.platform.model import Model

CPU = torch.device("cpu")


def evaluated(tiny: Any, model: Model) -> Evaluation:
    evaluation: Evaluation = tiny.evaluate(model, choose_pairs(tiny.data, 20, seed=0))
    return evaluation


def test_the_files_hold_the_same_numbers(data: Dataset, tiny: Any, tmp_path: Path) -> None:
    model = tiny.model()
    evaluation = evaluated(tiny, model)
    files = write_report(tmp_path / "out", evaluation, model, data, {"model": "m", "seed": 0}, CPU)
    assert sorted(path.name for path in files) == sorted(path.name for path in (tmp_path / "out").iterdir())
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert values["seed"] == 0
    assert values["reference"] == "target"
    table = pd.read_csv(tmp_path / "out" / "table.csv", index_col="method")
    for method in ("output", "copy input", "real images"):
        for metric, value in evaluation.table.loc[method].items():
            in_json = values["methods"][method][metric]
            assert (float("nan") if in_json is None else in_json) == pytest.approx(value, nan_ok=True)
            assert table.loc[method, metric] == pytest.approx(value, nan_ok=True)
    assert len(pd.read_csv(tmp_path / "out" / "scores.csv")) == 60
    assert read_pairs(tmp_path / "out" / "pairs.csv", data, data.schema)["source_row"].tolist() == (
        evaluation.pairs["source_row"].tolist()
    )
    classes = pd.read_csv(tmp_path / "out" / "classes.csv")
    assert len(classes) == 3 * (3 + 4 + 1), "expressions, lightings and the skin tone of the one person"
    assert set(evaluation.table.columns) <= set(classes.columns), "all metrics, not only the accuracies"
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert f"{evaluation.table.loc['output', 'ssim_to_target']:.3f}" in text
    assert "| copy input |" in text
    assert "| real images |" in text
    assert "| KD identity" not in text, "the main numbers alone"


@pytest.mark.parametrize("disentangled", [True, False])
def test_the_picture_shows_five_columns_of_eight_pairs(data: Dataset, tiny: Any, tmp_path: Path, disentangled: bool) -> None:
    model = tiny.model(disentangled=disentangled)
    write_report(tmp_path, evaluated(tiny, model), model, data, {}, CPU)
    picture = np.asarray(Image.open(tmp_path / "pictures.png"))
    assert picture.shape[0] > 8 * 100
    assert picture.shape[1] > 5 * 100
    masks = picture[-60:-8, -60:-8]
    assert (masks == 235).all() != disentangled, "grey where there is no mask"


def test_metrics_are_named_by_method(tiny: Any) -> None:
    evaluation = evaluated(tiny, tiny.model())
    metrics = tracked_metrics(evaluation)
    assert len(metrics) == 3 * 12 + 2, "copied inputs and real images have no masks"
    assert metrics["eval/match_to_target"] == pytest.approx(evaluation.table.loc["output", "match_to_target"])
    assert metrics["eval/copy_input/ssim_to_target"] == pytest.approx(evaluation.table.loc["copy input", "ssim_to_target"])
    assert metrics["eval/real_images/quality"] == pytest.approx(evaluation.table.loc["real images", "quality"])


def test_unpaired_reports_say_so(tiny: Any) -> None:
    evaluation = evaluated(tiny, tiny.model())
    unpaired = replace(evaluation, reference="source", strangers=0.25)
    assert "Unpaired" in markdown_report(unpaired, {})
    assert "different people match by 0.250" in markdown_report(unpaired, {})
    assert tracked_metrics(unpaired)["eval/strangers/match_to_source"] == 0.25
    assert "Unpaired" not in markdown_report(evaluation, {})
    assert "different people" not in markdown_report(evaluation, {})


def test_the_worst_by_q_are_shown_the_lowest_first(data: Dataset, tiny: Any, tmp_path: Path) -> None:
    model = tiny.model()
    evaluation = evaluated(tiny, model)
    worst = worst_pairs(evaluation)
    assert worst is not None
    outputs = evaluation.scores[evaluation.scores["method"] == "output"]
    assert worst.tolist() == sorted(outputs["quality"])[:8]
    write_report(tmp_path, evaluation, model, data, {}, CPU)
    with Image.open(tmp_path / "worst.png") as picture:
        assert picture.size[1] > 8 * 100
    without = replace(evaluation, scores=evaluation.scores.drop(columns="quality"))
    files = write_report(tmp_path, without, model, data, {}, CPU)
    assert "worst.png" not in [path.name for path in files]
    assert not (tmp_path / "worst.png").exists(), "the older one would be somebody else's"


def test_missing_numbers_are_null_in_json_and_a_dash_for_people(data: Dataset, tiny: Any, tmp_path: Path) -> None:
    model = tiny.model()
    evaluation = evaluated(tiny, model)
    evaluation.table.loc["real images", "lighting_accuracy"] = float("nan")
    write_report(tmp_path, evaluation, model, data, {"left_out": {"lpips": "no weights"}}, CPU)
    values = json.loads((tmp_path / "evaluation.json").read_text())
    assert values["methods"]["real images"]["lighting_accuracy"] is None
    assert "eval/real_images/lighting_accuracy" not in tracked_metrics(evaluation)
    text = (tmp_path / "evaluation.md").read_text()
    assert "- left out: lpips: no weights" in text
    assert "N = 20 images of each row against the 12 real images" in text


def test_a_report_that_fails_leaves_no_half_files(
    tiny: Any, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.model()
    evaluation = evaluated(tiny, model)
    write_report(tmp_path, evaluation, model, data, {}, CPU)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_report(tmp_path, evaluation, model, data, {"model": "other"}, CPU)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert left == {
        name: content for name, content in before.items() if name not in ("evaluation.json", "worst.png", "masks.png")
    }
