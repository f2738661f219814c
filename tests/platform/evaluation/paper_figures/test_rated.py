"""Figure 10: rated faces with what their raters and Q say."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tests.platform.evaluation.conftest import QUALITY, Tiny
from tests.platform.evaluation.paper_figures.test_figure import evaluate_figure, problems_of, shown

from legan.platform.data.dataset import Dataset
from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.data.ratings.simulated import make_simulated_ratings
from legan.platform.evaluation.paper_figures.asked import FigureRequest
from legan.platform.model import save_network
from legan.platform.pixels import network_input


def test_the_figure_shows_raters_and_q(data: Dataset, tiny: Tiny, tmp_path: Path) -> None:
    make_simulated_ratings(data, tmp_path / "ratings", count=90)
    quality, ratings = tiny.quality().eval(), read_ratings(tmp_path / "ratings", 32)
    save_network(tmp_path / "Q", "quality", QUALITY, quality, ratings_hash=ratings.content_hash)
    out = tmp_path / "out"
    arguments = ["--ratings", str(tmp_path / "ratings"), "--quality", str(tmp_path / "Q"), "--out", str(out), "--faces", "5"]
    said = evaluate_figure("10", *arguments)
    about = json.loads((out / "figure10.json").read_text())
    assert about["ratings"]["simulated"] is True
    assert about["ratings"]["held_out_of_the_training_of_Q"] == "yes"
    assert [face["split"] for face in about["faces"]] == ["test"] * 5
    assert len({face["source"] for face in about["faces"]}) == min(5, len(set(ratings.source[ratings.split == "test"])))
    means = [face["mean"] for face in about["faces"]]
    assert means == sorted(means, reverse=True)
    inside = 0
    for face in about["faces"]:
        (row,) = np.flatnonzero(ratings.name == face["image"])
        assert (face["mean"], face["std"]) == (float(ratings.mean[row]), float(ratings.std[row]))
        with torch.inference_mode():
            q = float(quality(network_input(ratings.images[[row]], torch.device("cpu")))[0])
        assert abs(face["prediction"] - q) < 1e-4
        inside += abs(q - face["mean"]) <= face["std"]
        assert shown(out / "figure10.png", ratings.images[row])
    assert said.startswith(f"Q is inside the margin (|µ − Q| ≤ σ) of {inside} of 5 faces")


def test_what_cannot_be_shown_is_told_at_once(data: Dataset, tiny: Tiny, tmp_path: Path) -> None:
    make_simulated_ratings(data, tmp_path / "ratings", count=30)
    table = pd.read_parquet(tmp_path / "ratings" / "ratings.parquet")
    table.assign(split="train").to_parquet(tmp_path / "ratings" / "ratings.parquet")
    save_network(tmp_path / "Q", "quality", QUALITY, tiny.quality())
    none = "--ratings: it has no image of the split test, which Q is not trained on; collect more ratings"
    assert problems_of(FigureRequest(10, ratings=tmp_path / "ratings", quality=tmp_path / "Q")) == [none]
    told = problems_of(FigureRequest(10, ratings=tmp_path / "ratings", quality=tiny.save("model", tiny.model())))
    assert told[0].startswith("--quality: ")
    assert told[1] == none
