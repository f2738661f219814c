"""Reports and promotion of trials that were really trained, for two steps each, and really recorded in MLflow."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from legan.cli import app
from legan.platform.config import resolve
from legan.platform.data.dataset import open_dataset
from legan.platform.errors import CheckpointError, ConfigError, NotBetterError, TrackingError
from legan.platform.evaluation.figures import GAP
from legan.platform.evaluation.pairs import choose_pairs
from legan.platform.model import read_model
from legan.platform.tracking.mlflow_access import resolve_model, roll_back
from legan.platform.tracking.tracker import Tracker
from legan.platform.training.lifecycle import train_run
from legan.platform.training.parallel import Ranks
from legan.platform.training.run_folder import create_run
from legan.sweeps.report.choice import Direction
from legan.sweeps.report.promote import promote
from legan.sweeps.report.report import Shown, masks_grid, varied, write_grids, write_report
from legan.sweeps.report.results import read_results
from legan.sweeps.sweep import Outcome, Sweep, SweepSettings, create_sweep, suite_trials, write_outcome

CPU = torch.device("cpu")
SMALL = (
    "steps=2", "batch_size=2", "critic_steps=1", "workers=0", "precision=fp32", "generator.width=4", "generator.blocks=0",
    "discriminator.width=4", "discriminator.layers=3", "loss.lambda_3=0", "loss.lambda_4=0", "loss.self_rec=0",
)  # fmt: skip
SSIM = {"transposed-convolution-0": 0.62, "transposed-convolution-1": 0.60, "pixel-shuffling-0": 0.9}
TILE = 96


@pytest.fixture(scope="module")
def sweep(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """Table 12's suite with two seeds: three trials trained, one failed, two not begun; their numbers are chosen."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEGAN_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(home)

        settings = SweepSettings(
            suite="upsampling",
            seeds=2,
            data=tiny_data,
            classifier=Path("judge"),
            matcher=Path("matcher"),
            pairs=8,
            overrides=SMALL,
        )
        made, uri = create_sweep(home, "up", settings), f"sqlite:///{home / 'mlflow.db'}"
        parent = Tracker(made.parent, experiment="legan", run_name="up", params={}, tags={}, uri=uri)
        assert parent.close(timeout_s=120) == 0

        for trial in suite_trials(settings):
            if trial.name in SSIM:
                overrides = [*SMALL, *(f"{key}={value}" for key, value in trial.changes.items())]
                asked = resolve("legan", "quick", overrides, {"data": tiny_data, "seed": trial.seed}).settings
                assert asked is not None
                run = create_run(made.trials, "legan", asked, trial.name, {"variant": trial.variant}, register=False)
                train_run(run, Ranks(), uri, lambda line: None)
                write_outcome(
                    made,
                    trial.name,
                    Outcome("finished", {f"{split}/ssim_to_target": SSIM[trial.name] for split in ("val", "eval")}),
                )
        failed = made.trials / "pixel-shuffling-1"
        failed.mkdir()
        write_outcome(made, failed.name, Outcome("failed", {}, "step 1: the loss term gp became nan."))
        yield made


@pytest.fixture
def client(sweep: Sweep) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{sweep.folder.parents[1] / 'mlflow.db'}")


def finished_run(sweep: Sweep, name: str) -> str:
    return next(str(each.run.run_id) for each in read_results(sweep) if each.trial.name == name)


def test_a_report_is_files_and_artifacts_of_the_sweeps_run(sweep: Sweep, client: mlflow.MlflowClient) -> None:
    said: list[str] = []
    text, files = write_report(sweep, None, CPU, said.append)
    names = ["table12.md", "table12.csv", "table12.png", "trials.csv", "samples.png", "masks.png"]
    assert files == [sweep.report / name for name in names]
    assert (sweep.report / "table12.md").read_text(encoding="utf-8") == text
    assert "pixel-shuffling-1: failed: step 1: the loss term gp became nan." in text
    assert "bilinear-interpolation-0, bilinear-interpolation-1: has not been started." in text
    assert finished_run(sweep, "pixel-shuffling-0") in text
    (parent,) = client.search_runs([client.get_experiment_by_name("legan").experiment_id], "attributes.run_name = 'up'")
    assert {each.path for each in client.list_artifacts(parent.info.run_id, "report")} == {f"report/{name}" for name in names}
    assert said == [f"Logged as report/ to the sweep's MLflow run {parent.info.run_id}."]


def test_the_grid_has_a_row_per_face_and_each_variants_own_output(sweep: Sweep, tmp_path: Path) -> None:
    samples, masks = write_grids(sweep, read_results(sweep), tmp_path, CPU)
    data = open_dataset(sweep.settings.data)
    pairs = varied(choose_pairs(data, 8, seed=0))
    grid = np.asarray(Image.open(samples))
    columns = [data.images[pairs["source_row"].to_numpy()]]
    for name in ("transposed-convolution-0", "pixel-shuffling-0"):
        columns.append(translated(read_model(sweep.trials / name / "model"), data, pairs))
    columns.append(data.images[pairs["target_row"].to_numpy(np.int64)])
    top, left = grid.shape[0] - 6 * (TILE + GAP), grid.shape[1] - 4 * (TILE + GAP)
    for j, column in enumerate(columns):
        for i, picture in enumerate(column):
            y, x = top + i * (TILE + GAP), left + j * (TILE + GAP)
            shown = grid[y : y + TILE : 3, x : x + TILE : 3].astype(int)
            assert np.abs(shown - picture.astype(int)).max() <= 1, (i, j)
    assert np.asarray(Image.open(masks)).shape[0] > 6 * TILE, "Me and Ml of three faces"


def translated(model, data, pairs):
    """By the public way of using a model."""
    photos = np.asarray(data.images[pairs["source_row"].to_numpy()])
    labels = model.schema.encode(
        torch.tensor([model.schema.expressions.index(name) for name in pairs["expression"]]),
        torch.tensor([model.schema.lightings.index(name) for name in pairs["lighting"]]),
    )
    x = torch.from_numpy(photos).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        image = model.generator(x, labels).image
    return ((image + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def test_as_many_people_as_there_are_come_first() -> None:
    import pandas as pd

    pairs = pd.DataFrame({"subject": list("aabacb"), "source_row": range(6)})
    assert varied(pairs, 4)["source_row"].tolist() == [0, 2, 4, 1]


def test_a_variant_without_masks_is_not_in_the_grid_of_masks(sweep: Sweep, tmp_path: Path) -> None:
    tile = np.full((32, 32, 3), 200, np.uint8)
    grid = masks_grid([tile], [Shown("a", [tile], [tile // 2], [tile // 4])], ["x to y"])
    assert (grid[-TILE // 2, -TILE // 2] == 50).all(), "Ml below Me"
    assert (grid[-TILE - TILE // 2, -TILE // 2] == 100).all()


def test_data_that_is_gone_leaves_out_the_grids_only(sweep: Sweep, tmp_path: Path) -> None:
    moved = sweep._replace(settings=sweep.settings.model_copy(update={"data": tmp_path / "gone"}))
    said: list[str] = []
    _, files = write_report(moved, tmp_path / "out", CPU, said.append)
    assert [path.name for path in files] == ["table12.md", "table12.csv", "table12.png", "trials.csv"]
    assert said[0].startswith("The grids of faces are left out: ")


def test_the_report_does_not_need_mlflow(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    said: list[str] = []
    text, files = write_report(sweep, tmp_path, CPU, said.append)
    assert len(files) == 6
    assert said[0].startswith("The report is in these files and not in MLflow: ")
    assert "does not answer" in said[0]
    assert "pixel-shuffling-0: not in MLflow" in text, "a run that a store has not got has no page there"


def test_out_that_is_a_file_is_refused(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--out: .*file cannot be written: .*; name another folder"):
        write_report(sweep, tmp_path / "file", CPU, print)


def promoted(sweep: Sweep, direction: Direction | None = None, *, force: bool = False) -> list[str]:
    """What is said when the best trial is promoted; after two steps none is better than a copy."""
    lines: list[str] = []
    promote(sweep, "val/ssim_to_target", direction, dry_run=False, force=force, say=lines.append)
    return lines


def test_the_best_seed_of_the_variant_with_the_best_mean_becomes_champion(sweep: Sweep, client: mlflow.MlflowClient) -> None:
    other = Tracker(sweep.folder.parent / "other", experiment="e", run_name="r", params={}, tags={})
    other.register_model(sweep.trials / "pixel-shuffling-0" / "model")
    assert other.close(timeout_s=120) == 0
    with pytest.raises(NotBetterError, match=r"transposed-convolution-0 is worse than .*copied input: SSIM to target "):
        promoted(sweep)
    assert str(client.get_model_version_by_alias("legan", "champion").version) == "1"

    lines = promoted(sweep, force=True)
    assert lines[0] == (
        "transposed-convolution-0 (Transposed Convolution, seed 0): Transposed Convolution has the highest mean of "
        "val/ssim_to_target, 0.6100 over 2 seeds, and this is its highest with 0.6200. Variants with fewer finished seeds did "
        "not compete: Bilinear Interpolation, Pixel Shuffling."
    )
    run_id = finished_run(sweep, "transposed-convolution-0")
    champion = client.get_model_version_by_alias("legan", "champion")
    assert (str(champion.version), champion.run_id) == ("2", run_id)
    assert champion.tags["sweep"] == "up"
    assert 0 < float(champion.tags["val/ssim_to_target"]) < 0.5, "as the guard has measured it"
    assert lines[-2] == f"models:/legan@champion is now version 2, of the MLflow run {run_id}."
    assert lines[-1] == "Before, it was version 1; `legan models rollback legan` brings that back."
    kept = resolve_model("models:/legan@champion")
    assert (kept / "generator.safetensors").read_bytes() == (
        sweep.trials / "transposed-convolution-0/model/generator.safetensors"
    ).read_bytes()

    already = "transposed-convolution-0 is version 2, which models:/legan@champion is already."
    assert promoted(sweep, force=True)[-1] == already
    assert len(client.search_model_versions("name = 'legan'")) == 2, "promoting again makes no further version"

    assert "this is its lowest with 0.6000" in promoted(sweep, "minimize", force=True)[0]
    assert str(client.get_model_version_by_alias("legan", "champion").version) == "3"
    assert [roll_back("legan"), roll_back("legan")] == [("3", "2"), ("2", "1")]
    assert str(client.get_model_version_by_alias("legan", "champion").version) == "1"


def test_unknown_metrics_and_directions_are_said(sweep: Sweep) -> None:
    with pytest.raises(ConfigError, match=r"--metric: 'val/ssim' is unknown; the finished trials of up have val/ssim_to_target"):
        promote(sweep, "val/ssim", None, dry_run=False, force=False, say=print)


def test_mlflow_away_is_said(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    with pytest.raises(TrackingError) as caught:
        promoted(sweep)
    assert "cannot be registered: MLflow at http://127.0.0.1:9 cannot do it now (it does not answer)" in str(caught.value)


def test_a_store_that_lacks_the_trial_says_how_to_send_it(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sweep.trials / "transposed-convolution-0"
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    with pytest.raises(TrackingError, match=f"is not in MLflow at {empty}; send it with: legan sync {folder}"):
        promoted(sweep)
    other = Tracker(tmp_path / "other", experiment="e", run_name="r", params={}, tags={}, uri=empty)
    assert other.close(timeout_s=120) == 0
    with pytest.raises(TrackingError) as caught:
        promoted(sweep)
    assert str(caught.value).endswith(f"send it with: legan sync {folder}")


def test_a_model_that_is_gone_is_said(sweep: Sweep) -> None:
    model = sweep.trials / "transposed-convolution-0" / "model"
    model.rename(model.with_name("away"))
    try:
        with pytest.raises(CheckpointError, match=r"transposed-convolution-0 is finished, but its model .* is gone"):
            promoted(sweep)
    finally:
        model.with_name("away").rename(model)


def test_the_commands_do_it(sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = CliRunner().invoke(app, ["sweep", "report", "up", "--out", str(tmp_path)])
    assert made.exit_code == 0, made.output
    assert "# Table 12: ours on" in made.output
    assert f"Written: {tmp_path / 'table12.md'}" in made.output
    made = CliRunner().invoke(app, ["sweep", "promote", str(sweep.folder), "--metric", "val/ssim_to_target", "--force"])
    assert made.exit_code == 0, made.output
    assert "which models:/legan@champion is" in made.output or "is now version" in made.output
    made = CliRunner().invoke(app, ["sweep", "report", "nothing"])
    assert isinstance(made.exception, CheckpointError)
    assert "sweeps under" in str(made.exception)
