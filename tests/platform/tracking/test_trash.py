"""Runs, experiments and registered versions that somebody deletes in MLflow's pages, in real stores."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from tests.mlflow_server import Server, wait_for

from legan.platform.errors import RunDeletedError, TrackingError
from legan.platform.tracking import delivery
from legan.platform.tracking.mlflow_access import champion, crown, enrol, expect_run, resolve_model
from legan.platform.tracking.places import default_tracking_uri, run_in_store
from legan.platform.tracking.tracker import Tracker, log_to_run, sync_run


def client() -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking_uri=default_tracking_uri())


def begin(folder: Path, **changes: object) -> Tracker:
    given: dict[str, object] = {
        "experiment": "faces",
        "run_name": folder.name,
        "params": {},
        "tags": {},
        "system_every_s": 3600.0,
    }
    return Tracker(folder, **{**given, "send_every_s": 0.05, **changes})


def record(folder: Path, model: Path | None = None) -> str:
    """A run that is over and sent; its id."""
    run = begin(folder)
    run.log_metrics({"loss": 1.0}, 1)
    if model is not None:
        run.register_model(model)
    assert run.close(timeout_s=120) == 0
    return str(run.run_id)


def test_a_training_whose_run_is_deleted_goes_on_and_says_how_it_is_restored(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_FIRST_S", 0.1)
    monkeypatch.setattr(delivery, "RETRY_MAX_S", 0.2)
    said: list[str] = []
    run = begin(ready / "first", say=said.append)
    wait_for(lambda: run.run_id)
    client().delete_run(run.run_id)
    run.log_metrics({"loss": 1.0}, 1)
    wait_for(lambda: said)
    restore = f"MLFLOW_TRACKING_URI={default_tracking_uri()} mlflow runs restore --run-id {run.run_id}"
    assert said == [
        f"the run first was deleted in MLflow; restore it with `{restore}`, or name another store in MLFLOW_TRACKING_URI; "
        f"the run goes on and is recorded in {ready / 'first' / 'tracking.jsonl'}."
    ]
    client().restore_run(run.run_id)
    wait_for(lambda: len(said) == 2)
    back = f"MLflow at {default_tracking_uri()} takes the run again; "
    assert re.fullmatch(rf"{re.escape(back)}\d records? (was|were) sent\.", said[1])
    assert run.close(timeout_s=120) == 0
    assert client().get_metric_history(run.run_id, "loss")[0].value == 1.0


def test_a_deleted_run_takes_nothing_until_it_is_restored(ready: Path, model: Path) -> None:
    run_id = record(ready / "first")
    client().delete_run(run_id)
    why = f"the run first was deleted in MLflow; restore it with `.* mlflow runs restore --run-id {run_id}`"
    with pytest.raises(RunDeletedError, match=rf"^{ready / 'first'} cannot be sent: {why}"):
        sync_run(ready / "first")
    with pytest.raises(RunDeletedError, match=rf"^nothing can be added to the run in MLflow: {why}"):
        log_to_run(run_in_store(ready / "first"), {"eval/ssim": 0.5})
    with pytest.raises(RunDeletedError, match=rf"^{model} cannot be registered: {why}"):
        expect_run(run_in_store(ready / "first"), model)
    client().restore_run(run_id)
    assert sync_run(ready / "first") == 0
    assert log_to_run(run_in_store(ready / "first"), {"eval/ssim": 0.5}) == run_id


def test_a_deleted_experiment_is_what_is_restored(ready: Path) -> None:
    run_id = record(ready / "first")
    number = client().get_run(run_id).info.experiment_id
    client().delete_experiment(number)
    why = f"the experiment faces was deleted in MLflow; restore it with `.* mlflow experiments restore --experiment-id {number}`"
    with pytest.raises(RunDeletedError, match=why):
        sync_run(ready / "first")
    said: list[str] = []
    late = begin(ready / "second", say=said.append)
    assert late.close(timeout_s=5) == 2, "a new run has no place there either"
    assert re.match(why, said[0])
    with pytest.raises(RunDeletedError, match=why):
        sync_run(ready / "second")
    client().restore_experiment(number)
    assert (sync_run(ready / "first"), sync_run(ready / "second")) == (0, 2)


def test_nobody_is_made_champion_in_the_place_of_one_that_was_taken_away(ready: Path, model: Path) -> None:
    record(ready / "first", model)
    assert champion("legan", default_tracking_uri()) == "1"
    client().delete_registered_model_alias("legan", "champion")
    record(ready / "second", model)
    assert champion("legan", default_tracking_uri()) is None
    gone = r"models:/legan@champion is unknown: legan has no champion now; choose one with `legan models promote models:/legan/V"
    with pytest.raises(TrackingError, match=rf"{gone}\w+`; versions: 1, 2\.$"):
        resolve_model("models:/legan@champion")
    crown(default_tracking_uri(), "legan", "2", "forced", {})
    client().delete_model_version("legan", "2")
    record(ready / "third", model)
    assert champion("legan", default_tracking_uri()) is None
    with pytest.raises(TrackingError, match=rf"{gone}\w+`; versions: 1, 3\.$"):
        resolve_model("models:/legan@champion")
    for version in ("1", "3"):
        client().delete_model_version("legan", version)
    record(ready / "fourth", model)
    assert champion("legan", default_tracking_uri()) is None, "the version after all were deleted is not the first one"
    client().delete_registered_model("legan")
    record(ready / "fifth", model)
    assert champion("legan", default_tracking_uri()) == "1"


@pytest.mark.long
@pytest.mark.kills
def test_the_commands_that_are_named_restore_and_what_is_deleted_for_good_is_sent_anew(
    home: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = Server(tmp_path)
    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])  # as in a person's shell
    collect = f"MLFLOW_TRACKING_URI={server.uri} mlflow gc --backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    try:
        run_id = record(home / "first", model)
        number = client().get_run(run_id).info.experiment_id
        for delete in (lambda: client().delete_run(run_id), lambda: client().delete_experiment(number)):
            delete()
            with pytest.raises(RunDeletedError) as told:
                sync_run(home / "first")
            (command,) = re.findall("`(.*)`", str(told.value))
            subprocess.run(["bash", "-c", command], env=environment, check=True)
            assert sync_run(home / "first") == 0

        client().delete_experiment(number)
        subprocess.run(["bash", "-c", collect], env=environment, check=True)
        shutil.rmtree(home / "downloads", ignore_errors=True)
        assert resolve_model("models:/legan@champion").name == "model", "a version keeps its files"
        with pytest.raises(TrackingError, match=f"first is not in MLflow at .*; send it with: legan sync {home / 'first'}"):
            expect_run(run_in_store(home / "first"), model)
        assert sync_run(home / "first") == 4
        again = expect_run(run_in_store(home / "first"), model)
        assert again != run_id
        assert champion("legan", server.uri) == "1"
        assert enrol(server.uri, again, model, "legan") == "2", "the version of the run that is gone is not this run's"
        assert "View run" not in capfd.readouterr().out
    finally:
        server.end()
