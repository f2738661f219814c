from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.commands.data import data
from legan.platform.commands.ratings import ratings
from legan.platform.errors import ConfigError, DataError
from legan.platform.model import save_network
from legan.platform.tracking.places import default_tracking_uri

runner = CliRunner()


def run(*arguments: object) -> str:
    done = runner.invoke(ratings, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def faces(tmp_path: Path, home: Path) -> Path:
    """A prepared folder of smooth and noisy squares from two methods."""
    home.mkdir()
    rng = np.random.default_rng(0)
    for i in range(80):
        image = np.full((32, 32, 3), 60 + 2 * i, np.float64) + rng.normal(0, 50 * (i % 2), (32, 32, 3))
        path = tmp_path / "images" / ("gan", "swap")[i // 40] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path)
    arguments = ["prepare", "folder", "--root", tmp_path / "images", "--out", tmp_path / "faces", "--aligned", "--size", "32"]
    done = runner.invoke(data, [*map(str, arguments), "--workers", "0"], catch_exceptions=False)
    assert done.exit_code == 0
    return tmp_path / "faces"


def rate(study: Path) -> Path:
    """Even images are natural, odd ones not; raters differ by one."""
    table = pd.read_csv(study / "assignments.csv")
    made = pd.read_csv(study / "images.csv").set_index("image")["source_path"].str[-6:-4].astype(int)
    table["score"] = np.where(table["image"].map(made) % 2, 2, 8) + table["rater"].str[-1].astype(int) - 2
    table.to_csv(study / "filled.csv", index=False)
    return study / "filled.csv"


def test_from_images_to_a_report(faces: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    numbers = {"layers": 9, "classes": 2, "image_size": 32, "width": 0.25, "features": 16}
    save_network(tmp_path / "T", "lightcnn", numbers, LightCNN(**numbers))
    first, second = tmp_path / "study1", tmp_path / "study2"

    printed = run("batches", faces, "--out", first, "--whole", "--max-yaw", 180, "--batches", 4)
    assert "80 of 80 faces" in printed
    assert "4 batches × 3 raters, 240 scores to give" in printed
    printed = run("collect", first, "--scores", rate(first), "--out", tmp_path / "seeds")
    assert "80 of 80 images are rated: 80 by all their raters" in printed
    assert "whole faces, for stage I" in printed
    printed = run("svm", tmp_path / "seeds", "--features", tmp_path / "T", "--out", tmp_path / "svm")
    assert "fitted on ratings of 64 images" in printed
    assert "test: 1.000 balanced accuracy" in printed

    printed = run("sides", faces, "--svm", tmp_path / "svm", "--out", tmp_path / "sides.csv")
    assert "40 natural and 40 unnatural faces" in printed
    table = pd.read_csv(tmp_path / "sides.csv")
    noisy = table["image"].str[-6:-4].astype(int) % 2 == 1
    assert (table.loc[noisy, "side"] == "unnatural").mean() > 0.9
    assert ((table["distance"] >= 0) == (table["side"] == "natural")).all()

    printed = run(
        "batches", faces, "--out", second, "--svm", tmp_path / "svm", "--group", "source", "--max-yaw", 180, "--batches", 5,
        "--raters", 2, "--count", 72,
    )  # fmt: skip
    assert "natural, gan: 18 of" in printed
    printed = run("collect", second, "--scores", rate(second), "--out", tmp_path / "ratings")
    assert "legan train quality --ratings" in printed

    client = mlflow.MlflowClient(tracking_uri=default_tracking_uri())
    run_id = client.create_run(client.create_experiment("legan")).info.run_id
    small = {"image_size": 32, "width": 4, "layers": 3, "hidden": 4}
    save_network(tmp_path / "Q", "quality", small, QualityModel(**small), run_id=run_id)
    printed = run("report", tmp_path / "ratings", "--quality", tmp_path / "Q", "--out", tmp_path / "report")
    logged = client.get_run(run_id).data.metrics
    splits = pd.read_csv(tmp_path / "report" / "splits.csv").set_index("split")
    assert logged["eval/ratings/test/inside_margin"] == pytest.approx(splits.loc["test", "inside_margin"])
    assert {file.path for file in client.list_artifacts(run_id, "evaluation")} >= {
        "evaluation/ratings.md",
        "evaluation/ratings.png",
    }
    assert "inside the raters' margin" in printed
    assert (tmp_path / "report" / "ratings.png").is_file()
    with pytest.raises(DataError, match=r"80 of 80 images of .*seeds are not masked"):
        run("report", tmp_path / "seeds", "--quality", tmp_path / "Q", "--out", tmp_path / "whole")


def test_bad_input_is_one_sentence(faces: Path, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("mine")
    for error, arguments, message in [
        (DataError, ["batches", faces, "--out", tmp_path / "s"], "have no yaw"),
        (ConfigError, ["batches", faces, "--out", tmp_path / "s", "--groups", "g.csv"], "needs --group"),
        (DataError, ["collect", faces, "--scores", "x.csv", "--out", tmp_path / "r"], "is no study"),
        # Where the result cannot go is said before anything is read, let alone computed.
        (DataError, ["svm", "nowhere", "--features", "nowhere", "--out", faces], "already exists"),
        (DataError, ["batches", "nowhere", "--out", note / "s"], "note.txt is a file; choose another folder"),
        (DataError, ["svm", "nowhere", "--features", "nowhere", "--out", "."], "has no name of its own"),
        (DataError, ["batches", "nowhere", "--out", "."], "has no name of its own"),
        (DataError, ["collect", "nowhere", "--scores", "x.csv", "--out", "."], "has no name of its own"),
        (DataError, ["sides", "nowhere", "--svm", "nowhere", "--out", tmp_path], "is a folder; choose another --out"),
        (DataError, ["sides", "nowhere", "--svm", "nowhere", "--out", note / "s.csv"], "note.txt is a file; choose"),
        (DataError, ["report", "nowhere", "--quality", "nowhere", "--out", note], "note.txt is a file; choose another --out"),
    ]:
        with pytest.raises(error, match=message):
            runner.invoke(ratings, [str(argument) for argument in arguments], catch_exceptions=False)


def test_seeds_are_not_negative(tmp_path: Path) -> None:
    for app, arguments in ((ratings, ["batches", "x", "--out", "y"]), (data, ["ratings", "x", "--out", "y"])):
        done = runner.invoke(app, [*arguments, "--seed", "-1"], catch_exceptions=False)
        assert done.exit_code == 2
        assert "--seed" in done.output
