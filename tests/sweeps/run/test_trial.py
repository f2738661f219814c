"""One trial, without Ray."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from ray.exceptions import ActorDiedError
from ray.train import WorkerGroupError
from safetensors.torch import load_file
from tests.tiny import RATER

from legan.platform.data.dataset import open_dataset
from legan.platform.data.ratings.ratings import read_ratings
from legan.platform.data.ratings.simulated import make_simulated_ratings
from legan.platform.errors import ClusterError, ConfigError, TrackingError
from legan.platform.evaluation.metric_names import RATED
from legan.platform.model import load_network, read_model, save_network, weights_hash
from legan.platform.pixels import network_input
from legan.platform.tracking.places import default_tracking_uri, run_in_store
from legan.platform.training.loop import StoppedEarly
from legan.platform.training.run_folder import create_run
from legan.sweeps.report.promote import promote
from legan.sweeps.report.report import scored, untested, write_report
from legan.sweeps.report.results import rater_notes, read_results
from legan.sweeps.run.request import settings_of
from legan.sweeps.run.trial import NotNowError, run_trial
from legan.sweeps.sweep import Outcome, Sweep, SweepSettings, Trial, create_sweep, read_outcome, suite_trials

NewSweep = Callable[..., Sweep]


def weights(sweep: Sweep, name: str) -> dict[str, bytes]:
    file = sweep.trials / name / "model" / "generator.safetensors"
    return {key: value.numpy().tobytes() for key, value in load_file(file).items()}


def logged() -> list[Run]:
    client = MlflowClient(default_tracking_uri())
    return client.search_runs([each.experiment_id for each in client.search_experiments()])


def run(sweep: Sweep, trial: Trial, report: Callable[[int, Mapping[str, float]], None] | None = None) -> Outcome:
    return run_trial(sweep, trial, default_tracking_uri(), report)


def test_a_trial_is_trained_evaluated_and_recorded_once(new_sweep: NewSweep) -> None:
    sweep = new_sweep()
    sweep.parent.mkdir()
    (sweep.parent / "run.json").write_text('{"run_uid": "the-sweeps-own"}')
    trial = suite_trials(sweep.settings)[0]
    outcome = run(sweep, trial)
    assert outcome == read_outcome(sweep, trial.name)
    assert outcome.status == "finished"
    (found,) = logged()
    assert found.info.run_id == run_in_store(sweep.trials / trial.name).run_id
    assert found.info.status == "FINISHED"
    tags = {key: found.data.tags[key] for key in ("suite", "variant", "seed", "sweep", "trial", "legan.parent_uid")}
    assert tags == {
        "suite": "upsampling", "variant": "Bilinear Interpolation", "seed": "0", "sweep": "tiny",
        "trial": "bilinear-interpolation-0", "legan.parent_uid": "the-sweeps-own",
    }  # fmt: skip
    report = json.loads((sweep.trials / trial.name / "validation" / "evaluation.json").read_text())
    written = report["methods"]["output"]
    assert report["split"] == "val"
    for metric in ("match_to_target", "l1_to_target", "quality"):
        assert outcome.metrics[f"val/{metric}"] == pytest.approx(written[metric])
        assert found.data.metrics[f"val/{metric}"] == pytest.approx(written[metric])
    assert not [name for name in {**outcome.metrics, **found.data.metrics} if name.startswith("eval/")], "no test person is seen"
    assert "scored_on_test" not in found.data.tags
    client = MlflowClient(default_tracking_uri())
    assert "validation/pictures.png" in [each.path for each in client.list_artifacts(found.info.run_id, "validation")]
    assert not client.search_registered_models()

    before = (sweep.trials / trial.name / "tracking.jsonl").read_bytes()
    assert run(sweep, trial) == outcome
    assert (sweep.trials / trial.name / "tracking.jsonl").read_bytes() == before


def test_a_q_that_judges_rates_trials_and_trains_nothing(
    new_sweep: NewSweep, judging_quality: Path, networks: dict[str, Path]
) -> None:
    stored = load_network(networks["quality"])
    raters = judging_quality.parent / "first"
    save_network(raters, stored.kind, stored.numbers, stored.module, simulated_ratings=True)
    sweep = new_sweep(quality=raters, quality_judge=judging_quality, overrides=["steps=1"])
    (trial, *_) = suite_trials(sweep.settings)
    outcome = run(sweep, trial)
    report = json.loads((sweep.trials / trial.name / "validation" / "evaluation.json").read_text())
    assert report["compared_by"]["quality"] == weights_hash(load_network(judging_quality).module)
    assert report["quality_is_of_other_raters"] == "checked"
    assert outcome.metrics["val/quality"] == pytest.approx(report["methods"]["output"]["quality"])
    trained_with = read_model(sweep.trials / trial.name / "model").quality
    assert trained_with is not None
    assert weights_hash(trained_with) == weights_hash(stored.module)

    assert rater_notes(sweep, read_results(sweep)) == [
        "Quality is by the judging Q judging, of other raters and faults than the Q that trials were trained with."
    ]


def test_a_finished_trial_is_scored_on_test_people_when_a_report_asks_for_it_and_that_is_counted(new_sweep: NewSweep) -> None:
    sweep = new_sweep(overrides=["steps=1"])
    trial = suite_trials(sweep.settings)[0]
    chosen_by = run(sweep, trial).metrics
    assert [each.trial.name for each in untested(sweep)] == [trial.name]
    said: list[str] = []
    (first, *_) = scored(sweep, read_results(sweep), "test", said.append)
    assert said == [f"scoring {trial.name} on the test split of data …"]
    assert first.outcome is not None
    assert first.outcome.metrics.items() >= chosen_by.items()
    report = json.loads((first.folder / "evaluation" / "evaluation.json").read_text())
    assert (report["split"], report["times_scored_on_test"]) == ("test", 1)
    assert first.outcome.metrics["eval/quality"] == pytest.approx(report["methods"]["output"]["quality"])
    (found,) = logged()
    assert (found.data.tags["scored_on_test"], found.info.status) == ("1", "FINISHED")
    assert found.data.metrics["eval/quality"] == pytest.approx(first.outcome.metrics["eval/quality"])

    assert untested(sweep) == []
    assert scored(sweep, read_results(sweep), "test", said.append)[0] == first
    assert len(said) == 1, "a second report looks at nobody again"


def test_a_trial_that_trains_q_is_scored_by_its_ratings_and_needs_no_judges(ready: Path, tiny_data: Path, tmp_path: Path) -> None:
    ratings = make_simulated_ratings(open_dataset(tiny_data), tmp_path / "ratings", count=90)
    preset = tmp_path / "preset.yaml"
    tiny = {**RATER, "steps": 3, "batch_size": 8, "adam": {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999}}
    tiny.pop("mean_rating", None)
    preset.write_text(yaml.safe_dump({"quality": tiny}))
    settings = SweepSettings(suite="margin", kind="quality", preset=str(preset), data=ratings.path, seeds=1)
    sweep = create_sweep(ready, "margin", settings)
    trials = suite_trials(settings)
    assert [trial.changes["loss"] for trial in trials] == ["margin", "hinge", "absolute", "squared"]
    for trial in trials:
        outcome = run(sweep, trial)
        assert (outcome.status, outcome.error) == ("finished", None)
        assert set(outcome.metrics) <= {f"val/{metric.name}" for metric in RATED}

    # The figures are those of the report on the same Q: mean absolute error by hand.
    quality = load_network(sweep.trials / trials[0].name / "model").module
    held_out = read_ratings(ratings.path, quality.image_size)
    val, test = (held_out.split == split for split in ("val", "test"))
    with torch.inference_mode():
        predicted = quality(network_input(held_out.images, torch.device("cpu"))).numpy()
    error = np.abs(predicted - held_out.mean)
    first = read_outcome(sweep, trials[0].name)
    assert first is not None
    assert first.metrics["val/rating_mae"] == pytest.approx(error[val].mean(), rel=1e-4)
    assert first.metrics["val/rating_inside_margin"] == pytest.approx((error <= held_out.std)[val].mean())

    text, files = write_report(sweep, None, torch.device("cpu"), lambda line: None)
    assert {file.name for file in files} == {"margin.md", "margin.csv", "margin.png", "trials.csv"}
    assert "on the rated images in the test split of ratings" in text
    assert "Copy input" not in text
    outcome = read_outcome(sweep, trials[0].name)
    assert outcome is not None
    assert outcome.metrics["eval/rating_mae"] == pytest.approx(error[test].mean(), rel=1e-4)
    with pytest.raises(ConfigError, match="are quality models, and a champion translates"):
        promote(sweep, "val/rating_mae", None, False, False, lambda line: None)


def test_a_suite_on_data_without_a_validation_split_is_reported_all_the_same(new_sweep: NewSweep, tmp_path: Path) -> None:
    data = shutil.copytree(open_dataset(new_sweep().settings.data).path, tmp_path / "data")
    faces = pd.read_parquet(data / "faces.parquet")
    faces.assign(split=faces["split"].replace("val", "train")).to_parquet(data / "faces.parquet")
    sweep = new_sweep("without", overrides=["steps=1"], data=data)
    outcome = run(sweep, suite_trials(sweep.settings)[0])
    assert (outcome.status, outcome.metrics) == ("finished", {})
    assert len(untested(sweep)) == 1


def test_what_interrupts_a_trial_is_raised_and_the_trial_goes_on_from_its_checkpoint(new_sweep: NewSweep) -> None:
    sweep, whole = new_sweep(), new_sweep("whole")
    trial = suite_trials(sweep.settings)[1]

    def die(step: int, metrics: Mapping[str, float]) -> None:
        if step == 3:
            raise OSError("the machine is tired")

    with pytest.raises(OSError, match="tired"):
        run(sweep, trial, die)
    assert read_outcome(sweep, trial.name) is None
    assert run(sweep, trial).status == "finished"
    lines = (sweep.trials / trial.name / "progress.log").read_text().splitlines()
    assert "resumed from step 2 of 4" in lines
    assert len([found for found in logged() if found.data.tags["sweep"] == "tiny"]) == 1
    run(whole, trial)
    assert weights(sweep, trial.name) == weights(whole, trial.name)


def test_a_trial_whose_folder_was_only_begun_starts_anew(new_sweep: NewSweep) -> None:
    sweep = new_sweep(overrides=["steps=1"])
    trial = suite_trials(sweep.settings)[2]
    (sweep.trials / trial.name).mkdir(parents=True)
    assert run(sweep, trial).status == "finished"


def test_a_loss_that_is_not_a_number_is_a_failure_for_good(new_sweep: NewSweep, broken_quality: Path) -> None:
    sweep = new_sweep(quality=broken_quality)
    trial = suite_trials(sweep.settings)[0]
    outcome = run(sweep, trial)
    assert outcome.status == "failed"
    assert str(outcome.error).startswith("step 1: the loss term loss/qual became nan")
    assert read_outcome(sweep, trial.name) == outcome
    (found,) = logged()
    assert (found.info.status, found.info.run_id) == ("FAILED", run_in_store(sweep.trials / trial.name).run_id)


def test_a_trial_that_is_stopped_early_keeps_its_last_validation_and_has_no_model(new_sweep: NewSweep) -> None:
    sweep = new_sweep()
    trial = suite_trials(sweep.settings)[0]
    seen: list[Mapping[str, float]] = []

    def stop(step: int, metrics: Mapping[str, float]) -> None:
        seen.append(metrics)
        if step == 3:
            raise StoppedEarly

    outcome = run(sweep, trial, stop)
    assert outcome.status == "stopped"
    assert outcome.metrics == {"val/l1_to_target": seen[1]["val/l1_to_target"], "step": 3}
    assert not (sweep.trials / trial.name / "model").exists()
    (found,) = logged()
    assert (found.info.status, found.data.tags["stopped_early"]) == ("FINISHED", "true")


def test_a_full_disk_is_said_in_one_sentence_and_leaves_the_trial_to_be_resumed(new_sweep: NewSweep) -> None:
    sweep = new_sweep()
    trial = suite_trials(sweep.settings)[0]
    folder = create_run(sweep.trials, "legan", settings_of(sweep, trial.changes, 0), trial.name).folder
    (folder / "progress.log").symlink_to("/dev/full")
    with pytest.raises(NotNowError, match=f"the disk of {folder} is full; free some .* with `legan sweep resume tiny`"):
        run(sweep, trial)
    assert read_outcome(sweep, trial.name) is None
    (folder / "progress.log").unlink()
    assert run(sweep, trial).status == "finished"


def test_data_that_is_away_is_not_the_trials_failure(new_sweep: NewSweep, tiny_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "share" / "faces"
    sweep = new_sweep(data=data)
    trial = suite_trials(sweep.settings)[0]
    with pytest.raises(
        NotNowError, match=f"{data} cannot be found on .*; bring it back and continue with `legan sweep resume tiny`"
    ):
        run(sweep, trial)
    assert read_outcome(sweep, trial.name) is None
    data.parent.mkdir()
    data.symlink_to(tiny_data)
    assert run(sweep, trial).status == "finished"


def test_a_record_that_another_process_holds_is_not_the_trials_failure(
    new_sweep: NewSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = new_sweep()
    trial = suite_trials(sweep.settings)[0]

    def held(*_: object) -> None:
        raise TrackingError("held")

    monkeypatch.setattr("legan.sweeps.run.trial.train_run", held)  # a POSIX lock does not hold against its own process
    with pytest.raises(TrackingError):
        run(sweep, trial)
    assert read_outcome(sweep, trial.name) is None


@pytest.mark.parametrize(
    ("cause", "raised"),
    [
        (WorkerGroupError("the first died\nthe last died", {}), None),
        (WorkerGroupError("OSError: No space left on device", {}), NotNowError),
        (ActorDiedError(), ClusterError),
    ],
)
def test_what_ends_several_workers_is_the_trials_failure_only_after_ray_trains_own_tries(
    new_sweep: NewSweep, monkeypatch: pytest.MonkeyPatch, cause: Exception, raised: type[Exception] | None
) -> None:
    sweep = new_sweep(overrides=["workers=2"], retries=1)
    trial = suite_trials(sweep.settings)[0]

    def end(*_: object) -> None:
        raise cause

    monkeypatch.setattr("ray.train.torch.TorchTrainer.fit", end)
    monkeypatch.setattr("ray.cluster_resources", dict)
    if raised is None:
        assert run(sweep, trial).error == "its workers died more than 1 times: the last died"
        return
    with pytest.raises(raised):
        run(sweep, trial)
    assert read_outcome(sweep, trial.name) is None


def test_a_variant_comes_after_the_overrides_and_the_preset_is_the_one_of_the_start(new_sweep: NewSweep, preset: Path) -> None:
    sweep = new_sweep(overrides=["loss.q=3", "generator.upsampling=bilinear"])
    preset.write_text("legan: {steps: 99}")
    settings = settings_of(sweep, {"generator.upsampling": "transposed", "generator.disentangled": False}, 5)
    assert (settings.steps, settings.seed, settings.loss.q) == (4, 5, 3.0)
    assert (settings.generator.upsampling, settings.generator.disentangled) == ("transposed", False)
    assert settings.gpu is False


def test_a_setting_that_does_not_exist_is_named(new_sweep: NewSweep) -> None:
    with pytest.raises(ConfigError, match=r"loss\.qq: there is no such setting"):
        settings_of(new_sweep(), {"loss.qq": 1}, 0)
