import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from legan.models.quality import QualityModel
from legan.platform.data.dataset import open_dataset
from legan.platform.data.ratings.ratings import Ratings
from legan.platform.data.ratings.simulated import make_simulated_ratings
from legan.platform.errors import ConfigError
from legan.platform.evaluation.metric_names import RATINGS
from legan.platform.evaluation.ratings.report import (
    draw,
    expect_quality,
    predict,
    source_table,
    split_table,
    tracked_metrics,
    write_report,
)
from legan.platform.model import StoredNetwork


@pytest.fixture(scope="module")
def ratings(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ratings:
    return make_simulated_ratings(open_dataset(tiny_data), tmp_path_factory.mktemp("ratings") / "simulated", count=60)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "image": list("abcdefgh"),
            "source": ["gan", "gan", "swap", "swap", "gan", "gan", "swap", "swap"],
            "split": ["train"] * 4 + ["test"] * 4,
            "mean": [2.0, 4.0, 6.0, 8.0, 1.0, 3.0, 5.0, 7.0],
            "std": [1.0, 0.0, 1.0, 2.0, 0.5, 1.0, 1.0, 0.0],
            "prediction": [2.0, 5.0, 6.5, 5.0, 1.5, 2.5, 8.0, 7.5],
        }
    )
    return table.assign(inside=(table["mean"] - table["prediction"]).abs() <= table["std"])


def test_numbers_by_hand(predictions: pd.DataFrame) -> None:
    table = split_table(predictions).set_index("split")
    assert table.index.tolist() == ["train", "test"]
    test = table.loc["test"]
    assert (test["images"], test["mean_rating"], test["mean_prediction"]) == (4, 4.0, 4.875)
    assert test["error"] == pytest.approx((0.5 + 0.5 + 3 + 0.5) / 4)
    # Inside: 0.5 ≤ 0.5 and 0.5 ≤ 1; not 3 ≤ 1, not 0.5 ≤ 0.
    assert test["inside_margin"] == 0.5
    # Ranks of the predictions are 1 2 4 3 against 1 2 3 4: Spearman 1 − 6 · 2 / (4 · 15).
    assert test["spearman"] == pytest.approx(0.8)
    assert test["pearson"] == pytest.approx(np.corrcoef([1, 3, 5, 7], [1.5, 2.5, 8, 7.5])[0, 1])
    # The training ratings average to 5.
    assert test["constant_error"] == pytest.approx((4 + 2 + 0 + 2) / 4)
    assert test["constant_inside"] == 0.25


def test_sources_best_first(predictions: pd.DataFrame) -> None:
    rows = source_table(predictions).to_dict("records")
    assert [(row["split"], row["source"], row["rating"], row["prediction"]) for row in rows] == [
        ("train", "swap", 7.0, 5.75),
        ("train", "gan", 3.0, 3.5),
        ("test", "swap", 6.0, 7.75),
        ("test", "gan", 2.0, 2.0),
    ]
    assert rows[2]["rating_sd"] == 1.0
    assert rows[2]["prediction_sd"] == 0.25
    assert [row["inside_margin"] for row in rows] == [0.5, 0.5, 0.0, 1.0]


def test_undefined_correlations_are_not_tracked(predictions: pd.DataFrame) -> None:
    metrics = tracked_metrics(split_table(predictions.assign(prediction=4.0)))
    assert metrics["eval/ratings/test/error"] == 2.0
    assert "eval/ratings/test/pearson" not in metrics
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_table_of_metrics_has_a_row_for_every_number(predictions: pd.DataFrame) -> None:
    names = {name for metric in RATINGS for name in metric.names if "/val/" not in name}
    assert set(tracked_metrics(split_table(predictions))) == names


def test_q_is_asked_in_its_own_units(ratings: Ratings) -> None:
    torch.manual_seed(0)
    quality = QualityModel(32, 4, 3, 4, mean_rating=6.0)
    table = predict(ratings, quality, torch.device("cpu"))
    with torch.inference_mode():
        one = quality(torch.from_numpy(ratings.images[7:8]).permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert table["prediction"][7] == pytest.approx(float(one), abs=1e-5)
    assert np.array_equal(table["inside"], np.abs(ratings.mean - table["prediction"]) <= ratings.std)
    assert table["split"].tolist() == ratings.split.tolist()


def test_files(ratings: Ratings, tmp_path: Path) -> None:
    table = predict(ratings, QualityModel(32, 4, 3, 4), torch.device("cpu"))
    files = write_report(tmp_path / "deep" / "report", table, {"simulated": True, "ratings": "simulated", "images": len(table)})
    assert [file.name for file in files] == ["ratings.md", "splits.csv", "sources.csv", "predictions.csv", "ratings.png"]
    assert sorted(path.name for path in (tmp_path / "deep" / "report").iterdir()) == sorted(file.name for file in files)
    text = files[0].read_text()
    assert "The ratings are simulated: no person was asked." in text
    assert "always the mean" in text
    assert len(pd.read_csv(files[3])) == 60
    with Image.open(files[4]) as picture:
        assert picture.size == (1560, 1200)
    write_report(tmp_path / "deep" / "report", table, {"simulated": False, "ratings": "people"})
    assert "no person was asked" not in files[0].read_text()


def test_many_sources_and_no_test_split_can_be_drawn(ratings: Ratings) -> None:
    many = replace(ratings, source=np.array([f"source {i // 2}" for i in range(60)]), split=np.array(["train"] * 60))
    figure = draw(predict(many, QualityModel(32, 4, 3, 4), torch.device("cpu")), simulated=False)
    axes = figure.get_axes()
    assert len(axes[1].get_yticks()) == 12
    assert "18 rarer sources" in axes[1].get_xlabel()
    assert axes[2].get_title() == "Raters and Q per source, all splits"
    counts = [patch.get_height() for patch in axes[0].patches]
    assert counts == np.histogram(ratings.mean, bins=np.arange(11))[0].tolist()


def test_a_sources_name_is_no_formula(predictions: pd.DataFrame) -> None:
    draw(predictions.assign(source="$a_$"), simulated=False).savefig(io.BytesIO(), format="png")


def test_only_a_q_will_do() -> None:
    with pytest.raises(ConfigError, match="--quality: it is an identity network"):
        expect_quality(StoredNetwork("lightcnn", torch.nn.Identity(), {}, {}))
