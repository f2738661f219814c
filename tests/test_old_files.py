"""What users have keeps working: homes that earlier versions wrote are opened, resumed and served (see tests/fixtures)."""

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from tests.fixtures.make_home import unpack
from typer.testing import CliRunner

import legan
from legan.cli import app
from legan.platform.data.dataset import open_dataset

HOMES = sorted((Path(__file__).parent / "fixtures").glob("home-*/home.tar.xz"))
GOALS = {
    "legan": ("l1_to_target", -1),
    "quality": ("rating_error", -1),
    "identity": ("verification_auc", 2),
    "classifier": ("both_accuracy", 2),
}
"""What each kind of training validates by, and a value that no checkpoint can beat."""


@pytest.fixture(params=HOMES, ids=lambda path: path.parent.name)
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that an earlier version wrote; its runs are where today's commands look for runs."""
    home = tmp_path / "home"
    home.mkdir()
    unpack(request.param, home)
    monkeypatch.setenv("LEGAN_HOME", str(home / "runs"))
    monkeypatch.setenv("LEGAN_WEIGHTS", str(home / "no-weights"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(home)
    return home


def run(*words: object) -> str:
    """What a command prints that ends well."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def checkpoints(run_folder: Path) -> list[Path]:
    return sorted(run_folder.glob("checkpoints/step-*"))


def judges(home: Path) -> list[object]:
    return ["--classifier", home / "runs/classifier", "--matcher", home / "runs/matcher", "--known-judges"]


def test_the_data_set_is_shown(old: Path) -> None:
    said = run("data", "show", old / "data")
    assert "data: 84 faces of 32×32 from source table" in said
    assert (old / "data.png").is_file()
    data = open_dataset(old / "data")
    assert {split: len(data.rows(split)) for split in ("train", "val", "test")} == {"train": 48, "val": 24, "test": 12}


@pytest.mark.parametrize("kind", GOALS)
def test_a_stopped_training_goes_on_to_its_end_and_its_best_checkpoint_is_still_known(old: Path, kind: str) -> None:
    folder, (goal, unbeaten) = old / "runs" / f"stopped-{kind}", GOALS[kind]
    first = checkpoints(folder)[0]
    record = json.loads((first / "checkpoint.json").read_text())
    (name,) = [name for name in record["metrics"] if name.rpartition("/")[2] == goal]
    record["metrics"][name] = unbeaten
    (first / "checkpoint.json").write_text(json.dumps(record))

    assert f"resumed from step {checkpoints(folder)[-1].name.removeprefix('step-').lstrip('0')}" in run(
        "train", kind, "--resume", folder.name
    )
    steps = yaml.safe_load((folder / "config.yaml").read_text())["settings"]["steps"]
    assert checkpoints(folder) == [first, folder / f"checkpoints/step-{steps:08d}"]
    described = json.loads(next((folder / "model").glob("*.json")).read_text())
    # The last G is taken, and the best T, Q and judge.
    assert described["info"]["step"] == str(steps if kind == "legan" else record["step"])


def test_the_model_folder_and_the_registered_model_translate_alike(old: Path) -> None:
    face = np.asarray(open_dataset(old / "data").images[:2])
    folder, champion = legan.load(str(old / "runs/legan/model")), legan.load("models:/legan@champion")
    translated = folder.translate(face, ["smile", "scream"], ["left", "front"])
    assert translated.shape == face.shape
    assert (translated != face).any()
    np.testing.assert_array_equal(champion.translate(face, ["smile", "scream"], ["left", "front"]), translated)
    assert champion.quality_model is not None


def test_mlflow_loads_the_registered_model(old: Path) -> None:
    """Its code was written by the version that registered it."""
    (place,) = (old / "runs/mlartifacts/legan/models").glob("m-*/artifacts")
    loaded = mlflow.pyfunc.load_model(str(place))
    assert bytes(loaded.predict(loaded.input_example)["image"][0]).startswith(b"\x89PNG")


@pytest.mark.parametrize("copied", [False, True])
def test_a_home_that_was_moved_or_copied_is_whole_and_the_old_place_stays_untouched(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    new = tmp_path / "elsewhere"
    if copied:
        shutil.copytree(old, new)
    else:
        old.rename(new)
    before = {path: path.stat().st_mtime_ns for path in old.rglob("*")}
    monkeypatch.setenv("LEGAN_HOME", str(new / "runs"))
    monkeypatch.chdir(new)

    assert legan.load("models:/legan@champion").quality_model is not None
    store = f"sqlite:///{new}/runs/mlflow.db"
    assert f"0 records of {new}/runs/legan were sent to {store}" in run("sync", "legan")
    run_id = json.loads((new / "runs/legan/model/model.json").read_text())["info"]["run_id"]
    said = run("evaluate", "legan", "--data", new / "data", *judges(new), "--pairs", 4)
    assert f"Logged as eval/… to the model's MLflow run {run_id}" in said
    client = mlflow.MlflowClient(store)
    assert "evaluation/data/table.csv" in [each.path for each in client.list_artifacts(run_id, "evaluation/data")]
    run("evaluate", "table", 1, "--models", "LEGAN=legan", "--data", new / "data", "--out", new / "t1")
    assert run_id in (new / "t1/table1.md").read_text(encoding="utf-8")
    assert {path: path.stat().st_mtime_ns for path in old.rglob("*")} == before


def test_an_evaluation_gives_the_same_numbers_again_and_the_one_before_is_read(old: Path) -> None:
    before = old / "runs/evaluations/legan-on-data/table.csv"
    table = run("evaluate", "table", 1, "--models", "LEGAN=legan", "--data", old / "data", "--out", old / "table1")
    assert f"{pd.read_csv(before, index_col='method').loc['output', 'ssim_to_target']:.3f} [1]" in table

    run("evaluate", "legan", "--data", old / "data", *judges(old), "--pairs", 4, "--out", old / "again")
    again, then = pd.read_csv(old / "again/table.csv"), pd.read_csv(before)
    pd.testing.assert_frame_equal(again[then.columns], then, rtol=1e-3, atol=1e-3)  # more is measured now


def test_q_is_trained_with_the_ratings(old: Path) -> None:
    run("train", "quality", "--ratings", old / "ratings", "-p", old / "preset.yaml", "-s", "steps=2", "--name", "new")
    assert json.loads((old / "runs/new/model/network.json").read_text())["info"]["simulated_ratings"] is True


def test_the_study_is_reported(old: Path) -> None:
    assert "7 of 12 answers" in run("study", "report", old / "study", "--out", old / "said")
    assert len(pd.read_csv(old / "said/answers.csv")) == 7
    assert (old / "said/ratings.csv").is_file()


def test_the_augmented_data_set_is_opened_and_the_unfinished_one_is_finished(old: Path) -> None:
    done = open_dataset(old / "augmented")
    assert done.faces["synthetic"].all()
    assert len(done) == 84
    again = run("augment", old / "data", old / "augmented", "--labels", "smile:left", "--workers", 0)
    assert "is there already, made by the same command; nothing was done" in again

    parts = list((old / "more.partial").glob("part_*"))
    said = run("augment", old / "data", old / "more", "--random", 4, "--workers", 0, "--batch-size", 1)
    assert f"{64 * len(parts)} of 336 images were done before" in said
    assert not (old / "more.partial").exists()
    assert len(open_dataset(old / "more")) == 336


def test_the_file_of_serve_builds_the_application(old: Path) -> None:
    """As `serve deploy` does it: the file is checked, the builder imported, and called with the arguments in the file."""
    from ray._common.utils import import_attr
    from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as call
    from ray.serve.schema import ServeDeploySchema

    schema = ServeDeploySchema.model_validate(yaml.safe_load((old / "serve.yaml").read_text()))
    (application,) = schema.applications
    ingress = call(import_attr(application.import_path), application.args)._bound_deployment
    settings, workers = ingress.init_args
    assert (settings["threads"], settings["limits"]["seconds"]) == (2, 60)
    assert sorted(workers) == ["Aligner", "Generator", "Matcher", "Quality"]
    generator = workers["Generator"]._bound_deployment
    assert (generator._deployment_config.max_ongoing_requests, generator._deployment_config.max_queued_requests) == (32, 16)
    scaling = generator._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (2, 3)
    assert generator.ray_actor_options["num_cpus"] == 0.5


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["suite", pytest.param("search", marks=pytest.mark.long)])
def test_a_stopped_sweep_goes_on(ray_cluster: None, old: Path, name: str) -> None:
    sweep = old / "runs/sweeps" / name
    outcomes = {path: path.read_bytes() for path in sweep.glob("trials/*/outcome.json")}
    (stopped,) = {path.parent for path in sweep.glob("trials/*/checkpoints")} - {path.parent for path in outcomes}
    assert name in run("sweep", "list")
    run("sweep", "report", name)

    said = run("sweep", "resume", name)
    assert f"{stopped.name}: started" in said
    assert "resumed from step" in (stopped / "progress.log").read_text()
    assert {path: path.read_bytes() for path in outcomes} == outcomes
    ended = {path.parent.name: json.loads(path.read_text()) for path in sweep.glob("trials/*/outcome.json")}
    assert len(ended) == 3
    assert ended.pop(stopped.name)["status"] == "finished"
    if name == "search":  # the last of its trials learns next to nothing, and is stopped by what the file calls the metric
        assert sorted(each["status"] for each in ended.values()) == ["finished", "stopped"]
    assert list((sweep / "report").glob("*.md"))


def test_its_runs_and_models_are_listed_and_the_champion_is_weighed(old: Path) -> None:
    listed = {line.split()[0]: line.split() for line in run("runs", "list").splitlines()[1:]}
    kinds = {yaml.safe_load(file.read_text())["kind"] for file in (old / "runs").glob("*/config.yaml")}
    assert {words[1] for words in listed.values()} == kinds
    assert "interrupted" in " ".join(listed["stopped-legan"])
    assert {"l1_to_target", "rating_error", "verification_auc"} <= {word for words in listed.values() for word in words}
    assert "@champion" in run("models", "list")
    assert "which models:/legan@champion is already." in run("models", "promote", "models:/legan@champion")
    shutil.move(old / "runs" / "mlflow.db", old / "away.db")
    assert set(listed) == {line.split()[0] for line in run("runs", "list").splitlines()[1:]}
